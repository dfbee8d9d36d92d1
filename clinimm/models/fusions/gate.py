"""The default: a weighted sum, weighed by how reliable each input looks for this patient, beside a product of all."""

from collections.abc import Sequence

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
        evidence = self.pool(heard.opinions, weights, trust)
        whole = ((weights * trust)[..., None] * self.maps(heard)).sum(1)
        return Joined(self.mix(whole) + self.product(heard, trust), weights, evidence, trust=trust)
