"""Opinions combined by a rule of evidence, with a low-rank product for what only the inputs together tell."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from clinimm.models.fusions.doubt import Doubt
from clinimm.models.fusions.heard import Fusion, Heard, Joined, shares
from clinimm.models.fusions.products import LowRankProduct
from clinimm.models.fusions.reliability import Reliability

_READY = 2.0  # the logit of 88 %: how far an opinion is believed before anything was learned
_SURE = 1 - 1e-4  # no opinion is certain: its contrary would have a logarithm of minus infinity


class Evidential(Fusion):
    """Opinions as belief in yes, belief in no and uncertainty, discounted by a weight, joined by Dempster's rule.

    An opinion of logit d becomes the belief |tanh(d / 2)| in one side and uncertainty for the rest, the least committed
    belief that bets as the logit does (Dubois, Prade and Smets 2008); a learned weight, times the trust, multiplies the
    belief (Shafer 1976, ch. 11). An absent input is all uncertainty: the exact identity of the rule. What two opinions
    claim for yes and for no at once is their conflict. After Han et al. 2021, "Trusted Multi-View Classification",
    eq. 4. Differs: beliefs come from logits, so that one opinion alone answers as its own head does."""

    doubt: Doubt

    def __init__(
        self, width: int, qualities: Sequence[int], targets: int, dropout: float, *, rank: int = 8, squeeze: int = 4
    ) -> None:
        super().__init__()
        self.reliability = Reliability(width, qualities, 1)
        self.doubt = Doubt(width, qualities)
        self.product = LowRankProduct(width, len(qualities), dropout, rank=rank, squeeze=squeeze)

    def forward(self, heard: Heard) -> Joined:
        trust = self.doubt(heard)
        weight = torch.sigmoid(self.reliability(heard)[..., 0] + _READY) * trust
        evidence, conflict = dempster(heard.opinions, weight)
        return Joined(self.product(heard, trust), shares(weight), evidence, trust=trust, conflict=conflict)


def dempster(
    opinions: Float[Tensor, "b m k"], trust: Float[Tensor, "b m"]
) -> tuple[Float[Tensor, "b k"], Float[Tensor, "b k"]]:
    """(logits of yes, conflict) of opinions given as logits. All at once, as products over the inputs: on two outcomes
    the rule multiplies plausibilities."""
    belief = torch.tanh(opinions / 2) * trust[..., None] * _SURE
    yes, no = belief.clamp_min(0), (-belief).clamp_min(0)
    yes_plausible, no_plausible = (1 - no).prod(1), (1 - yes).prod(1)
    unknown = (1 - belief.abs()).prod(1)
    logits = torch.log(yes_plausible - unknown / 2) - torch.log(no_plausible - unknown / 2)
    return logits, 1 - (yes_plausible + no_plausible - unknown)
