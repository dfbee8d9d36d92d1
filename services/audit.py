"""Who did what to what: one event for each effect, in the transaction that has the effect. Events are never changed."""

from typing import Any

from sqlalchemy.orm import Session

from services.db import now
from services.logs import request_id
from services.tables import EventRow

SYSTEM = "system"


def record(session: Session, actor: str, action: str, object_id: str, **facts: Any) -> None:
    """Adds an event. `facts` are ids, hashes, counts and codes, never what a patient or a client wrote."""
    session.add(
        EventRow(time=now(), actor=actor, action=action, object_id=object_id, request_id=request_id.get(), facts=facts)
    )
