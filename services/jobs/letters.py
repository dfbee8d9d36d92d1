"""Work that is owed, as an operator sees it: what waits, what could not be done and why, and having it tried again."""

from collections.abc import Iterator

from clinimm.errors import ConfigError
from services import audit
from services.db import Database, now
from services.jobs import state
from services.jobs.queue import Queue

STATES = (state.QUEUED, state.DONE, state.DEAD)


def lines(database: Database, wanted: str | None = None) -> Iterator[str]:
    """A line for each job in that state, or for all: id, state, attempts, reason, age in seconds.

    Raises ConfigError."""
    if wanted is not None and wanted not in STATES:
        raise ConfigError("is not a state of jobs", where="--state", mend=f"give one of {', '.join(STATES)}")
    with database.read() as session:
        for job in state.listed(session, wanted):
            age = max(0.0, (now() - job.created_at).total_seconds())  # a clock may have been put back
            yield f"{job.id}\t{job.state}\t{job.attempts}\t{job.reason or '-'}\t{age:.0f}"


def retry(database: Database, job_id: str | None = None) -> list[str]:
    """The ids of the dead jobs that were put back on the queue: of one, or of all. Raises ConfigError if that one is
    not dead."""
    queue = Queue(database, limit=0)
    try:
        with database.read() as session:
            dead = [job.id for job in state.listed(session, state.DEAD) if job_id in (None, job.id)]
        if job_id is not None and not dead:
            raise ConfigError("is not a dead job", where="ID", mend="see `clinimm-service jobs list --state dead`")
        return [job for job in dead if _retried(database, queue, job)]
    finally:
        queue.close()


def _retried(database: Database, queue: Queue, job_id: str) -> bool:
    with database.write() as session:
        return queue.retry(session, job_id, audit.OPERATOR)
