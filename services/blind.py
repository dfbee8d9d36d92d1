"""Two readers of one result hear nothing of each other until both have spoken.

The rule, at every door: what others said of the latest result of a case is told to nobody who may speak of it and has
not. Of a result that was superseded, of which nobody can speak any more, all is told. A sender's system, which has no
word to give, is told all. That a report was withdrawn is no word on the answer, and is told to everybody."""

from dataclasses import replace

import sqlalchemy as sa
from sqlalchemy.orm import Session

from services.audit import Event
from services.auth import Client, Role
from services.tables import WITHDRAWN, ResultRow, ReviewRow

READERS = frozenset({Role.CLINICIAN, Role.AUDITOR, Role.LOCAL})
NOBODY = Client("", Role.AUDITOR)
"""A reader who has said nothing of anything: for who asks on behalf of nobody in particular."""
GIVEN = "result.reviewed"
_WORDS = frozenset({"result.signed_off", "result.rejected"})


def hidden(session: Session, case_id: str, viewer: Client = NOBODY) -> str | None:
    """The id of the result of which this viewer must not be told what others said, if there is one."""
    if viewer.role not in READERS:
        return None
    row, word = ResultRow, ReviewRow
    latest = session.scalar(sa.select(row.id).where(row.case_id == case_id).order_by(row.version.desc()).limit(1))
    own = _words(case_id, latest).where(word.client == viewer.name)
    return None if latest is None or session.scalar(own.limit(1)) is not None else latest


def withheld(session: Session, case_id: str, viewer: Client) -> bool:
    """Whether others said of a case what this viewer must not be told."""
    result_id = hidden(session, case_id, viewer)
    return result_id is not None and session.scalar(_words(case_id, result_id).limit(1)) is not None


def _words(case_id: str, result_id: str | None) -> sa.Select[int]:
    """Where the words on an answer stand among those on its case."""
    row = ReviewRow
    return sa.select(row.position).where(row.case_id == case_id, row.result_id == result_id, row.verdict != WITHDRAWN)


def told(event: Event, hidden_result: str | None) -> Event:
    """The event, without what was said where that is hidden."""
    if event.action not in _WORDS or event.object_id != hidden_result:
        return event
    return replace(event, action=GIVEN, facts={})
