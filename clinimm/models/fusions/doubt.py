"""Which inputs are not what they should be: learned after all else, from inputs that were spoilt on purpose."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from clinimm.batch import Tokens
from clinimm.models.fusions.heard import Heard, summary, zeroed

BELIEVED = 6.0  # the logit of 99.8 %: what was never doubted is believed
AGES = 2  # the last two quality features tell the time: an old film is not a spoilt one


class Doubt(nn.Module):
    """The probability that each input is what it should be, of its summary, the mean square of its tokens and its
    quality; the classes being two Gaussians, the squares are what tells them apart.

    The answer's loss does not teach it: `clinimm.training.doubt` fits it, when the rest has been learned. Until then it
    believes everything, and passes no gradient on."""

    def __init__(self, width: int, qualities: Sequence[int], *, inner: int = 16) -> None:
        super().__init__()
        sizes = [2 * width + q - AGES for q in qualities]
        self.judges = nn.ModuleList(Judge(size, inner) for size in sizes)
        self.requires_grad_(False)

    def forward(self, heard: Heard) -> Float[Tensor, "b m"]:
        parts = zip(self.judges, heard.tokens, heard.quality, strict=True)
        scores = torch.cat([judge(evidence(tokens, quality)) for judge, tokens, quality in parts], dim=1)
        return torch.sigmoid(scores + BELIEVED) * heard.here


class Judge(nn.Module):
    """A score of one input's features, which are standardized first: 0 until it is fitted."""

    center: Float[Tensor, " f"]
    scale: Float[Tensor, " f"]

    def __init__(self, features: int, inner: int) -> None:
        super().__init__()
        self.register_buffer("center", torch.zeros(features))
        self.register_buffer("scale", torch.ones(features))
        self.first = nn.Linear(features, inner)
        self.last = zeroed(nn.Linear(inner, 1))

    def forward(self, features: Float[Tensor, "b f"]) -> Float[Tensor, "b 1"]:
        known = ((features - self.center) / self.scale).clamp(-8, 8)
        return self.last(torch.tanh(self.first(known)))


def evidence(tokens: Tokens, quality: Float[Tensor, "b q"]) -> Float[Tensor, "b f"]:
    """What a judge looks at."""
    real = tokens.mask[:, 1:, None].to(tokens.values.dtype)
    square = (tokens.values[:, 1:].square() * real).sum(1) / real.sum(1).clamp_min(1)
    return torch.cat([summary(tokens), square.clamp_min(1e-12).sqrt(), quality[:, :-AGES]], dim=1)
