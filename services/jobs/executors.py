"""Which workers live, and the rescue of work from those that died: DBOS does not notice by itself.

A worker counts its beats in a row. One whose count has not moved for a lease, by the clock of whoever watches and no
other, is dead; the first of the living by name puts its work back on the queue."""

import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

import sqlalchemy as sa
from dbos import DBOSClient
from sqlalchemy.orm import Session

from services.db import Database, now
from services.tables import WorkerRow


class Pulse:
    """Which workers live: whose beats went up within a lease, by the clock of whoever watches and no other. One that is
    seen for the first time lives until its lease is over."""

    def __init__(self, lease_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.lease_seconds, self.clock = lease_seconds, clock
        self._seen: dict[str, tuple[int, float]] = {}

    def alive(self, beats: Mapping[str, int]) -> set[str]:
        now = self.clock()
        known = {worker: self._seen.get(worker, (None, 0.0)) for worker in beats}
        self._seen = {
            worker: (count, known[worker][1] if known[worker][0] == count else now) for worker, count in beats.items()
        }
        return {worker for worker, (_, since) in self._seen.items() if now - since < self.lease_seconds}


def beats(session: Session, model: str | None = None) -> dict[str, int]:
    """The beats of each worker, or of those that have one model loaded."""
    query = sa.select(WorkerRow.id, WorkerRow.beats)
    rows = session.execute(query if model is None else query.where(WorkerRow.model == model))
    return {row.id: row.beats for row in rows}


class Executors:
    """The living as seen from here. `name` is this worker's own."""

    def __init__(self, database: Database, name: str, model: str, *, lease_seconds: float) -> None:
        self.database, self.name, self.model = database, name, model
        self._beats, self._pulse = 0, Pulse(lease_seconds)
        self._idle = Pulse(lease_seconds)

    def beat(self, metrics: Mapping[str, Any] | None = None) -> None:
        """Says that this worker lives, and what it has counted: also where another took it for dead meanwhile."""
        self._beats += 1
        told = {"model": self.model, "beats": self._beats, "seen_at": now(), "metrics": dict(metrics or {})}
        own = sa.update(WorkerRow).where(WorkerRow.id == self.name).values(told).returning(WorkerRow.id)
        with self.database.write() as session:
            if session.scalar(own.execution_options(synchronize_session=False)) is None:
                session.execute(sa.insert(WorkerRow).values(id=self.name, **told))

    def rescue(self, client: DBOSClient) -> list[str]:
        """The jobs put back on the queue, if it is this worker's turn to do so."""
        alive = self._alive()
        if self.name != min(alive, default=""):
            return []
        self._bury_others(alive)
        return give_back(client, spared=alive)

    def recall(self, client: DBOSClient, running: Collection[str]) -> list[str]:
        """The jobs put back on the queue that are this worker's and that it has not been at for a lease: as where a
        connection was lost together with the answer to its taking them."""
        begun = client.list_workflows(status="PENDING", executor_id=self.name, load_input=False, load_output=False)
        idle = {job.workflow_id: job for job in begun if job.workflow_id not in running}
        waiting = self._idle.alive(dict.fromkeys(idle, 0))
        for name in idle.keys() - waiting:
            client.resume_workflow(name, queue_name=idle[name].name)
        return sorted(idle.keys() - waiting)

    def leave(self, client: DBOSClient) -> list[str]:
        """The jobs that this worker had begun and hands back, as it goes."""
        with self.database.write() as session:
            session.execute(sa.delete(WorkerRow).where(WorkerRow.id == self.name))
        return give_back(client, of=self.name)

    def _alive(self) -> set[str]:
        with self.database.read() as session:
            return self._pulse.alive(beats(session))

    def _bury_others(self, alive: set[str]) -> None:
        with self.database.write() as session:
            session.execute(sa.delete(WorkerRow).where(WorkerRow.id.not_in(alive)))


def give_back(client: DBOSClient, *, spared: set[str] | None = None, of: str | None = None) -> list[str]:
    """Puts begun work back on the queue: that `of` one worker, or of all but the `spared`. Gives the ids."""
    begun = client.list_workflows(status="PENDING", executor_id=of, load_input=False, load_output=False)
    orphans = [job for job in begun if spared is None or job.executor_id not in spared]
    for job in orphans:
        client.resume_workflow(job.workflow_id, queue_name=job.name)
    return [job.workflow_id for job in orphans]
