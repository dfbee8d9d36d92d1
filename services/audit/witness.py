"""What was read and what was refused: such requests change nothing, so that there is no transaction to tell of them in.
They are told of in one of our own, before their answer goes out; those that come together, in one together."""

import logging
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.orm import Session

from services import audit
from services.db import Database, is_full

log = logging.getLogger(__name__)

MOST = 500  # events of one transaction
OWED = 10_000  # events that may wait in memory for room


@dataclass(frozen=True)
class Sight:
    """One request that had no effect. `shown` are the cases of which its answer tells something."""

    actor: str
    action: str
    object_id: str
    outcome: str
    shown: Collection[str] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    seen_in: Context = field(default_factory=copy_context)

    def record(self, session: Session) -> None:
        self.seen_in.run(self._record, session)

    def _record(self, session: Session) -> None:
        audit.record(
            session, self.actor, self.action, self.object_id, shown=self.shown, outcome=self.outcome, **self.facts
        )


class Witness:
    """Writes what it is told, from one thread. `make_room` gives up the room that is kept for events once
    there is no other."""

    def __init__(self, database: Database, make_room: Callable[[], None]) -> None:
        self._database, self.make_room = database, make_room
        self._waiting: deque[tuple[Sight, Future[None]]] = deque()
        self._owed: list[Sight] = []
        self._thread = ThreadPoolExecutor(1, "witness")

    def tell(self, sight: Sight) -> Future[None]:
        """Done once it is durable; fails where the database cannot be written.

        Where there is no room left, not even what was kept for this, it is done all the same, for what is stored must
        stay readable on a full disk: the event then waits in memory for room, with up to `OWED` others."""
        told: Future[None] = Future()
        self._waiting.append((sight, told))
        self._thread.submit(self._turn)
        return told

    def close(self) -> None:
        self._thread.shutdown()

    def _turn(self) -> None:
        batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), MOST))]
        told = [future for _, future in batch if future.set_running_or_notify_cancel()]
        if not batch:
            return
        try:
            self._write([sight for sight, _ in batch])
        except Exception as error:
            for future in told:
                future.set_exception(error)
        else:
            for future in told:
                future.set_result(None)

    def _write(self, sights: Sequence[Sight]) -> None:
        try:
            self._store([*self._owed, *sights])
        except Exception as error:
            if not is_full(error):
                raise
            self._write_without_room(sights, error)

    def _write_without_room(self, sights: Sequence[Sight], error: Exception) -> None:
        self.make_room()
        try:
            self._store([*self._owed, *sights])
        except Exception as again:
            if not is_full(again) or len(self._owed) + len(sights) > OWED:
                raise
            self._owed += sights
            log.error("events wait for room", extra={"events": len(self._owed)}, exc_info=error)

    def _store(self, sights: Sequence[Sight]) -> None:
        with self._database.write() as session:
            for sight in sights:
                sight.record(session)
        self._owed = []
