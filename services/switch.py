"""Whether a model may answer. People stop it, and let it answer again.

What they did stands in the chain of events and nowhere else: there nothing is changed or taken out unseen."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import sqlalchemy as sa
from fastapi import Request
from pydantic import BaseModel, ConfigDict
from sqlalchemy.orm import Session

from services import audit
from services.auth import Role
from services.db import Database, now
from services.errors import NotFound, Unavailable
from services.findings import AnswerRow
from services.http.ids import CaseId
from services.http.strict_json import document
from services.settings import Limits
from services.tables import EventRow, ResultRow

STOPPED, RESUMED = "model.stopped", "model.resumed"
VERSION = re.compile(r"[0-9]{1,9}")
AGAIN_SECONDS = 60  # after which a client that was sent away may ask again


class SwitchIn(BaseModel):
    """Stops a model, or lets it answer again, and why."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    stopped: bool
    reason: Literal["wrong_answers", "drift", "inputs_changed", "recalled", "precaution", "cleared"]


class SwitchOut(BaseModel):
    """The last that was done: `client` did it, `at` that time, for that `reason`."""

    stopped: bool
    reason: str
    client: str
    at: datetime


@dataclass(frozen=True)
class Act:
    """The last that was done to a model, by whom, when and why."""

    stopped: bool
    reason: str
    client: str
    at: datetime


def last_act(session: Session, digest: str) -> Act | None:
    """None where nobody ever stopped the model."""
    query = sa.select(EventRow).where(EventRow.object_id == _name(digest), EventRow.action.in_((STOPPED, RESUMED)))
    row = session.scalar(query.order_by(EventRow.seq.desc()).limit(1))
    return None if row is None else Act(row.action == STOPPED, str(row.facts.get("reason", "")), row.actor, row.time)


def is_stopped(session: Session, digest: str) -> bool:
    act = last_act(session, digest)
    return act is not None and act.stopped


def leave(database: Database, digest: str) -> Callable[[], bool]:
    """What tells, whenever it is called, whether the model may work."""

    def may_work() -> bool:
        with database.read() as session:
            return not is_stopped(session, digest)

    return may_work


@dataclass(frozen=True)
class Switch:
    """`model` is the digest of the model that answers here."""

    database: Database
    model: str
    limits: Limits

    def told(self, digest: str) -> SwitchOut | None:
        """Where a model's switch stands; None where nobody ever touched it."""
        with self.database.read() as session:
            act = last_act(session, digest)
        return None if act is None else SwitchOut(**vars(act))

    def turn(self, client: str, digest: str, body: bytes) -> SwitchOut:
        """Stops a model, or lets it answer again. Doing it twice does no more, and is told twice. Raises NotFound where
        no model of that digest answers or answered here, or what is wrong with the body."""
        said = document(SwitchIn, body, depth=self.limits.json_depth)
        with self.database.write() as session:
            if digest != self.model and not _has_answered(session, digest):
                raise NotFound("model_not_found", "No model of this digest answers here, or ever did.")
            action = STOPPED if said.stopped else RESUMED
            audit.record(session, client, action, _name(digest), model=digest, reason=said.reason)
        return SwitchOut(stopped=said.stopped, reason=said.reason, client=client, at=now())

    def check(self, case_id: str, version: int | None = None) -> None:
        """Raises Unavailable where the answer to a case, by default the latest, is of a stopped model; where there is
        none yet, of the one that would give it."""
        with self.database.read() as session:
            self._check(session, _model_of(session, case_id, version) or self.model)

    def check_current(self) -> None:
        """Raises Unavailable where the model that answers here is stopped."""
        with self.database.read() as session:
            self._check(session, self.model)

    def _check(self, session: Session, digest: str) -> None:
        if is_stopped(session, digest):
            raise Unavailable(
                "model_stopped",
                "People have stopped this model: none of its answers are given. What is sent is kept, and answered once"
                " it may answer again.",
                retry_after=AGAIN_SECONDS,
            )


def may_be_told(request: Request, case_id: CaseId) -> None:
    """Raises Unavailable where the answer that is asked for is of a stopped model. Auditors look into it all the same.
    Of a version that is none, the route itself says so."""
    switch: Switch = request.app.state.switch
    version = request.path_params.get("version")
    if request.state.role is Role.AUDITOR or (version is not None and not VERSION.fullmatch(version)):
        return
    switch.check(case_id, None if version is None else int(version))


def _model_of(session: Session, case_id: str, version: int | None) -> str | None:
    """Whose a result of a case is, by default the latest; None where there is none."""
    row = ResultRow
    query = sa.select(row.model).where(row.case_id == case_id)
    query = query.order_by(row.version.desc()) if version is None else query.where(row.version == version)
    return session.scalar(query.limit(1))


def _has_answered(session: Session, model: str) -> bool:
    return session.scalar(sa.select(AnswerRow.result_id).where(AnswerRow.model == model).limit(1)) is not None


def _name(digest: str) -> str:
    return f"switch/{digest}"
