"""What the database says of queue, cases, files and workers, for /metrics: what is quick at each call, what grows with
the number of cases at most every half minute."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from services.db import Database, now
from services.jobs import state
from services.switch import is_stopped
from services.tables import CaseRow, DueRow, EventRow, FlagRow, ImageRow, InstanceRow, JobRow, ResultRow, WorkerRow

STALE_SECONDS = 30.0
UNSETTLED = 1000  # events that may still be preceded by one whose transaction has not ended

Counts = Mapping[Any, float]  # by the values of the labels


class Stock(Collector):
    """Where the database is away it says so, and no more. `model` is the digest of the model that answers here."""

    def __init__(self, database: Database, model: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.database, self.model, self.clock = database, model, clock
        self._events, self._lock = Events(), threading.Lock()
        self._slow: list[Metric] = []
        self._counted = float("-inf")

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterable[Metric]:
        try:
            with self.database.read() as session, self._lock:
                found = [*_quick(session, self.model), *self._slowly(session)]
        except SQLAlchemyError:
            found = []
        yield gauge("clinimm_database_up", "Whether the database answers", (), {(): float(bool(found))})
        yield from found

    def _slowly(self, session: Session) -> list[Metric]:
        if self.clock() - self._counted >= STALE_SECONDS:
            self._slow = [*_growing(session), self._events.metric(session)]
            self._counted = self.clock()
        return self._slow


@dataclass
class Events:
    """How often each thing happened: counted once, but for the last, since rows are only ever added."""

    settled: Counter[str] = field(default_factory=Counter)
    until: int = 0

    def metric(self, session: Session) -> Metric:
        last = session.scalar(sa.select(sa.func.max(EventRow.seq))) or 0
        boundary = max(self.until, last - UNSETTLED)
        self.settled += _events(session, EventRow.seq > self.until, EventRow.seq <= boundary)
        self.until = boundary
        found = CounterMetricFamily("clinimm_events", "Audit events by what was done", labels=["action"])
        for action, count in (self.settled + _events(session, EventRow.seq > boundary)).items():
            found.add_metric([action], count)
        return found


def _events(session: Session, *conditions: sa.ColumnElement[bool]) -> Counter[str]:
    query = sa.select(EventRow.action, sa.func.count()).where(*conditions).group_by(EventRow.action)
    found = Counter[str]()
    for action, count in session.execute(query):
        found[action] = count
    return found


def _quick(session: Session, model: str) -> Iterator[Metric]:
    stopped = {(): float(is_stopped(session, model))}
    yield gauge("clinimm_model_stopped", "Whether people have stopped the model that answers here", (), stopped)
    yield gauge("clinimm_jobs", "Jobs by kind and state", ("kind", "state"), dict(state.counts(session)))
    oldest = sa.select(JobRow.kind, sa.func.min(JobRow.created_at)).where(JobRow.state == state.QUEUED)
    ages = {(kind,): _age(since) for kind, since in session.execute(oldest.group_by(JobRow.kind))}
    yield gauge("clinimm_queue_age_seconds", "Since when the oldest queued job waits", ("kind",), ages)
    yield gauge("clinimm_cases_due", "Cases that wait until they are quiet", (), {(): _count(session, DueRow)})
    workers = session.scalars(sa.select(WorkerRow.metrics)).all()
    yield gauge("clinimm_workers", "Workers with a heartbeat row", (), {(): len(workers)})
    yield _reads(workers)


def _age(since: Any) -> float:
    """Never negative, though the clock of who enqueued was ahead."""
    return max(0.0, (now() - since).total_seconds())


def _reads(workers: Iterable[dict[str, Any]]) -> Metric:
    """Counted by the workers that live now: a sum that falls is one that began again."""
    counts, seconds = Counter[str](), Counter[str]()
    for counted in workers:
        for syntax, (count, spent) in counted.get("reads", {}).items():
            counts[syntax] += count
            seconds[syntax] += spent
    found = SummaryMetricFamily("clinimm_read_seconds", "Time to decode, in workers", labels=["transfer_syntax"])
    for syntax, count in counts.items():
        found.add_metric([syntax], count_value=count, sum_value=seconds[syntax])
    return found


def _growing(session: Session) -> Iterator[Metric]:
    yield gauge("clinimm_cases", "Cases by state", ("state",), _cases(session))
    words = _words(session)
    missing = {(name,): count for (kind, name), count in words.items() if kind == "missing"}
    yield gauge("clinimm_cases_missing", "Cases whose current result misses an input", ("input",), missing)
    silent = {(name,): count for (kind, name), count in words.items() if kind == "abstained"}
    yield gauge("clinimm_cases_abstained", "Cases whose current result abstains", ("reason",), silent)
    answered = sa.select(sa.func.count()).select_from(ResultRow).where(ResultRow.supersedes.is_(None))
    yield gauge("clinimm_cases_answered", "Cases that have a result", (), {(): session.scalar(answered) or 0})
    query = sa.select(ImageRow.outcome, ImageRow.code, sa.func.count()).group_by(ImageRow.outcome, ImageRow.code)
    parts = {(outcome, code): count for outcome, code, count in session.execute(query)}
    yield gauge("clinimm_image_parts", "Image parts by what became of them", ("outcome", "code"), parts)
    count, size = session.execute(sa.select(sa.func.count(), sa.func.sum(InstanceRow.bytes))).one()
    yield gauge("clinimm_instances", "DICOM instances stored", (), {(): count})
    yield gauge("clinimm_instances_bytes", "Bytes of the DICOM instances stored", (), {(): float(size or 0)})


def _cases(session: Session) -> Counts:
    """As the cases themselves tell their state."""
    total = _count(session, CaseRow)
    held = _count(session, CaseRow, CaseRow.held != "")
    queued = sa.select(JobRow.subject).where(JobRow.kind == "diagnose", JobRow.state == state.QUEUED)
    waiting = queued.union(sa.select(DueRow.case_id)).subquery()
    pending = _count(session, CaseRow, CaseRow.held == "", CaseRow.id.in_(sa.select(waiting)))
    dead = sa.select(JobRow.subject).where(
        JobRow.kind == "diagnose", JobRow.state == state.DEAD, JobRow.version == CaseRow.version
    )
    failed = _count(session, CaseRow, CaseRow.held == "", CaseRow.id.in_(dead), CaseRow.id.not_in(sa.select(waiting)))
    done = total - held - pending - failed
    return {("held",): held, ("pending",): pending, ("failed",): failed, ("done",): done}


def _words(session: Session) -> dict[tuple[str, str], int]:
    """The flags of current results that tell what was missing, and why nothing was answered."""
    old = sa.select(ResultRow.supersedes).where(ResultRow.supersedes.is_not(None))
    told = sa.or_(FlagRow.flag.startswith("missing:"), FlagRow.flag.startswith("abstained:"))
    query = sa.select(FlagRow.flag, sa.func.count()).where(told, FlagRow.result_id.not_in(old)).group_by(FlagRow.flag)
    return {tuple(flag.split(":", 1)): count for flag, count in session.execute(query)}  # type: ignore[misc]


def _count(session: Session, row: type[Any], *conditions: sa.ColumnElement[bool]) -> int:
    return session.scalar(sa.select(sa.func.count()).select_from(row).where(*conditions)) or 0


def gauge(name: str, said: str, labels: tuple[str, ...], values: Counts) -> Metric:
    found = GaugeMetricFamily(name, said, labels=labels)
    for label, value in values.items():
        found.add_metric(label, value)
    return found
