"""The quality of pictures that were changed on the model's grid, where no file is left to measure them on."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

Looks = Callable[[Float[Tensor, "c ..."]], Float[Tensor, " q"]]
"""How good a picture on the model's grid looks, as far as its pixels tell: the first q of its quality features."""


def moved(
    quality: Float[Tensor, "n f"], before: Float[Tensor, "n c ..."], after: Float[Tensor, "n c ..."], looks: Looks
) -> Float[Tensor, "n f"]:
    """The quality of pictures that were `before` and are `after`: it moves by as much as what can be measured moves."""
    if not len(quality):
        return quality
    change = torch.stack([looks(picture) for picture in after]) - torch.stack([looks(picture) for picture in before])
    return quality + F.pad(change, (0, quality.shape[1] - change.shape[1])).to(quality)
