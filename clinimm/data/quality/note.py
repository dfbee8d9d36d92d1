"""How much a note says, and whether in the words that the model learned from."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

NOTE = ("length", "truncated", "unknown", "language")


def note_quality(pieces: int, length: int, unknown: float, language: float) -> Float[Tensor, "4"]:
    """Logarithmic share of the positions that the note fills, the share of it that was cut off, the share of its pieces
    that the tokenizer does not know, and the share of its words that are common in the training notes."""
    filled = math.log1p(min(pieces, length)) / math.log1p(length)
    return torch.tensor([filled, max(0.0, 1 - length / max(pieces, 1)), unknown, language])
