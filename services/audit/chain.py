"""One linear chain of events: each has the hash of the one before it and of itself, so that none is changed, taken out
or put in unseen.

    hash(0) = SHA-256("clinimm audit chain 1")
    hash(n) = SHA-256(hash(n - 1) || line feed || SHA-256(canonical(event n)))

Hashes are written as 64 lower-case hexadecimal digits, here as well. So whoever is shown some events, and of the others
only their digests, can follow the chain through all. The first events of a chain may be linked in an older way, with
the event itself in the place of its digest. Needs nothing of the service: a verifier elsewhere has these lines."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

GENESIS = hashlib.sha256(b"clinimm audit chain 1").hexdigest()
FIELDS = (
    "seq", "time", "monotonic_ns", "actor", "role", "source", "action", "outcome", "object_id", "case_id", "patient",
    "request_id", "facts",
)  # fmt: skip


def canonical(event: Mapping[str, Any]) -> bytes:
    """An event's fields in the one form that is hashed: JSON in ASCII, keys in order, no spaces, the time in UTC with
    six digits of a second."""
    return json.dumps(
        {name: _plain(event[name]) for name in FIELDS}, sort_keys=True, separators=(",", ":"), allow_nan=False
    ).encode("ascii")


def digest(event: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical(event)).hexdigest()


def link(before: str, event: Mapping[str, Any]) -> str:
    """The hash of an event that follows the one with the hash `before`."""
    return _hash(before, digest(event).encode("ascii"))


def links(before: str, event: Mapping[str, Any]) -> Iterator[str]:
    """Its hash, and that which it has if it was linked in the older way."""
    yield link(before, event)
    yield _hash(before, canonical(event))


def _hash(before: str, rest: bytes) -> str:
    return hashlib.sha256(before.encode("ascii") + b"\n" + rest).hexdigest()


def _plain(value: Any) -> Any:
    return value.astimezone(UTC).isoformat(timespec="microseconds") if isinstance(value, datetime) else value
