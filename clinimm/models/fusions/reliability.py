"""How much an input deserves to be heard, from what it holds, how good it looks and how old it is."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from clinimm.models.fusions.heard import Heard, summary, zeroed

WEEK = 7.0


class Freshness(nn.Module):
    """Quality features with the age in days, their last but one, turned into exp(-age / tau): 1 for what is new, 0 for
    what is old. tau is learned, and starts at a week. A film keeps longer than a blood gas."""

    def __init__(self) -> None:
        super().__init__()
        self.log_tau = nn.Parameter(torch.tensor([math.log(WEEK)]))

    def forward(self, quality: Float[Tensor, "b q"]) -> Float[Tensor, "b q"]:
        age = quality[:, -2:-1].clamp_min(0)
        return torch.cat([quality[:, :-2], torch.exp(-age * torch.exp(-self.log_tau)), quality[:, -1:]], dim=1)


class Reliability(nn.Module):
    """Numbers about each input, from its own summary and quality: w_m . tanh(V_m h_m + Q_m q_m) + b_m.

    Source: the gate of the mixture of experts (Jacobs et al. 1991), with the quality of each input beside its token."""

    def __init__(self, width: int, qualities: Sequence[int], out: int, *, inner: int = 16) -> None:
        super().__init__()
        self.fresh = nn.ModuleList(Freshness() for _ in qualities)
        self.see = nn.ModuleList(nn.Linear(width, inner) for _ in qualities)
        self.judge = nn.ModuleList(nn.Linear(q, inner, bias=False) for q in qualities)
        self.say = nn.ModuleList(zeroed(nn.Linear(inner, out)) for _ in qualities)

    def forward(self, heard: Heard) -> Float[Tensor, "b m o"]:
        parts = zip(self.fresh, self.see, self.judge, self.say, heard.tokens, heard.quality, strict=True)
        said = [say(torch.tanh(see(summary(one)) + judge(fresh(q)))) for fresh, see, judge, say, one, q in parts]
        return torch.stack(said, dim=1)
