"""The queue's door: work is put on it in the transaction that makes it owed; neither exists without the other."""

import secrets

from dbos import DBOS, DBOSClient, DBOSPortableJSONSerializer
from sqlalchemy.orm import Session

from services import audit
from services.audit.seals import JOBS
from services.db import Database, now
from services.db.migrate import one_at_a_time
from services.errors import Unavailable
from services.jobs import state
from services.logs import request_id
from services.tables import JobRow

APPLICATION = "clinimm"
# Fixed on purpose: DBOS's default changes with the code, and no worker would then touch what an older one left.
VERSION = "1"
KINDS = ("diagnose", "explain")
AGAIN = "#"  # between a job's id and what tells its later workflows apart


def migrate(database: Database) -> None:
    """Brings DBOS's own tables to the version that is installed."""
    with one_at_a_time(database):
        DBOS.migrate(database.url)


def job_name(kind: str, subject: str, model: str, version: int) -> str:
    return f"{kind}:{subject}:{version}:{model[:16]}"


def job_of(workflow_id: str) -> str:
    """The job that a workflow is of: each time that it is owed again, it gets another workflow."""
    return workflow_id.partition(AGAIN)[0]


class Queue:
    """Enqueues without knowing any worker's code. `limit` bounds the work that may wait."""

    def __init__(self, database: Database, limit: int) -> None:
        self.limit = limit
        self.client = DBOSClient(
            system_database_engine=database.engine,
            serializer=DBOSPortableJSONSerializer(),
            application_name=APPLICATION,
            lazy=True,
            retry_connection_errors=False,
        )

    def enqueue(
        self, session: Session, kind: str, subject: str, model: str, *, version: int = 1, again: bool = False
    ) -> str:
        """Owes `kind` for this version of `subject`: once for each model, however often it is asked. Gives its id.

        `again` says that it may have had a workflow before."""
        job_id = job_name(kind, subject, model, version)
        if session.get(JobRow, job_id) is not None:
            return job_id
        job = {"id": job_id, "kind": kind, "subject": subject, "version": version}
        job |= {"request_id": request_id.get(), "created_at": now()}
        session.add(JobRow(**job, state=state.QUEUED, attempts=0, reason=""))
        session.flush()
        audit.bind(session, f"{JOBS}/{job_id}", job, of_case=state.case_of(subject))
        if again:
            self.renew(session, job_id, subject)
        else:
            self._owe(session, kind, job_id, subject)
        return job_id

    def retry(self, session: Session, job_id: str, actor: str) -> bool:
        """Owes a job again that is done or dead; False if there is none, or if it is queued already."""
        subject = state.revive(session, job_id)
        if subject is None:
            return False
        self.renew(session, job_id, subject)
        audit.record(session, actor, "job.retried", job_id, of_case=state.case_of(subject))
        return True

    def owe_again(self, session: Session, kind: str, subject: str, model: str, actor: str, *, version: int = 1) -> None:
        """Owes it whether or not it was ever done; harmless where it is queued."""
        if not self.retry(session, job_name(kind, subject, model, version), actor):
            self.enqueue(session, kind, subject, model, version=version, again=True)

    def renew(self, session: Session, job_id: str, subject: str) -> None:
        """Gives a queued job a workflow of its own again."""
        self._owe(session, job_id.partition(":")[0], f"{job_id}{AGAIN}{secrets.token_hex(4)}", subject)

    def _owe(self, session: Session, kind: str, workflow_id: str, subject: str) -> None:
        self.client.enqueue_in_transaction(
            session,
            {
                "workflow_name": kind,
                "queue_name": kind,
                "workflow_id": workflow_id,
                "app_version": VERSION,
                "application_name": APPLICATION,
            },
            subject,
        )

    def check_room(self, session: Session) -> None:
        """Raises Unavailable if as much work waits as may wait."""
        if state.waiting(session) >= self.limit:
            raise Unavailable("queue_full", "Too many cases wait to be diagnosed.", retry_after=30)

    def close(self) -> None:
        self.client.destroy()
