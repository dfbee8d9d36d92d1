"""The default: a weighted sum, weighed by how reliable each input looks for this patient, beside a product of all."""

from collections.abc import Sequence

import torch
from torch import nn

from clinimm.models.fusions.doubt import Doubt
from clinimm.models.fusions.heard import Fusion, Heard, Joined, PerModality, Pool, masked_softmax, shares
from clinimm.models.fusions.products import LowRankProduct
from clinimm.models.fusions.reliability import Reliability


class Gate(Fusion):
    """Weights = softmax over the present, each times its trust, and shares of these.

    Trust is a soft presence: between 1, where an input counts as the softmax says, and 0, where the answer is the one
    without it, whatever it holds: in the weights, in the number of opinions and in the product. Spoilt inputs teach it
    (see `clinimm.training.doubt`).

    A weighted sum hides what only two inputs together tell, so a low-rank product of narrow squeezes stands beside it:
    on a few hundred cases a net over the sum alone does not find an exclusive or."""

    doubt: Doubt

    def __init__(
        self,
        width: int,
        qualities: Sequence[int],
        targets: int,
        dropout: float,
        *,
        inner: int = 16,
        temperature: float = 1.0,
        rank: int = 8,
        squeeze: int = 4,
    ) -> None:
        super().__init__()
        self.reliability = Reliability(width, qualities, 1, inner=inner)
        self.doubt = Doubt(width, qualities)
        self.maps = PerModality(width, len(qualities), width)
        self.mix = nn.Sequential(nn.Dropout(dropout), nn.Linear(width, width), nn.GELU(), nn.Dropout(dropout))
        self.product = LowRankProduct(width, len(qualities), dropout, rank=rank, squeeze=squeeze)
        self.pool = Pool(targets)
        self.temperature = temperature

    def forward(self, heard: Heard) -> Joined:
        trust = self.doubt(heard)
        weights = shares(masked_softmax(self.reliability(heard)[..., 0] / self.temperature, heard.present) * trust)
        evidence = self.pool(heard.opinions, weights[..., None], trust)
        whole = ((weights * trust)[..., None] * self.maps(heard)).sum(1)
        return Joined(self.mix(whole) + self.product(heard, trust), weights, evidence, trust=trust)


class DiseaseGate(Fusion):
    """A gate with weights of its own for each target: what a film says of the lungs is not what it says of the blood.

    weight_km = softmax over the present m of q . K_km h_m / sqrt(d), where q is read from the mean of the summaries.
    Source: Yao et al. 2024, "DrFuse", eq. 9-10. Differs: the quality of an input moves its key."""

    def __init__(
        self,
        width: int,
        qualities: Sequence[int],
        targets: int,
        dropout: float,
        *,
        inner: int = 16,
        rank: int = 8,
        squeeze: int = 4,
    ) -> None:
        super().__init__()
        self.keys = Reliability(width, qualities, targets * inner)
        self.query = PerModality(width, len(qualities), inner)
        self.product = LowRankProduct(width, len(qualities), dropout, rank=rank, squeeze=squeeze)
        self.pool = Pool(targets)
        self.targets, self.inner = targets, inner

    def forward(self, heard: Heard) -> Joined:
        query = self.query(heard).sum(1) / heard.here.sum(1, keepdim=True).clamp_min(1)
        keys = self.keys(heard).unflatten(-1, (self.targets, self.inner))
        scores = torch.einsum("bi,bmki->bkm", query, keys) / self.inner**0.5
        seen = heard.present[:, None].expand_as(scores)
        weights = masked_softmax(scores.flatten(0, 1), seen.flatten(0, 1)).view_as(scores).transpose(1, 2)
        evidence = self.pool(heard.opinions, weights, heard.here)
        return Joined(self.product(heard, heard.here), weights.mean(2), evidence)
