"""Unit vectors as they travel and are kept: little-endian float32, and as PostgreSQL's vector extension writes them."""

import base64

import numpy as np
from jaxtyping import Float

_STORED = np.dtype("<f4")


def to_bytes(vector: Float[np.ndarray, " e"]) -> bytes:
    return vector.astype(_STORED).tobytes()


def from_bytes(data: bytes) -> Float[np.ndarray, " e"]:
    return np.frombuffer(data, _STORED)


def to_text(vector: Float[np.ndarray, " e"] | None) -> str | None:
    """For a job's outcome, which is JSON."""
    return None if vector is None else base64.b64encode(to_bytes(vector)).decode()


def from_text(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)


def to_sql(data: bytes) -> str:
    """The literal of the extension's `vector`; a float32 comes back the same from its nine digits."""
    return f"[{','.join(f'{number:.9g}' for number in from_bytes(data))}]"
