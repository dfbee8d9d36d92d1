"""What was found in one input, as bytes: a hash, then safetensors. Nothing is unpickled, nothing torn is believed."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from safetensors.torch import load, save
from torch import Tensor

_HASH = hashlib.sha256().digest_size
_LENGTH = 8  # bytes of a safetensors file that tell how long its JSON header is


@dataclass(frozen=True)
class Found:
    """Arrays by name, and beside them what JSON can say."""

    tensors: Mapping[str, Tensor]
    record: Mapping[str, Any] = field(default_factory=dict)


def to_bytes(found: Found, name: str) -> bytes:
    """The SHA-256 of the name and the rest, then the rest."""
    tensors = {key: tensor.detach().cpu().contiguous() for key, tensor in found.tensors.items()}
    body = save(tensors, metadata={"record": json.dumps(found.record)})
    return _sealed(body, name) + body


def from_bytes(data: bytes, name: str) -> Found | None:
    """What `to_bytes` was given, to the bit, on the CPU; None if these are not its bytes for this name."""
    seal, body = data[:_HASH], data[_HASH:]
    if seal != _sealed(body, name):
        return None
    header = json.loads(body[_LENGTH : _LENGTH + int.from_bytes(body[:_LENGTH], "little")])
    # A clone lies where torch would have put it: sums over memory that begins elsewhere may differ in their last bit.
    tensors = {key: tensor.clone() for key, tensor in load(body).items()}
    return Found(tensors, json.loads(header["__metadata__"]["record"]))


def _sealed(body: bytes, name: str) -> bytes:
    whole = hashlib.sha256(name.encode())
    whole.update(body)
    return whole.digest()
