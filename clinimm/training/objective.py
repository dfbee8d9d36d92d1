"""One training step as one forward, so that processes, precision and gradients are the framework's to arrange."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from clinimm.batch import Batch
from clinimm.losses import known_mean, masked_bce, unimodal_bce
from clinimm.models.network import Network
from clinimm.training.balance import belief


@dataclass(frozen=True)
class Terms:
    """Weights of what is learned beside the answer: the answers of each input alone, and gate weights that are not too
    uneven early on (`floor` is the evenness, in [0, 1], under which they are pulled back)."""

    unimodal: float
    evenness: float = 0.0
    floor: float = 0.5


class Losses(NamedTuple):
    """`total` is what is minimized; the rest are its parts. `belief` is what `clinimm.training.balance` hears."""

    total: Float[Tensor, ""]
    whole: Float[Tensor, ""]
    part: Float[Tensor, ""]
    unimodal: Float[Tensor, ""]
    belief: Float[Tensor, "s m"]


class Objective(nn.Module):
    """Mean loss of the answers with all inputs and with some hidden, plus that of each input's own answer, plus what
    the gate learns of its own.

    The encoders run once; only the fusion runs for both. Every encoder runs at every step, whatever is hidden: ranks
    that take different branches hang under DDP."""

    def __init__(self, network: Network, terms: Terms) -> None:
        super().__init__()
        self.network = network
        self.terms = terms

    def forward(self, batch: Batch, kept: Bool[Tensor, "b m"], easing: float = 0.0) -> Losses:
        """Losses of a batch of which all but `kept` is hidden the second time. `easing` is the share of the pull on
        the gate's evenness that is left."""
        network, present, terms = self.network, batch.present, self.terms
        tokens = network.tokens(batch, present)
        full = network.fuse(tokens, present, batch.quality)
        hidden = network.fuse(tokens, present & kept, batch.quality)
        whole = masked_bce(full.logits, batch.targets, batch.target_mask)
        part = masked_bce(hidden.logits, batch.targets, batch.target_mask)
        unimodal = unimodal_bce(full.unimodal, batch.targets, batch.target_mask, present)
        total = (whole + part) / 2 + terms.unimodal * unimodal
        if full.penalty is not None:
            total = total + full.penalty
        if terms.evenness and easing:
            uneven = (terms.floor - evenness(full.weights, present)).clamp_min(0)
            total = total + terms.evenness * easing * known_mean(uneven, present.sum(1) > 1)
        heard = belief(full.unimodal, batch.targets, batch.target_mask, present)
        return Losses(total, whole, part, unimodal, heard)


def evenness(weights: Float[Tensor, "b m"], present: Bool[Tensor, "b m"]) -> Float[Tensor, " b"]:
    """Entropy of the weights over that of even ones, in [0, 1]; 1 where fewer than two inputs are there."""
    count = present.sum(1).to(weights.dtype)
    entropy = -torch.xlogy(weights, weights.clamp_min(1e-12)).sum(1)
    return torch.where(count > 1, entropy / torch.log(count.clamp_min(2)), 1.0)
