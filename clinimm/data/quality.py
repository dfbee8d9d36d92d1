"""How good an input looks, in a few numbers of order one that the gate reads beside the input itself."""

import math
from datetime import datetime

import torch
from jaxtyping import Float
from torch import Tensor

from clinimm.types import Kind

QUALITIES: dict[Kind, tuple[str, ...]] = {
    Kind.IMAGE: ("contrast", "sharpness", "clipped", "age", "age_unknown"),
    Kind.TEXT: ("length", "truncated", "age", "age_unknown"),
    Kind.TABULAR: ("completeness", "refused", "age", "age_unknown"),
}

_CLIPPED = 1e-3  # of the range: what counts as black or white


def picture_quality(pixels: Float[Tensor, "1 ..."], age: tuple[float, float]) -> Float[Tensor, " q"]:
    """Standard deviation and mean gradient of pixels in [0, 1] (both times 4), and the share that is black or white."""
    steps = [pixels.diff(dim=axis).abs().mean() for axis in range(1, pixels.ndim)]
    clipped = ((pixels < _CLIPPED) | (pixels > 1 - _CLIPPED)).float().mean()
    return torch.tensor([4 * float(pixels.std()), 4 * float(sum(steps)), float(clipped), *age])


def note_quality(pieces: int, length: int, age: tuple[float, float]) -> Float[Tensor, " q"]:
    """Logarithmic share of the positions that the note fills, and the share of it that was cut off."""
    filled = math.log1p(min(pieces, length)) / math.log1p(length)
    return torch.tensor([filled, max(0.0, 1 - length / max(pieces, 1)), *age])


def panel_quality(known: int, refused: int, analytes: int, age: tuple[float, float]) -> Float[Tensor, " q"]:
    """Shares of the analytes that are known and that were sent but refused."""
    return torch.tensor([known / analytes, min(refused, analytes) / analytes, *age])


def age_of(acquired_at: datetime | None, index_time: datetime | None) -> tuple[float, float]:
    """(logarithm of the hours from acquisition to the question, over that of 30 days; 1 if unknown else 0)."""
    if acquired_at is None or index_time is None:
        return 0.0, 1.0
    hours = max(0.0, (index_time - acquired_at).total_seconds() / 3600)
    return math.log1p(hours) / math.log1p(720), 0.0
