"""The HTTP application: `create_app(settings)` wires everything. Imports no net."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Depends, FastAPI, Request

from clinimm.io.sandbox import Sandbox
from services import audit
from services.app import health, openapi, problems, rights
from services.app.metrics import Metrics
from services.app.middleware import Envelope
from services.app.room import Room
from services.artifacts import facts
from services.artifacts.routes import router as models_router
from services.audit.asking import asking
from services.audit.witness import Witness
from services.auth import Tokens
from services.blobs import Blobs
from services.bundles.routes import router as bundles_router
from services.bundles.service import Bundles
from services.cases.decisions import Decisions
from services.cases.hold import read_secret
from services.cases.routes import router as cases_router
from services.cases.scans import AT_ONCE, Scans
from services.cases.service import Cases
from services.db import Database
from services.drift.service import Drift
from services.http.claims import Claims
from services.http.uploads import Uploads
from services.jobs.executors import Pulse
from services.jobs.queue import Queue
from services.jobs.routes import router as jobs_router
from services.pages import agreeing, reconciling, reviewing, withdrawing
from services.pages import case as case_page
from services.pages import diff as diff_page
from services.pages import drift as drift_page
from services.pages import models as models_page
from services.pages import result as result_page
from services.pages import routes as pages
from services.pages import samples as samples_page
from services.pages import worklist as worklist_page
from services.pages.session import Sessions
from services.pages.signed_in import as_page, signed_in
from services.reports.routes import router as reports_router
from services.reports.service import Reports
from services.reserve import Reserve
from services.results.routes import router as results_router
from services.results.service import Results
from services.reviews.routes import router as reviews_router
from services.reviews.service import Reviews
from services.samples.service import Samples
from services.secrets import kept_secret
from services.settings import Settings
from services.similar import search
from services.similar.routes import router as similar_router
from services.similar.service import Similar
from services.switch import Switch
from services.worklist.service import Worklist

ABOUT = """Scans, notes and laboratory values in; a calibrated answer with a weight and an explanation for each out.

Advisory: a clinician decides. Errors are `application/problem+json` (RFC 9457) and name every fault, never what was
sent. `GET /v1/capabilities` tells every code of a fault, and the limits of this server:"""


ROUTERS = (
    health.router,
    cases_router,
    results_router,
    reviews_router,
    similar_router,
    reports_router,
    bundles_router,
    jobs_router,
    models_router,
)
PAGES = (
    pages.router,
    case_page.router,
    result_page.router,
    diff_page.router,
    reconciling.router,
    reviewing.router,
    withdrawing.router,
    agreeing.router,
    worklist_page.router,
    samples_page.router,
    models_page.router,
    drift_page.router,
)


async def authenticate(request: Request) -> None:
    """Raises Unauthorized."""
    client = request.app.state.tokens.client(request.headers.get("authorization"))
    request.state.client, request.state.role = client.name, client.role
    if (behind := asking.get()) is not None:
        behind.role = client.role


def create_app(settings: Settings) -> FastAPI:
    """The application over a migrated database. Raises ConfigError or ArtifactError if it must not or cannot start."""
    settings.check_exposure()
    tokens = Tokens.read(settings.tokens_file)
    database = Database(settings.url)
    blobs, queue = Blobs(settings.data / "blobs"), Queue(database, settings.queue_limit)
    secret = read_secret(settings.data)
    audit.keyed(database, secret)
    room = Room(Reserve(settings.data, settings.reserve_bytes))
    witness = Witness(database, room.reserve.give_up)
    uploads = Uploads(settings.uploads)
    model = facts.read(settings.model, settings.registry)
    metrics = Metrics(database, uploads, model.digest)
    confinement = settings.limits.confinement
    sandbox = Sandbox(confinement, processes=settings.decoders, observe=metrics.note_inspection)
    scans = Scans(database, blobs, model, Sandbox(confinement, processes=AT_ONCE))
    similar = Similar(database, search.opened(database, settings.vectors, model.digest, model.config.fused_width))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        for one in (witness, sandbox, scans, queue, database):
            one.close()

    app = FastAPI(
        title="clinimm",
        version="1",
        description=ABOUT,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.settings, app.state.database, app.state.model = settings, database, model
    app.state.cases = Cases(database, blobs, queue, model, settings.limits, sandbox, settings.pace, secret)
    app.state.decisions, app.state.reviews = Decisions(app.state.cases), Reviews(database, settings.limits)
    app.state.results, app.state.reports = Results(database, queue, model.digest), Reports(database, blobs)
    app.state.scans, app.state.switch = scans, Switch(database, model.digest, settings.limits)
    app.state.worklist, app.state.samples, app.state.drift = Worklist(database), Samples(database), Drift(database)
    app.state.claims, app.state.uploads = Claims(settings.data / "keys"), uploads
    app.state.similar, app.state.reserve, app.state.pulse = similar, room.reserve, Pulse(settings.lease_seconds)
    app.state.metrics, app.state.bundles = metrics, Bundles(database, blobs, settings.heads_folder)
    app.state.tokens, app.state.sessions = tokens, Sessions(kept_secret(settings.data / "sessions.key"), tokens)
    for router in (health.open_router, pages.open_router):
        app.include_router(router)
    for routers, who in ((ROUTERS, (authenticate,)), (PAGES, (as_page, signed_in))):
        for router in routers:
            asked = (*who, rights.check, room.check)
            app.include_router(router, dependencies=[Depends(one) for one in asked])
    problems.handle_in(app)
    app.openapi = lambda: openapi.describe(app)  # type: ignore[method-assign]
    app.add_middleware(
        Envelope,
        metrics=metrics,
        witness=witness,
        header_bytes=settings.limits.header_bytes,
        patience_seconds=settings.patience_seconds,
    )
    return app
