"""A record as bytes: the one form in which it is kept, sent and hashed."""

import hashlib
import json
from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]


def canonical(record: Json) -> bytes:
    """The record as UTF-8: keys sorted, no spaces, numbers as short as they go. `sha256sum` of it is its digest."""
    text = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()


def digest(record: Json) -> str:
    """SHA-256 of a record in canonical form. One of the first schema holds its own `digest`, which is left out."""
    return hashlib.sha256(canonical({key: value for key, value in record.items() if key != "digest"})).hexdigest()


def parsed(data: bytes) -> Json:
    """The record in canonical bytes. Raises ValueError."""
    record: Json = json.loads(data.decode())
    return record
