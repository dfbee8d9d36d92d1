"""Who did what to what: one event for each effect, in the transaction that has the effect. Events are never changed."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from services.db import now
from services.logs import request_id
from services.tables import EventRow

SYSTEM = "system"
OPERATOR = "operator"  # whoever may run our commands on the machine


@dataclass(frozen=True)
class Event:
    """`case_id` is that of the case whose timeline it belongs to, if any; `facts` are ids, hashes, counts and codes."""

    seq: int
    time: datetime
    actor: str
    action: str
    object_id: str
    request_id: str
    facts: dict[str, Any]


def record(
    session: Session, actor: str, action: str, object_id: str, *, of_case: str | None = None, **facts: Any
) -> None:
    """Adds an event, to the timeline of a case where it is of one. `facts` are ids, hashes, counts and codes, never
    what a patient or a client wrote."""
    session.add(
        EventRow(
            time=now(),
            actor=actor,
            action=action,
            object_id=object_id,
            case_id=of_case,
            request_id=request_id.get(),
            facts=facts,
        )
    )


def last_request(session: Session, case_id: str) -> str:
    """The id of the request that last did something to a case, or ""."""
    query = sa.select(EventRow.request_id).where(EventRow.case_id == case_id, EventRow.request_id != "")
    return session.scalar(query.order_by(EventRow.seq.desc()).limit(1)) or ""


def timeline(session: Session, case_id: str) -> list[Event]:
    """Every event of a case, in the order they happened."""
    query = sa.select(EventRow).where(EventRow.case_id == case_id).order_by(EventRow.seq)
    return [
        Event(row.seq, row.time, row.actor, row.action, row.object_id, row.request_id, row.facts)
        for row in session.scalars(query)
    ]
