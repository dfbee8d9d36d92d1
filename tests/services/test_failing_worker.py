"""Every call of the disk and of the database that a worker makes may fail, one after the other: each ends in one result
and one report, at once or when the fault is gone, or in a dead job that is told of and succeeds when it is retried."""

import errno
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from failing_database import failing_statements
from failing_disk import LOST, SHORT, SLOW, Disk, Fault, failing_files
from service_processes import running_api
from service_requests import Image, case, cohort_film, post

from clinimm.features.store import Features
from clinimm.inference import Predictor
from services.blobs import Blobs
from services.db import Database
from services.diagnosis import Diagnosis
from services.jobs import engine, letters, skew, state
from services.jobs.engine import Engine, Job
from services.jobs.executors import Executors
from services.jobs.queue import KINDS, Queue
from services.settings import Settings
from services.similar.search import opened
from services.tables import EmbeddingRow, EventRow, FlagRow, ReportRow, ResultRow

ERRORS = {"ENOSPC": errno.ENOSPC, "EIO": errno.EIO, "EINTR": errno.EINTR, "slow": SLOW}
FAULT_SECONDS = 0.4


class Gate:
    """Where jobs of one kind wait before they are computed, once it is closed."""

    def __init__(self) -> None:
        self.kind, self.reached, self.opened = "", threading.Event(), threading.Event()

    def close(self, kind: str) -> None:
        self.kind = kind
        self.reached.clear()
        self.opened.clear()

    def open(self) -> None:
        self.kind = ""
        self.opened.set()

    def before(self, job: Job) -> Job:
        def compute(subject: str) -> Mapping[str, Any]:
            if self.kind == job.kind:
                self.reached.set()
                self.opened.wait()
            return job.compute(subject)

        return replace(job, compute=compute)


@dataclass
class Ward:
    """An API, and a worker of this process that does jobs of some `kinds`, whose disk may fail."""

    api: httpx.Client
    database: Database
    blobs: Blobs
    queue: Queue
    worker: Engine
    executors: Executors
    disk: Disk
    gate: Gate
    kinds: Sequence[str]
    images: Sequence[Image]

    def answered(self, number: int, arm: Callable[[], None], *, gate: str = "") -> None:
        """Posts a case while the disk is armed, or arms it when a worker has begun the job of the kind `gate`, and
        sees all that is owed of it done."""
        if gate:
            self.gate.close(gate)
        else:
            arm()
        made = post(self.api, case(f"case-{number}"), self.images)
        assert made.status_code == 202
        if gate:
            assert self.gate.reached.wait(120)
            arm()
            self.gate.open()
        case_id = made.json()["id"]
        self._await(case_id)
        dead = self._jobs(case_id, state.DEAD)
        assert self._told("job.dead_lettered", [job.id for job in dead]) == len(dead)
        for job in dead:
            assert letters.retry(self.database, job.id) == [job.id]
        self._await(case_id)
        self.assert_whole(case_id)

    def assert_whole(self, case_id: str) -> None:
        """One result with its flags, place and event, and its report if it is owed no more; and nothing besides."""
        with self.database.read() as session:
            [result] = session.scalars(sa.select(ResultRow).where(ResultRow.case_id == case_id))
            reports = session.scalars(sa.select(ReportRow).where(ReportRow.result_id == result.id)).all()
            assert session.scalars(sa.select(FlagRow).where(FlagRow.result_id == result.id)).all()
            assert session.get(EmbeddingRow, (case_id, result.model)) is not None
            assert skew.workflows_without_job(session, self.database) == []
        done, dead = self._jobs(case_id, state.DONE), self._jobs(case_id, state.DEAD)
        assert {job.kind for job in done} == set(self.kinds), (dead, self.disk)
        assert self._told("result.stored", [result.id]) == 1
        assert self._told("report.stored", [result.id]) == len(reports) == int("explain" in self.kinds)
        for report in reports:
            assert self.blobs.is_sound(report.record_sha256)
            assert self.blobs.is_sound(report.page_sha256)

    def _await(self, case_id: str) -> None:
        """Until none of its jobs is queued. The fault is gone after a while, and workers see to what is stuck then."""
        started, mended_at = time.monotonic(), float("inf")
        while any(job.kind in self.kinds for job in self._jobs(case_id, state.QUEUED)):
            assert time.monotonic() - started < 120, "a job is lost"
            time.sleep(0.02)
            if self.disk.fired and mended_at == float("inf"):
                mended_at = time.monotonic() + FAULT_SECONDS
            if time.monotonic() > mended_at:
                self.disk.mend()
                self.executors.recall(self.queue.client, self.worker.running)
                with self.database.write() as session:
                    skew.renew(session, self.database, self.queue)
        self.disk.mend()

    def _jobs(self, case_id: str, word: str) -> list[state.JobState]:
        with self.database.read() as session:
            return [job for job in state.listed(session, word) if state.case_of(job.subject) == case_id]

    def _told(self, action: str, ids: Sequence[str]) -> int:
        with self.database.read() as session:
            query = sa.select(sa.func.count()).where(EventRow.action == action, EventRow.object_id.in_(ids))
            return session.scalar(query) or 0


