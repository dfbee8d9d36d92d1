"""One input as the model sees it: what every door from disk to there gives."""

from dataclasses import dataclass

from jaxtyping import Bool, Float, Int
from torch import Tensor

Age = tuple[float, float]


@dataclass(frozen=True)
class Seen:
    """`values` and `mask` have the modality's shape, `quality` its kind's length; `flags` are codes for the answer."""

    values: Float[Tensor, "..."] | Int[Tensor, " n"]
    mask: Bool[Tensor, " n"] | None
    quality: Float[Tensor, " q"]
    flags: tuple[str, ...] = ()
