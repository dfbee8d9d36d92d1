"""Where our table of jobs and DBOS's workflows contradict each other, as after a restore of one without the other."""

import sqlalchemy as sa
from sqlalchemy.orm import Session

from services.db import Database
from services.jobs import state
from services.jobs.queue import AGAIN, KINDS, Queue
from services.tables import JobRow

ACTIVE = ("ENQUEUED", "PENDING", "DELAYED")
SUFFIX = len(AGAIN) + 8


def jobs_without_workflow(session: Session, database: Database) -> list[str]:
    """The jobs that are queued and that no worker will ever take."""
    workflows = _workflows(database)
    owed = sa.select(_job_of(workflows)).where(workflows.c.status.in_(ACTIVE))
    query = sa.select(JobRow.id).where(JobRow.state == state.QUEUED, JobRow.id.not_in(owed))
    return list(session.scalars(query.order_by(JobRow.id)))


def workflows_without_job(session: Session, database: Database) -> list[str]:
    """The workflows that workers would take and of which we know nothing."""
    workflows = _workflows(database)
    unknown = ~sa.exists().where(JobRow.id == _job_of(workflows))
    query = sa.select(workflows.c.workflow_uuid).where(
        workflows.c.status.in_(ACTIVE), workflows.c.name.in_(KINDS), unknown
    )
    return list(session.scalars(query.order_by(workflows.c.workflow_uuid)))


def renew(session: Session, database: Database, queue: Queue) -> list[str]:
    """Gives every queued job that has none its workflow, in the caller's transaction; the jobs concerned."""
    found = jobs_without_workflow(session, database)
    for job_id in found:
        job = state.get(session, job_id)
        if job is not None:
            queue.renew(session, job_id, job.subject)
    return found


def _workflows(database: Database) -> sa.TableClause:
    columns = (sa.column(name, sa.String) for name in ("workflow_uuid", "status", "name"))
    return sa.table("workflow_status", *columns, schema=None if database.is_sqlite else "dbos")


def _job_of(workflows: sa.TableClause) -> sa.ColumnElement[str]:
    """queue.job_of, as the databases can say it."""
    name = workflows.c.workflow_uuid
    base = sa.func.length(name) - SUFFIX
    marked = sa.func.substr(name, base + 1, len(AGAIN)) == AGAIN
    return sa.case((marked, sa.func.substr(name, 1, base)), else_=name)