@contextmanager
def warded(
    settings: Settings, disk: Disk, kinds: Sequence[str], images: Sequence[Image] = (), *, statements: bool = True
) -> Iterator[Ward]:
    sound, own = Database(settings.url), Database(settings.url)
    if statements:
        failing_statements(disk, own.engine)
    queue, own_queue, gate = Queue(sound, 100), Queue(own, 100), Gate()
    features, blobs = Features(settings.data / "features"), Blobs(settings.data / "blobs")
    predictor, explainer = (Predictor.load(settings.model, features=features) for _ in range(2))
    search = opened(own, settings.vectors, predictor.digest, predictor.config.fused_width)
    worker = Engine(own, "tests", poll_seconds=0.02)
    executors = Executors(sound, "tests", predictor.digest, lease_seconds=2)
    jobs = Diagnosis(predictor, explainer, own, blobs, own_queue, search).jobs()
    with running_api(settings.model_copy(update={"reserve_bytes": 0})) as api:
        worker.start([gate.before(job) for job in jobs if job.kind in kinds])
        try:
            yield Ward(api, sound, blobs, queue, worker, executors, disk, gate, kinds, images)
        finally:
            disk.mend()  # or what still waits for it outlives the test
            gate.open()
            worker.stop(5)
    for one in (queue, own_queue, sound, own):
        one.close()


def swept(
    ward: Ward, fault: Fault, kinds: Collection[str] | None = None, *, gate: str = "", whole: bool = True
) -> set[str]:
    """The kinds of call that failed: each call that the worker makes for one case, of all kinds or of some, but those
    that it makes all the time. Unless `whole`, only the first and the last of each kind."""
    ward.answered(0, lambda: None)
    ward.disk.heard.clear()
    time.sleep(0.5)
    always = set(ward.disk.heard)
    ward.answered(1, ward.disk.heard.clear, gate=gate)
    heard = {kind: n for kind, n in ward.disk.heard.items() if kind not in always} | dict.fromkeys(sorted(always), 1)
    number, failed = 1, set[str]()
    for kind in sorted(heard if kinds is None else kinds):
        count = heard[kind]
        for at in range(1, count + 1) if whole else sorted({1, count}):
            number += 1
            ward.answered(number, partial(ward.disk.fail, kind, at, fault), gate=gate)
            if not ward.disk.fired:
                break
            failed.add(kind)
    return failed


@pytest.fixture
def answering(settings: Settings, tiny_artifact: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(engine, "PAUSE_SECONDS", 0.02)
    return settings.model_copy(update={"artifact": tiny_artifact})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "kinds"),
    [
        pytest.param(errno.ENOSPC, {"INSERT results", "COMMIT events"}, id="ENOSPC-some"),
        pytest.param(errno.EINTR, {"COMMIT operation_outputs"}, id="EINTR-some"),
        *(pytest.param(fault, None, id=name) for name, fault in ERRORS.items()),
    ],
)
def test_sqlite_may_fail_at_any_statement_of_a_diagnosis(
    answering: Settings, fault: Fault, kinds: Collection[str] | None
) -> None:
    with warded(answering, Disk(answering.data), ["diagnose"]) as ward:
        fired = swept(ward, fault, kinds)
    assert fired >= (kinds or {"SELECT cases", "INSERT results", "INSERT events", "COMMIT events"})


@pytest.mark.slow
@pytest.mark.parametrize("fault", [pytest.param(errno.EIO, id="EIO"), pytest.param(LOST, id="lost")])
def test_postgresql_may_fail_at_any_statement_of_a_diagnosis(
    answering: Settings, emptied_postgres_url: str, fault: Fault
) -> None:
    there = answering.model_copy(update={"database_url": emptied_postgres_url})
    with warded(there, Disk(answering.data), ["diagnose"]) as ward:
        assert swept(ward, fault) >= {"SELECT cases", "INSERT results", "INSERT events", "COMMIT events"}


@pytest.mark.slow
@pytest.mark.parametrize("fault", [errno.ENOSPC])
def test_sqlite_may_fail_at_any_statement_of_an_explanation(answering: Settings, fault: Fault) -> None:
    with warded(answering, Disk(answering.data), KINDS) as ward:
        fired = swept(ward, fault, gate="explain")
    assert fired >= {"SELECT results", "INSERT reports", "INSERT events", "COMMIT events"}


@pytest.mark.slow
@pytest.mark.parametrize("name", [*ERRORS, "short"])
def test_disk_may_fail_at_any_call_of_a_worker(
    answering: Settings, tiny_cohort: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """At each with EIO; each other fault takes the same ways at the first and the last of a kind."""
    disk = Disk(answering.data)
    failing_files(disk, monkeypatch)
    images = [("image", cohort_film(tiny_cohort))]
    with warded(answering, disk, KINDS, images, statements=False) as ward:
        found = swept(ward, (ERRORS | {"short": SHORT})[name], gate="diagnose", whole=name == "EIO")
    assert found >= {"open", "write", "fsync", "replace", "read"}
