"""What became of the work that is owed: our own count of attempts, since DBOS resets its own when work is resumed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from services import audit
from services.tables import DueRow, JobRow

QUEUED, DONE, DEAD = "queued", "done", "dead"
SHOWN = {QUEUED: "pending", DONE: "done", DEAD: "failed"}  # what a caller is told
MAX_ATTEMPTS = 4  # the first and three more


def request_of(session: Session, job_id: str) -> str:
    """The id of the request that made it owed, or ""."""
    return session.scalar(sa.select(JobRow.request_id).where(JobRow.id == job_id)) or ""


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
    """In the transaction of its effect, whose event then says that it is done; one of its own, where it had none."""
    finished = sa.update(JobRow).where(JobRow.id == job_id).values(state=DONE, reason="").returning(JobRow.subject)
    subject = session.scalar(finished.execution_options(synchronize_session=False))
    if subject is None:
        return
    if not audit.tells(session):
        audit.record(session, audit.SYSTEM, "job.done", job_id, of_case=case_of(subject))
    audit.note(session, done=job_id)


def bury(session: Session, job_id: str, reason: str) -> bool:
    """Dead-letters a job that is queued: it is not tried again, its case says that it failed, and an event that it did.
    `reason` is a code. False for one that is done all the same, as where the answer to its last commit was lost."""
    buried = (
        sa.update(JobRow)
        .where(JobRow.id == job_id, JobRow.state == QUEUED)
        .values(state=DEAD, reason=reason)
        .returning(JobRow.subject)
        .execution_options(synchronize_session=False)
    )
    subject = session.scalar(buried)
    if subject is not None:
        audit.record(session, audit.SYSTEM, "job.dead_lettered", job_id, of_case=case_of(subject), reason=reason)
    return subject is not None


def waiting(session: Session) -> int:
    """How many cases wait for their result, or until they are quiet."""
    owed = sa.select(sa.func.count()).where(JobRow.state == QUEUED, JobRow.kind == "diagnose").scalar_subquery()
    due = sa.select(sa.func.count()).select_from(DueRow).scalar_subquery()
    return session.scalar(sa.select(owed + due)) or 0


def is_due(session: Session, case_id: str) -> bool:
    """Whether a case waits until it is quiet."""
    return session.get(DueRow, case_id) is not None


def counts(session: Session) -> dict[tuple[str, str], int]:
    """How many jobs there are by (kind, state)."""
    rows = session.execute(sa.select(JobRow.kind, JobRow.state, sa.func.count()).group_by(JobRow.kind, JobRow.state))
    return {(kind, state): count for kind, state, count in rows}


@dataclass(frozen=True)
class JobState:
    id: str
    kind: str
    subject: str
    version: int
    state: str
    reason: str
    attempts: int
    created_at: datetime


@dataclass(frozen=True)
class Standing:
    """Where the diagnosis of a case stands: its newest job, if any, and whether it waits until the case is quiet."""

    job: JobState | None
    waits: bool

    @property
    def word(self) -> str:
        """What a caller is told."""
        return SHOWN[QUEUED if self.waits or self.job is None else self.job.state]

    @property
    def reason(self) -> str:
        """Why it failed, where it did."""
        return self.job.reason if self.job is not None and self.word == SHOWN[DEAD] else ""


def standing(session: Session, case_id: str) -> Standing:
    return Standing(of(session, "diagnose", [case_id]).get(case_id), is_due(session, case_id))


def of(session: Session, kind: str, subjects: Sequence[str]) -> dict[str, JobState]:
    """The newest job of each subject that has one."""
    query = sa.select(JobRow).where(JobRow.kind == kind, JobRow.subject.in_(subjects))
    return {row.subject: _shown(row) for row in session.scalars(query.order_by(JobRow.version, JobRow.created_at))}


def get(session: Session, job_id: str) -> JobState | None:
    row = session.get(JobRow, job_id)
    return None if row is None else _shown(row)


def listed(session: Session, state: str | None = None) -> Iterator[JobState]:
    """The jobs in a state, or all, oldest first."""
    query = sa.select(JobRow).order_by(JobRow.created_at, JobRow.id).execution_options(yield_per=500)
    yield from map(_shown, session.scalars(query if state is None else query.where(JobRow.state == state)))


def revive(session: Session, job_id: str) -> str | None:
    """Makes a job that is not queued so again, its attempts forgotten. Its subject, or None if there is none such."""
    revived = (
        sa.update(JobRow)
        .where(JobRow.id == job_id, JobRow.state != QUEUED)
        .values(state=QUEUED, attempts=0, reason="")
        .returning(JobRow.subject)
        .execution_options(synchronize_session=False)
    )
    return session.scalar(revived)


def case_of(subject: str) -> str:
    """The case that a subject is or belongs to: a result's id begins with its case's."""
    return subject[:36]


def _shown(row: JobRow) -> JobState:
    return JobState(**{name: getattr(row, name) for name in JobState.__dataclass_fields__})
