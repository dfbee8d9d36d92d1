"""What became of the work that is owed: our own count of attempts, since DBOS resets its own when work is resumed."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.orm import Session

from services.tables import JobRow

QUEUED, DONE, DEAD = "queued", "done", "dead"
SHOWN = {QUEUED: "pending", DONE: "done", DEAD: "failed"}  # what a caller is told
MAX_ATTEMPTS = 4  # the first and three more


def begin(session: Session, job_id: str) -> bool:
    """Counts one more attempt; False if there were too many, as of a case that kills every worker that takes it."""
    attempts = session.scalar(
        sa.update(JobRow)
        .where(JobRow.id == job_id)
        .values(attempts=JobRow.attempts + 1)
        .returning(JobRow.attempts)
        .execution_options(synchronize_session=False)
    )
    return attempts is not None and attempts <= MAX_ATTEMPTS


def finish(session: Session, job_id: str) -> None:
    _set(session, job_id, DONE, "")


def bury(session: Session, job_id: str, reason: str) -> None:
    """Dead-letters: it is not tried again, and its case says that it failed. `reason` is a code."""
    _set(session, job_id, DEAD, reason)


def waiting(session: Session) -> int:
    """How many cases wait for their result."""
    query = sa.select(sa.func.count()).where(JobRow.state == QUEUED, JobRow.kind == "diagnose")
    return session.scalar(query) or 0


def counts(session: Session) -> dict[tuple[str, str], int]:
    """How many jobs there are by (kind, state)."""
    rows = session.execute(sa.select(JobRow.kind, JobRow.state, sa.func.count()).group_by(JobRow.kind, JobRow.state))
    return {(kind, state): count for kind, state, count in rows}


def of(session: Session, kind: str, subjects: Sequence[str]) -> dict[str, tuple[str, str]]:
    """The (state, reason) of the newest job of each subject that has one."""
    query = sa.select(JobRow).where(JobRow.kind == kind, JobRow.subject.in_(subjects)).order_by(JobRow.created_at)
    return {row.subject: (row.state, row.reason) for row in session.scalars(query)}


def _set(session: Session, job_id: str, state: str, reason: str) -> None:
    session.execute(
        sa.update(JobRow)
        .where(JobRow.id == job_id)
        .values(state=state, reason=reason)
        .execution_options(synchronize_session=False)
    )
