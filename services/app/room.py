"""Every door that keeps something is shut while there is no room, and what was refused for it is recorded."""

from dataclasses import dataclass

from fastapi import Request
from fastapi.concurrency import run_in_threadpool

from services import audit
from services.app import problems
from services.db import Database
from services.reserve import Reserve

READING = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True)
class Room:
    reserve: Reserve
    database: Database

    async def check(self, request: Request) -> None:
        """Raises StorageFull where something would be kept."""
        if request.method in READING or self.reserve.is_there():
            return
        if not await run_in_threadpool(self.reserve.is_kept):
            raise problems.storage_full()

    def refused(self, client: str, route: str) -> None:
        """Records a refusal, in the room that was kept for that."""
        self.reserve.give_up()
        with self.database.write() as session:
            audit.record(session, client, "request.refused", route, code="storage_full")
