"""Operators that combine opinions by a rule, with a low-rank product for what only the inputs together tell."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import softplus

from clinimm.models.fusions.doubt import Doubt
from clinimm.models.fusions.heard import Fusion, Heard, Joined, PerModality, Pool, shares
from clinimm.models.fusions.products import LowRankProduct
from clinimm.models.fusions.reliability import Reliability

_READY = 2.0  # the logit of 88 %: how far an opinion is believed before anything was learned
_SURE = 1 - 1e-4  # no opinion is certain: its contrary would have a logarithm of minus infinity


class Late(Fusion):
    """The average of the opinions, and a linear map of the summaries: no interaction at all."""

    def __init__(self, width: int, qualities: Sequence[int], targets: int, dropout: float) -> None:
        super().__init__()
        self.maps = PerModality(width, len(qualities), width)
        self.pool = Pool(targets)

    def forward(self, heard: Heard) -> Joined:
        weights, evidence = self.pool.even(heard)
        return Joined((weights[..., None] * self.maps(heard)).sum(1), weights, evidence)


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


class ProductOfExperts(Fusion):
    """Opinions as Gaussian experts of a learned precision T, beside a prior expert of precision 1:

    sum_m T_m opinion_m / (1 + sum_m T_m)

    Source: Wu and Goodman 2018, "MVAE", eq. 5 (the product of Gaussians of Cao and Fleet 2014)."""

    def __init__(
        self, width: int, qualities: Sequence[int], targets: int, dropout: float, *, rank: int = 8, squeeze: int = 4
    ) -> None:
        super().__init__()
        self.reliability = Reliability(width, qualities, 1)
        self.product = LowRankProduct(width, len(qualities), dropout, rank=rank, squeeze=squeeze)
        self.scale = nn.Parameter(torch.zeros(targets))

    def forward(self, heard: Heard) -> Joined:
        precision = torch.exp(self.reliability(heard)[..., 0].clamp(-8, 8)) * heard.here
        mean = (precision[..., None] * heard.opinions).sum(1) / (1 + precision.sum(1, keepdim=True))
        return Joined(self.product(heard, heard.here), shares(precision), mean * torch.exp(self.scale))


class QualityAware(Fusion):
    """Opinions added up, each times how confident it is, through which no gradient flows, so that none can inflate
    itself.

    Source: Zhang et al. 2023, "Provable Dynamic Fusion for Low-Quality Multimodal Data" (QMF), eq. 10, the energy of a
    yes-no question being log(2 cosh(d / 2)). Differs: a learned scale per target stands for its 1 / 10."""

    def __init__(
        self, width: int, qualities: Sequence[int], targets: int, dropout: float, *, rank: int = 8, squeeze: int = 4
    ) -> None:
        super().__init__()
        self.product = LowRankProduct(width, len(qualities), dropout, rank=rank, squeeze=squeeze)
        self.scale = nn.Parameter(torch.full((targets,), -0.5))

    def forward(self, heard: Heard) -> Joined:
        half = heard.opinions.detach().abs() / 2
        confidence = (half + softplus(-2 * half)) * heard.here[..., None]
        evidence = (confidence * heard.opinions).sum(1) * torch.exp(self.scale)
        return Joined(self.product(heard, heard.here), shares(confidence.mean(2)), evidence)
