"""One input as the model sees it: what every door from disk to there gives."""

from dataclasses import dataclass
from typing import Any

from jaxtyping import Bool, Float, Int
from torch import Tensor

from clinimm.errors import InputError
from clinimm.features.found import Found
from clinimm.io.sandbox import FAILURES


@dataclass(frozen=True)
class Seen:
    """`values` and `mask` have the modality's shape; `quality` holds the features of its kind but the age, which is not
    the door's to tell; `flags` are codes for the answer. `acquired_at` is what the file itself tells of it, ISO 8601;
    `refused` is why an input that could be looked at must not be used."""

    values: Float[Tensor, "..."] | Int[Tensor, " n"]
    mask: Bool[Tensor, " n"] | None
    quality: Float[Tensor, " q"]
    flags: tuple[str, ...] = ()
    acquired_at: str | None = None
    refused: InputError | None = None

    def found(self) -> Found:
        """All of it, fit to be kept."""
        tensors = {"values": self.values, "quality": self.quality}
        tensors |= {} if self.mask is None else {"mask": self.mask}
        refused = None if self.refused is None else _told(self.refused)
        return Found(tensors, {"flags": self.flags, "acquired_at": self.acquired_at, "refused": refused})

    @classmethod
    def of(cls, found: Found) -> "Seen":
        """What gave `found`."""
        tensors, record = found.tensors, found.record
        refused = None if record["refused"] is None else _refusal(**record["refused"])
        flags, acquired_at = tuple(record["flags"]), record["acquired_at"]
        return cls(tensors["values"], tensors.get("mask"), tensors["quality"], flags, acquired_at, refused)


def _told(error: InputError) -> dict[str, Any]:
    return {"kind": type(error).__name__, "code": error.code, "what": error.what, "mend": error.mend}


def _refusal(kind: str, code: str, what: str, mend: str) -> InputError:
    return FAILURES[kind](code, what, mend=mend)
