"""Runs the work that is owed, in this process: compute at least once, conclude exactly once.

A worker may die anywhere. What it had computed and recorded is not computed again; the conclusion commits in the same
transaction as DBOS's checkpoint of it."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dbos import DBOS, DBOSConfig, DBOSPortableJSONSerializer, SQLAlchemyDatasource
from sqlalchemy.orm import Session

from clinimm.errors import ClinimmError, InputError
from services.db import Database, outlast
from services.jobs import state
from services.jobs.queue import APPLICATION, VERSION, job_of
from services.logs import of_request

log = logging.getLogger(__name__)

TRIES = 3
PAUSE_SECONDS = 0.5


@dataclass(frozen=True)
class Job:
    """`compute` gives plain JSON and may run again; `keep` has the effect, in the session it is given."""

    kind: str
    compute: Callable[[str], Mapping[str, Any]]
    keep: Callable[[Session, str, Mapping[str, Any]], None]


class Engine:
    """DBOS under the name `executor`: there is one in a process. `running` are the workflows that it is at. A job is
    not begun before `may_work`; `begun` are the workflows whose was."""

    def __init__(
        self, database: Database, executor: str, *, poll_seconds: float, may_work: Callable[[], bool] = lambda: True
    ) -> None:
        self.database, self.executor, self.poll_seconds, self.may_work = database, executor, poll_seconds, may_work
        self.running, self.begun = set[str](), set[str]()

    def start(self, jobs: list[Job]) -> None:
        serializer = DBOSPortableJSONSerializer()
        DBOS(
            config=DBOSConfig(
                name=APPLICATION,
                system_database_url=self.database.url,
                system_database_engine=self.database.engine,
                executor_id=self.executor,
                application_version=VERSION,
                log_level="WARNING",
                serializer=serializer,
                use_listen_notify=not self.database.is_sqlite,
                run_migrations=False,
                max_executor_threads=2 * len(jobs) + 2,
            )
        )
        source = SQLAlchemyDatasource.create(
            self.database.url, engine=self.database.engine, sessionmaker=self.database.sessions, serializer=serializer
        )
        for job in jobs:
            _register(job, self, source)
        DBOS.launch()
        for job in jobs:
            DBOS.register_queue(job.kind, worker_concurrency=1, polling_interval_sec=self.poll_seconds)

    def stop(self, drain_seconds: int) -> None:
        """Takes no more work and gives what was begun `drain_seconds` to end, if anything was."""
        DBOS.destroy(workflow_completion_timeout_sec=drain_seconds if self.begun else 0)


def _register(job: Job, engine: Engine, source: SQLAlchemyDatasource) -> None:
    """One workflow of two steps for a kind of job."""
    database, running = engine.database, engine.running
    # As all that writes here, a conclusion locks what it changes and sees what is committed then. In DBOS's own choice,
    # SERIALIZABLE, it would see the end of the chain of events as it was when it began, and not the events since.
    isolation = "SERIALIZABLE" if database.is_sqlite else "READ COMMITTED"

    @DBOS.step(name=f"{job.kind}.compute")  # type: ignore[untyped-decorator]
    def compute(subject: str) -> dict[str, Any]:
        workflow_id = str(DBOS.workflow_id)
        while not outlast(engine.may_work):
            time.sleep(PAUSE_SECONDS)
        engine.begun.add(workflow_id)
        return _attempt(job, database, job_of(workflow_id), subject)

    @source.transaction(name=f"{job.kind}.conclude", isolation_level=isolation)  # type: ignore[untyped-decorator]
    def conclude(subject: str, outcome: dict[str, Any]) -> bool:
        _conclude(job, source.sql_session(), job_of(str(DBOS.workflow_id)), subject, outcome)
        return True

    def conclude_or_bury(subject: str, outcome: dict[str, Any]) -> bool:
        for trial in range(1, TRIES + 1):
            try:
                return bool(conclude(subject, outcome))
            except Exception as error:  # left to DBOS it would be an error of its own, and the job queued for ever
                log.error("job cannot be concluded", extra={"job": DBOS.workflow_id, "trial": trial}, exc_info=error)
                failed = {"failed": _code(error)}
            if trial < TRIES:
                time.sleep(PAUSE_SECONDS * 2**trial)
        return bool(conclude(subject, failed))

    @DBOS.workflow(name=job.kind, max_recovery_attempts=None)  # type: ignore[untyped-decorator]
    def run(subject: str) -> bool:
        workflow_id = str(DBOS.workflow_id)
        running.add(workflow_id)
        try:
            return conclude_or_bury(subject, compute(subject))
        finally:
            running.discard(workflow_id)
            engine.begun.discard(workflow_id)


def _attempt(job: Job, database: Database, job_id: str, subject: str) -> dict[str, Any]:
    """`{"outcome": ...}`, or `{"failed": code}` once trying again is of no use. Waits for a database that is away."""
    may_begin, request = outlast(lambda: _begin(database, job_id))
    if not may_begin:
        return {"failed": "attempts_exhausted"}
    with of_request(request):
        return _outcome(job, job_id, subject)


def _outcome(job: Job, job_id: str, subject: str) -> dict[str, Any]:
    started, trial = time.monotonic(), 0
    while True:
        trial += 1
        try:
            outcome = dict(outlast(lambda: job.compute(subject)))
        except Exception as error:
            log.warning("job attempt failed", extra={"job": job_id, "trial": trial}, exc_info=error)
            if isinstance(error, ClinimmError) or trial == TRIES:
                return {"failed": _code(error)}
            time.sleep(PAUSE_SECONDS * 2**trial)
        else:
            log.info("job computed", extra={"job": job_id, "ms": round(1000 * (time.monotonic() - started))})
            return {"outcome": outcome}


def _begin(database: Database, job_id: str) -> tuple[bool, str]:
    """Whether it may be tried once more, and the id of the request that made it owed."""
    with database.write() as session:
        return state.begin(session, job_id), state.request_of(session, job_id)


def _conclude(job: Job, session: Session, job_id: str, subject: str, outcome: dict[str, Any]) -> None:
    with of_request(state.request_of(session, job_id)):
        if "outcome" in outcome:
            job.keep(session, subject, outcome["outcome"])
            state.finish(session, job_id)
        elif state.bury(session, job_id, outcome["failed"]):
            log.error("job dead-lettered", extra={"job": job_id, "reason": outcome["failed"]})


def _code(error: Exception) -> str:
    return error.code if isinstance(error, InputError) else type(error).__name__
