"""How long ago an input was acquired: the last two quality features of every kind."""

import torch
from jaxtyping import Float
from torch import Tensor

AGE = ("age_days", "age_unknown")
_LONGEST = 36_525.0  # days: a century; a date before that stands for none


def age_quality(days: float | None) -> Float[Tensor, "2"]:
    """(days, 0), or (0, 1) where the age is not known."""
    return torch.tensor([0.0, 1.0] if days is None else [min(max(days, 0.0), _LONGEST), 0.0])
