"""Every door that keeps something is shut while there is no room."""

from dataclasses import dataclass

from fastapi import Request
from fastapi.concurrency import run_in_threadpool

from services.app import problems
from services.reserve import Reserve

READING = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True)
class Room:
    reserve: Reserve

    async def check(self, request: Request) -> None:
        """Raises StorageFull where something would be kept."""
        if request.method in READING or self.reserve.is_there():
            return
        if not await run_in_threadpool(self.reserve.is_kept):
            raise problems.storage_full()
