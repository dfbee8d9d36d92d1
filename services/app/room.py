"""Every door that keeps something is shut while there is no room, and what was refused for it is recorded."""

from dataclasses import dataclass

from fastapi import Request

from services import audit
from services.app import problems
from services.db import Database
from services.reserve import Reserve

READING = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True)
class Room:
    reserve: Reserve
    database: Database

    def check(self, request: Request) -> None:
        """Raises StorageFull where something would be kept."""
        if request.method not in READING and not self.reserve.is_kept():
            raise problems.storage_full()

    def refused(self, client: str, route: str) -> None:
        """Records a refusal, in the room that was kept for that."""
        self.reserve.give_up()
        with self.database.write() as session:
            audit.record(session, client, "request.refused", route, code="storage_full")
