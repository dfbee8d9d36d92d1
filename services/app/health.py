"""/healthz, /readyz, /metrics and /openapi.json: for whoever runs or calls the service."""

from typing import Literal

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel
from sqlalchemy.exc import SQLAlchemyError

from services.db import Database
from services.jobs import state
from services.jobs.executors import Pulse, beats

open_router = APIRouter(tags=["operation"])
router = APIRouter(tags=["operation"])

Word = Literal["ok", "failing"]


class Alive(BaseModel):
    status: Literal["ok"] = "ok"


class Ready(BaseModel):
    """`storage` is ok while a file can be written durably and there is room, `sandbox` while files can be opened,
    `model` while a worker that has it loaded gives signs of life, `queue` while more may wait; `waiting` is its length.
    `promoted` says whether the model passed the gate of `clinimm promote`."""

    ready: bool
    database: Word
    storage: Word
    sandbox: Word
    model: Word
    queue: Word
    waiting: int
    promoted: bool


@open_router.get("/healthz")
async def healthz() -> Alive:
    """This process answers. Says nothing else, and asks for no token."""
    return Alive()  # on the event loop: true also while every thread waits for a database


@router.get("/readyz", response_model=Ready, responses={503: {"model": Ready}})
def readyz(request: Request) -> Response:
    """Whether a case sent now would be answered, and if not, what is wrong."""
    app = request.app.state
    waiting, alive = _owed(app.database, app.pulse, app.model.digest)
    words = {
        "database": waiting is not None,
        "storage": app.reserve.is_sound(),
        "sandbox": app.cases.sandbox.is_able(),
        "model": alive,
        "queue": waiting is not None and waiting < app.settings.queue_limit,
    }
    told: dict[str, Word] = {name: "ok" if is_ok else "failing" for name, is_ok in words.items()}
    ready = Ready(ready=all(words.values()), waiting=waiting or 0, promoted=app.model.promotion is not None, **told)
    headers = {"Cache-Control": "no-store"} | ({} if ready.ready else {"Retry-After": "2"})
    return Response(ready.model_dump_json(), 200 if ready.ready else 503, headers, "application/json")


def _owed(database: Database, pulse: Pulse, model: str) -> tuple[int | None, bool]:
    """How much waits, None if the database cannot tell; and whether a worker with the model lives."""
    try:
        with database.read() as session:
            return state.waiting(session), bool(pulse.alive(beats(session, model)))
    except SQLAlchemyError:
        return None, False


@router.get("/metrics", response_class=Response)
def metrics(request: Request) -> Response:
    """Prometheus' text format."""
    return Response(request.app.state.metrics.exposition(), media_type=CONTENT_TYPE_LATEST)


@router.get("/openapi.json", include_in_schema=False)
def openapi(request: Request) -> JSONResponse:
    return JSONResponse(request.app.openapi())
