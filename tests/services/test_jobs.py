"""Work that cannot be done is tried a few times, laid aside, told of, and tried again when an operator says so."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from service_requests import case, post
from sqlalchemy.orm import Session
from typer.testing import CliRunner

from clinimm.errors import DamagedInput
from services import audit
from services.cli import cli
from services.db import Database
from services.jobs import engine, letters, state
from services.jobs.engine import Engine, Job
from services.jobs.queue import Queue
from services.tables import EventRow, JobRow

MODEL = "d" * 64


@pytest.fixture
def queue(database: Database) -> Iterator[Queue]:
    queue = Queue(database, limit=100)
    yield queue
    queue.close()


def owe(database: Database, queue: Queue, *subjects: str) -> None:
    with database.write() as session:
        for subject in subjects:
            queue.enqueue(session, "diagnose", subject, MODEL)


class Diary:
    """A job whose poisonous subjects fail; what was begun, when, and what was kept."""

    def __init__(self, poison: Mapping[str, Exception]) -> None:
        self.poison = dict(poison)
        self.begun: list[tuple[str, float]] = []
        self.kept: list[str] = []

    def compute(self, subject: str) -> Mapping[str, Any]:
        self.begun.append((subject, time.monotonic()))
        if subject in self.poison:
            raise self.poison[subject]
        return {}

    def keep(self, session: Session, subject: str, outcome: Mapping[str, Any]) -> None:
        self.kept.append(subject)
        audit.record(session, audit.SYSTEM, "kept", subject)

    def times(self, subject: str) -> list[float]:
        return [moment for begun, moment in self.begun if begun == subject]


@contextmanager
def working(database: Database, diary: Diary) -> Iterator[None]:
    worker = Engine(database, "tests", poll_seconds=0.02)
    worker.start([Job("diagnose", diary.compute, diary.keep)])
    try:
        yield
    finally:
        worker.stop(5)


@pytest.mark.slow
def test_job_is_concluded_at_once_though_others_write_meanwhile(
    database: Database, queue: Queue, caplog: pytest.LogCaptureFixture
) -> None:
    class Busy(Diary):
        def keep(self, session: Session, subject: str, outcome: Mapping[str, Any]) -> None:
            session.execute(sa.select(sa.func.count()).select_from(EventRow))  # from here on it might see no others
            if not database.is_sqlite:  # which lets nobody else write now
                with database.write() as other:
                    audit.record(other, "someone", "meanwhile", subject)
            super().keep(session, subject, outcome)

    owe(database, queue, "one", "two")
    with working(database, diary := Busy({})):
        until(lambda: all(job[0] != state.QUEUED for job in states(database).values()))
    assert sorted(diary.kept) == ["one", "two"]
    assert "cannot be concluded" not in caplog.text


def until(reached: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def states(database: Database) -> dict[str, tuple[str, str, int]]:
    with database.read() as session:
        return {job.subject: (job.state, job.reason, job.attempts) for job in state.listed(session)}


def test_poison_is_tried_thrice_ever_later_and_the_others_go_on(
    database: Database, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept, sleep = list[float](), time.sleep
    monkeypatch.setattr(engine, "PAUSE_SECONDS", 0.0371)
    monkeypatch.setattr(engine.time, "sleep", lambda seconds: (slept.append(seconds), sleep(seconds)))
    diary = Diary({"poison": RuntimeError("x"), "damaged": DamagedInput("no_pixels", "it has no pixels")})
    owe(database, queue, "before", "poison", "damaged", "after")
    with working(database, diary):
        until(lambda: all(job[0] != state.QUEUED for job in states(database).values()))
    assert states(database) == {
        "before": ("done", "", 1),
        "poison": ("dead", "RuntimeError", 1),
        "damaged": ("dead", "no_pixels", 1),
        "after": ("done", "", 1),
    }
    assert len(diary.times("poison")) == 3
    pauses = [0.0371 * 2, 0.0371 * 4]
    assert [seconds for seconds in slept if seconds in pauses] == pauses
    assert len(diary.times("damaged")) == 1  # what is wrong with it will not change
    assert sorted(diary.kept) == ["after", "before"]


def test_dead_job_is_told_of_and_tried_again_when_it_is_asked_for(
    database: Database, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "PAUSE_SECONDS", 0.01)
    diary = Diary({"poison": RuntimeError("x"), "venom": RuntimeError("x")})
    owe(database, queue, "poison", "venom", "sound")
    with working(database, diary):
        until(lambda: all(job[0] != state.QUEUED for job in states(database).values()))
        dead = [line.split("\t") for line in letters.lines(database, "dead")]
        assert {(word, attempts, reason) for _, word, attempts, reason, _ in dead} == {("dead", "1", "RuntimeError")}
        diary.poison.clear()
        [job_id] = [line[0] for line in dead if "poison" in line[0]]
        assert letters.retry(database, job_id) == [job_id]
        until(lambda: states(database)["poison"] == ("done", "", 1))
        assert len(letters.retry(database)) == 1
        until(lambda: states(database)["venom"] == ("done", "", 1))
    assert letters.retry(database) == []
    assert sorted(diary.kept) == ["poison", "sound", "venom"]
    with database.read() as session:
        told = session.scalars(sa.select(EventRow.object_id).where(EventRow.action == "job.retried")).all()
    assert sorted(told) == sorted(line[0] for line in dead)


@pytest.mark.slow
def test_worker_speaks_under_the_id_of_the_request(either_api: httpx.Client, database: Database) -> None:
    case_id = post(either_api, case(), headers={"X-Request-Id": "trace-7"}).json()["id"]
    with working(database, Diary({})):
        until(lambda: states(database)[case_id][0] == state.DONE)
    with database.read() as session:
        [told] = session.scalars(sa.select(EventRow.request_id).where(EventRow.action == "kept"))
    assert told == "trace-7"


def test_jobs_are_told_and_retried_by_command(either_api: httpx.Client, database: Database) -> None:
    case_id = post(either_api, case()).json()["id"]
    with database.write() as session:
        job_id = session.scalars(sa.select(JobRow.id)).one()
        state.bury(session, job_id, "RuntimeError")
    place = ["--database-url", database.url]
    told = CliRunner().invoke(cli, ["jobs", "list", "--state", "dead", *place])
    assert told.output.split("\t")[:4] == [job_id, "dead", "0", "RuntimeError"]
    assert CliRunner().invoke(cli, ["jobs", "retry", job_id, *place]).output == f"{job_id}\n"
    assert either_api.get(f"/v1/cases/{case_id}").json()["state"] == "pending"
    assert CliRunner().invoke(cli, ["jobs", "retry", job_id, *place]).exit_code != 0
    assert CliRunner().invoke(cli, ["jobs", "list", "--state", "dead", *place]).output == ""
    assert CliRunner().invoke(cli, ["jobs", "list", "--state", "lost", *place]).exit_code != 0
    assert CliRunner().invoke(cli, ["jobs", "retry", *place]).exit_code != 0


def test_job_of_tomorrow_is_not_younger_than_now(database: Database, queue: Queue) -> None:
    owe(database, queue, "a")
    with database.write() as session:
        row = session.scalars(sa.select(JobRow)).one()
        row.created_at += timedelta(days=1)
    assert [line.split("\t")[-1] for line in letters.lines(database)] == ["0"]
