"""One training step as one forward, so that processes, precision and gradients are the framework's to arrange."""

from typing import NamedTuple

from jaxtyping import Bool, Float
from torch import Tensor, nn

from clinimm.batch import Batch
from clinimm.losses import masked_bce, unimodal_bce
from clinimm.models.network import Network


class Losses(NamedTuple):
    """`total` is what is minimized; the rest are its parts."""

    total: Float[Tensor, ""]
    whole: Float[Tensor, ""]
    part: Float[Tensor, ""]
    unimodal: Float[Tensor, ""]


class Objective(nn.Module):
    """Mean loss of the answers with all inputs and with some hidden, plus that of each input's own answer.

    The encoders run once; only the fusion runs for both. Every encoder runs at every step, whatever is hidden: ranks
    that take different branches hang under DDP."""

    def __init__(self, network: Network, unimodal_weight: float) -> None:
        super().__init__()
        self.network = network
        self.unimodal_weight = unimodal_weight

    def forward(self, batch: Batch, kept: Bool[Tensor, "b m"]) -> Losses:
        network, present = self.network, batch.present
        tokens = network.tokens(batch, present)
        full = network.fuse(tokens, present, batch.quality)
        hidden = network.fuse(tokens, present & kept, batch.quality)
        whole = masked_bce(full.logits, batch.targets, batch.target_mask)
        part = masked_bce(hidden.logits, batch.targets, batch.target_mask)
        unimodal = unimodal_bce(full.unimodal, batch.targets, batch.target_mask, present)
        return Losses((whole + part) / 2 + self.unimodal_weight * unimodal, whole, part, unimodal)
