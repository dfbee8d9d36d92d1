"""/healthz, /readyz, /metrics and /openapi.json: for whoever runs or calls the service."""

from datetime import timedelta
from typing import Literal

import sqlalchemy as sa
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel
from sqlalchemy.exc import SQLAlchemyError

from services.db import Database, now
from services.jobs import state
from services.tables import WorkerRow

open_router = APIRouter(tags=["operation"])
router = APIRouter(tags=["operation"])

Word = Literal["ok", "failing"]


class Alive(BaseModel):
    status: Literal["ok"] = "ok"


class Ready(BaseModel):
    """`model` is ok while a worker that has it loaded gives signs of life; `waiting` is the queue's length. `promoted`
    says whether the model passed the gate of `clinimm promote`."""

    ready: bool
    database: Word
    model: Word
    queue: Word
    waiting: int
    promoted: bool


@open_router.get("/healthz")
def healthz() -> Alive:
    """This process answers. Says nothing else, and asks for no token."""
    return Alive()


@router.get("/readyz", response_model=Ready, responses={503: {"model": Ready}})
def readyz(request: Request) -> Response:
    """Whether a case sent now would be answered."""
    settings = request.app.state.settings
    database: Database = request.app.state.database
    promoted = request.app.state.model.promotion is not None
    try:
        with database.read() as session:
            waiting = state.waiting(session)
            seen = session.scalar(
                sa.select(sa.func.max(WorkerRow.seen_at)).where(WorkerRow.model == request.app.state.model.digest)
            )
    except SQLAlchemyError:
        words: dict[str, Word] = dict.fromkeys(("database", "model", "queue"), "failing")
        return _told(Ready(ready=False, waiting=0, promoted=promoted, **words))
    lives = seen is not None and now() - seen < timedelta(seconds=settings.lease_seconds)
    has_room = waiting < settings.queue_limit
    return _told(
        Ready(
            ready=lives and has_room,
            database="ok",
            model="ok" if lives else "failing",
            queue="ok" if has_room else "failing",
            waiting=waiting,
            promoted=promoted,
        )
    )


@router.get("/metrics", response_class=Response)
def metrics(request: Request) -> Response:
    """Prometheus' text format."""
    return Response(request.app.state.metrics.exposition(), media_type=CONTENT_TYPE_LATEST)


@router.get("/openapi.json", include_in_schema=False)
def openapi(request: Request) -> JSONResponse:
    return JSONResponse(request.app.openapi())


def _told(ready: Ready) -> Response:
    headers = {"Cache-Control": "no-store"} | ({} if ready.ready else {"Retry-After": "2"})
    return Response(ready.model_dump_json(), 200 if ready.ready else 503, headers, "application/json")
