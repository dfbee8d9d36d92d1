"""When a case that changed is diagnosed: at once where it has been quiet, once for a whole burst where it has not."""

import logging
import time
from dataclasses import dataclass, field
from datetime import timedelta

from sqlalchemy.orm import Session

from services import audit
from services.cases import store
from services.cases.stored import StoredCase
from services.db import Database, now
from services.jobs import state
from services.jobs.queue import Queue
from services.logs import of_request
from services.settings import Pace

log = logging.getLogger(__name__)


def owe(session: Session, queue: Queue, case: StoredCase, model: str, pace: Pace, *, whole: bool) -> None:
    """Owes a diagnosis of the case as it is now, in the caller's transaction. `whole` says that nothing more will come.

    The first change after a pause is diagnosed at once; what follows it waits until the case is quiet."""
    if not case.held and not whole and not _has_rested(session, case, pace):
        store.wait(session, case.id, case.version)
        return
    if case.version > 1:
        store.stop_waiting(session, case.id)
    if not case.held:
        queue.enqueue(session, "diagnose", case.id, model, version=case.version)


def _has_rested(session: Session, case: StoredCase, pace: Pace) -> bool:
    """Whether nothing is owed for the case and its last diagnosis was begun long ago, or never. A clock that jumps can
    only make this answer early or late: never lose a diagnosis."""
    if case.version == 1:
        return True
    if store.waiting(session, [case.id]):
        return False
    last = state.of(session, "diagnose", [case.id]).get(case.id)
    if last is None:
        return True
    return last.state != state.QUEUED and abs(now() - last.created_at) > timedelta(seconds=pace.cap)


@dataclass
class Settler:
    """Owes the diagnosis of cases that have become quiet, by this process's own clock and no other: what it has seen
    of a case is the version and since when. Any number of them may run: a diagnosis is owed once."""

    database: Database
    queue: Queue
    model: str
    pace: Pace
    _seen: dict[str, tuple[int, float, float]] = field(default_factory=dict)

    def turn(self) -> int:
        """How many cases were settled."""
        with self.database.read() as session:
            waiting = store.waiting(session)
        clock = time.monotonic()
        self._seen = {case_id: self._noted(case_id, version, clock) for case_id, version in waiting.items()}
        quiet = [
            case_id
            for case_id, (_, first, last) in self._seen.items()
            if clock - last >= self.pace.quiet or clock - first >= self.pace.cap
        ]
        return sum(self._settle(case_id) for case_id in quiet)

    def _noted(self, case_id: str, version: int, clock: float) -> tuple[int, float, float]:
        known, first, last = self._seen.get(case_id, (version, clock, clock))
        return version, first, last if known == version else clock

    def _settle(self, case_id: str) -> bool:
        with self.database.write() as session:
            case = store.get(session, case_id, lock=True)
            if case is None or not store.waiting(session, [case_id]):
                return False
            store.stop_waiting(session, case_id)
            if case.held:
                return False
            with of_request(audit.last_request(session, case_id)):
                audit.record(session, audit.SYSTEM, "case.settled", case_id, of_case=case_id, version=case.version)
                self.queue.enqueue(session, "diagnose", case_id, self.model, version=case.version)
        log.info("case settled", extra={"case_id": case_id, "version": case.version})
        return True
