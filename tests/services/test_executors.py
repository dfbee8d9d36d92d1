"""The rescue of work from dead workers: by whom, of whom, and by no clock but the rescuer's."""

import contextlib
import time

import httpx
import sqlalchemy as sa
from service_requests import case, post

from services.db import Database
from services.jobs.executors import Executors
from services.jobs.queue import Queue
from services.tables import WorkerRow

LEASE = 0.4


def worker(database: Database, name: str) -> Executors:
    executors = Executors(database, name, "d" * 64, lease_seconds=LEASE)
    executors.beat()
    return executors


def begun_by(database: Database, name: str) -> None:
    """Leaves every job as a worker does that has taken it and died."""
    table = "workflow_status" if database.is_sqlite else "dbos.workflow_status"
    with database.write() as session:
        session.execute(sa.text(f"UPDATE {table} SET status = 'PENDING', executor_id = :name"), {"name": name})


def test_silent_workers_job_is_put_back_and_the_others_left(either_api: httpx.Client, database: Database) -> None:
    post(either_api, case())
    queue = Queue(database, limit=10)
    dead, living = worker(database, "a-dead"), worker(database, "b-living")
    begun_by(database, dead.name)
    assert living.rescue(queue.client) == []  # not its turn: the other may live
    time.sleep(LEASE * 1.2)
    living.beat()
    [rescued] = living.rescue(queue.client)
    assert rescued.startswith("diagnose:")
    assert queue.client.list_workflows(status="ENQUEUED")[0].workflow_id == rescued
    begun_by(database, living.name)
    living.beat()
    assert living.rescue(queue.client) == []
    with database.read() as session:
        assert session.scalars(sa.select(WorkerRow.id)).all() == [living.name]


def test_worker_that_only_seemed_dead_is_heard_again(database: Database) -> None:
    slow, other = worker(database, "b-slow"), worker(database, "a-other")
    queue = Queue(database, limit=10)
    other.rescue(queue.client)
    time.sleep(LEASE * 1.2)
    other.beat()
    other.rescue(queue.client)
    slow.beat()
    with database.read() as session:
        assert set(session.scalars(sa.select(WorkerRow.id))) == {slow.name, other.name}


def test_worker_that_leaves_hands_its_jobs_back(either_api: httpx.Client, database: Database) -> None:
    post(either_api, case())
    queue = Queue(database, limit=10)
    leaving = worker(database, "a")
    begun_by(database, leaving.name)
    assert len(leaving.leave(queue.client)) == 1
    with database.read() as session:
        assert session.scalars(sa.select(WorkerRow)).all() == []


def test_worker_recalls_its_jobs_that_it_is_not_at(either_api: httpx.Client, database: Database) -> None:
    for reference in ("at work", "unknown"):
        post(either_api, case(reference))
    queue = Queue(database, limit=10)
    living = worker(database, "a")
    begun_by(database, living.name)
    at_work, unknown = [job.workflow_id for job in queue.client.list_workflows(status="PENDING")]
    assert living.recall(queue.client, {at_work}) == []  # it may just be about to begin
    time.sleep(LEASE * 1.2)
    assert living.recall(queue.client, {at_work}) == [unknown]
    assert [job.workflow_id for job in queue.client.list_workflows(status="ENQUEUED")] == [unknown]


def test_job_and_case_come_and_go_together(either_api: httpx.Client, database: Database) -> None:
    queue = Queue(database, limit=10)
    case_id = post(either_api, case()).json()["id"]
    with contextlib.suppress(RuntimeError), database.write() as session:
        queue.enqueue(session, "explain", case_id, "d" * 64)
        raise RuntimeError
    assert [job.name for job in queue.client.list_workflows()] == ["diagnose"]
