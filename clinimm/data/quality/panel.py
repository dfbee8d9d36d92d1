"""How complete a panel is."""

import torch
from jaxtyping import Float
from torch import Tensor

PANEL = ("completeness", "refused")


def panel_quality(known: int, refused: int, analytes: int) -> Float[Tensor, "2"]:
    """Shares of the analytes that are known, and that were sent but refused."""
    return torch.tensor([known / analytes, min(refused, analytes) / analytes])
