"""One input as the model sees it: what every door from disk to there gives."""

from dataclasses import dataclass

from jaxtyping import Bool, Float, Int
from torch import Tensor

from clinimm.errors import InputError


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
