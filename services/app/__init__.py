"""The HTTP application: `create_app(settings)` wires everything. Imports no net."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Depends, FastAPI, Request

from clinimm.io.sandbox import Sandbox
from services.app import health, openapi, problems
from services.app.metrics import Metrics
from services.app.middleware import Envelope
from services.app.room import Room
from services.artifacts import facts
from services.artifacts.routes import router as models_router
from services.auth import Tokens
from services.blobs import Blobs
from services.cases.decisions import Decisions
from services.cases.hold import read_secret
from services.cases.routes import router as cases_router
from services.cases.service import Cases
from services.db import Database
from services.http.claims import Claims
from services.http.uploads import Uploads
from services.jobs.executors import Pulse
from services.jobs.queue import Queue
from services.jobs.routes import router as jobs_router
from services.reports.routes import router as reports_router
from services.reports.service import Reports
from services.reserve import Reserve
from services.results.routes import router as results_router
from services.results.service import Results
from services.reviews.routes import router as reviews_router
from services.reviews.service import Reviews
from services.settings import Settings
from services.similar import search
from services.similar.routes import router as similar_router
from services.similar.service import Similar

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
    jobs_router,
    models_router,
)


def create_app(settings: Settings) -> FastAPI:
    """The application over a migrated database. Raises ConfigError or ArtifactError if it must not or cannot start."""
    settings.check_exposure()
    tokens = Tokens.read(settings.tokens_file)
    database = Database(settings.url)
    blobs, queue = Blobs(settings.data / "blobs"), Queue(database, settings.queue_limit)
    room = Room(Reserve(settings.data, settings.reserve_bytes), database)
    uploads = Uploads(settings.uploads)
    metrics = Metrics(database, uploads)
    confinement = settings.limits.confinement
    sandbox = Sandbox(confinement, processes=settings.decoders, observe=metrics.note_inspection)
    model = facts.read(settings.model, settings.registry)
    similar = Similar(database, search.opened(database, settings.vectors, model.digest, model.config.fused_width))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        sandbox.close()
        queue.close()
        database.close()

    async def authenticate(request: Request) -> None:
        client = tokens.client(request.headers.get("authorization"))
        request.state.client, request.state.reviews = client.name, client.reviews

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
    app.state.cases = Cases(
        database, blobs, queue, model, settings.limits, sandbox, settings.pace, read_secret(settings.data)
    )
    app.state.decisions, app.state.reviews = Decisions(app.state.cases), Reviews(database, settings.limits)
    app.state.results, app.state.reports = Results(database, queue, model.digest), Reports(database, blobs)
    app.state.claims, app.state.uploads = Claims(settings.data / "keys"), uploads
    app.state.similar, app.state.reserve, app.state.pulse = similar, room.reserve, Pulse(settings.lease_seconds)
    app.state.metrics = metrics
    app.include_router(health.open_router)
    for router in ROUTERS:
        app.include_router(router, dependencies=[Depends(authenticate), Depends(room.check)])
    problems.handle_in(app)
    app.openapi = lambda: openapi.describe(app)  # type: ignore[method-assign]
    app.add_middleware(
        Envelope,
        metrics=metrics,
        on_full=room.refused,
        header_bytes=settings.limits.header_bytes,
        patience_seconds=settings.patience_seconds,
    )
    return app
