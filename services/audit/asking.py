"""Who is behind what is being done: a request's client, or this service itself."""

from contextvars import ContextVar
from dataclasses import dataclass

PURPOSES = ("TREAT", "ETREAT", "HOPERAT", "HPAYMT", "HRESCH", "PUBHLTH", "PATRQT", "HLEGAL", "HSYSADMIN")
"""What a client may say that it asks for: codes of HL7 v3's PurposeOfUse."""


@dataclass
class Asking:
    """One for each request, which fills it in as it learns: the `role` is known once the client is. `purpose` is one of
    `PURPOSES`, or "" where the client has not said. `told` is whether an event has been written of it."""

    role: str = ""
    source: str = ""
    purpose: str = ""
    told: bool = False


asking: ContextVar[Asking | None] = ContextVar("asking", default=None)
