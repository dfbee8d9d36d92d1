"""How many requests may bring files at once: beyond it they are told to come again, instead of filling memory. What
they do to the disk is done on threads of their own, so that a disk that stalls holds up nobody else."""

from asyncio import CancelledError
from collections.abc import Callable
from types import TracebackType
from typing import TypeVar, TypeVarTuple

from anyio import CancelScope, CapacityLimiter, to_thread

from services.errors import Unavailable

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Uploads:
    """Counts those in flight; used on the event loop alone."""

    def __init__(self, most: int) -> None:
        self.most, self.current = most, 0
        self._threads = CapacityLimiter(most)

    async def on_disk(self, call: Callable[[*Ts], T], *args: *Ts) -> T:
        """What `call` returns, which ends even if the request does not."""
        with CancelScope(shield=True):
            return await to_thread.run_sync(call, *args, limiter=self._threads)
        raise AssertionError("unreachable")  # a scope may swallow; this one is not canceled

    async def clean_up(self, call: Callable[[], object]) -> None:
        """`call` on the disk; here and now where the server is going, which waits for no thread. It may come twice."""
        try:
            await self.on_disk(call)
        except CancelledError:
            call()
            raise

    async def __aenter__(self) -> None:
        """Raises Unavailable `busy`."""
        if self.current >= self.most:
            raise Unavailable("busy", "Too many uploads at once.", retry_after=1)
        self.current += 1

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.current -= 1
