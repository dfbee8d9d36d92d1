"""How many requests may bring files at once: beyond it they are told to come again, instead of filling memory."""

from types import TracebackType

from services.errors import Unavailable


class Uploads:
    """Counts those in flight; used on the event loop alone."""

    def __init__(self, most: int) -> None:
        self.most, self.current = most, 0

    async def __aenter__(self) -> None:
        """Raises Unavailable `busy`."""
        if self.current >= self.most:
            raise Unavailable("busy", "Too many uploads at once.", retry_after=1)
        self.current += 1

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.current -= 1
