"""Who is behind what is being done: a request's client, or this service itself."""

from contextvars import ContextVar
from dataclasses import dataclass


@dataclass
class Asking:
    """One for each request, which fills it in as it learns: the `role` is known once the client is. `told` is whether
    an event has been written of it."""

    role: str = ""
    source: str = ""
    told: bool = False


asking: ContextVar[Asking | None] = ContextVar("asking", default=None)
