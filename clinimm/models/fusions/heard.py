"""What every way of joining inputs is given, what it gives back, and the parts that several of them are made of.

b batch, n positions, e width, m modalities, k targets, q quality features."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from clinimm.batch import Tokens


@dataclass(frozen=True)
class Heard:
    """What the inputs say, in one order: their tokens, which of them are present, how good they look, and their
    opinions: the logits of each one's own head less the prior's. Tokens, qualities and opinions of the absent are 0."""

    tokens: Sequence[Tokens]
    present: Bool[Tensor, "b m"]
    quality: Sequence[Float[Tensor, "b _"]]
    opinions: Float[Tensor, "b m k"]

    @property
    def here(self) -> Float[Tensor, "b m"]:
        """Presence as numbers."""
        return self.present.to(self.opinions.dtype)


@dataclass(frozen=True)
class Joined:
    """What the inputs say together.

    `fused` is read by the head that corrects the opinions; `weights` sum to 1 over what is present and are exactly 0
    elsewhere; `evidence` are the opinions, joined, as logits above the prior. An operator that judges its inputs gives
    `trust`, the probability that an input is what it should be, 0 where there is none; one that measures how much they
    contradict each other gives `conflict`, in [0, 1]; one that needs a loss of its own gives it as `penalty`."""

    fused: Float[Tensor, "b e"]
    weights: Float[Tensor, "b m"]
    evidence: Float[Tensor, "b k"]
    trust: Float[Tensor, "b m"] | None = None
    conflict: Float[Tensor, "b k"] | None = None
    penalty: Float[Tensor, ""] | None = None


class Fusion(nn.Module):
    """What every operator is. One that can tell which inputs are spoilt has a `doubt` that does."""

    doubt: nn.Module | None

    def __init__(self) -> None:
        super().__init__()
        self.register_module("doubt", None)

    def forward(self, heard: Heard) -> Joined:
        """What the inputs say together."""
        raise TypeError(f"{type(self).__name__} does not fuse")


def zeroed(layer: nn.Linear) -> nn.Linear:
    """`layer` with all its weights set to 0: what it adds starts as nothing."""
    for weight in layer.parameters():
        nn.init.zeros_(weight)
    return layer


def summary(tokens: Tokens) -> Float[Tensor, "b e"]:
    """The first token, which sums its modality up: see `Summary`."""
    return tokens.values[:, 0]


class Summary(nn.Module):
    """Puts a summary before the tokens: their mean, weighed by learned attention that starts even.

    A finding is a few words of a note and a few patches of a film: a plain mean would drown it. Source: Ilse et al.
    2018, "Attention-based Deep Multiple Instance Learning", eq. 8."""

    def __init__(self, width: int, inner: int = 16) -> None:
        super().__init__()
        self.see = nn.Linear(width, inner)
        self.score = zeroed(nn.Linear(inner, 1, bias=False))

    def forward(self, tokens: Tokens) -> Tokens:
        scores = self.score(torch.tanh(self.see(tokens.values)))[..., 0]
        weights = masked_softmax(scores, tokens.mask)
        whole = torch.einsum("bn,bne->be", weights, tokens.values)
        return Tokens(
            torch.cat([whole[:, None], tokens.values], dim=1),
            torch.cat([tokens.mask.any(1, keepdim=True), tokens.mask], dim=1),
        )


def masked_softmax(scores: Float[Tensor, "b n"], mask: Bool[Tensor, "b n"]) -> Float[Tensor, "b n"]:
    """Softmax over what the mask marks; exactly 0 elsewhere, and all 0 where nothing is marked."""
    marked = scores.masked_fill(~mask, -torch.inf)
    exponent = (marked - marked.amax(1, keepdim=True).nan_to_num(neginf=0.0)).exp()
    return exponent / exponent.sum(1, keepdim=True).clamp_min(torch.finfo(scores.dtype).tiny)


def shares(parts: Float[Tensor, "b m"]) -> Float[Tensor, "b m"]:
    """Each part over the sum of its row; a row of zeros stays one."""
    return parts / parts.sum(1, keepdim=True).clamp_min(torch.finfo(parts.dtype).tiny)


class PerModality(nn.Module):
    """A linear map of its own for each modality's summary; 0 where it is absent. Returns (b, m, out)."""

    def __init__(self, width: int, modalities: int, out: int) -> None:
        super().__init__()
        self.maps = nn.ModuleList(nn.Linear(width, out) for _ in range(modalities))

    def forward(self, heard: Heard) -> Float[Tensor, "b m o"]:
        mapped = torch.stack([apply(summary(one)) for apply, one in zip(self.maps, heard.tokens, strict=True)], dim=1)
        return mapped * heard.here[..., None]


class Pool(nn.Module):
    """A logarithmic opinion pool: N ** c * sum_m w_m * t_m * opinion_m, where N is the number of inputs.

    The exponent c is learned, one per target: at 0 the opinions are averaged, as if all told the same; at 1 their
    evidence adds up, as if each were independent of the others given the answer (Genest and Zidek 1986, eq. 3.9).
    `trust` t_m in [0, 1] is a soft presence: N is its sum, and an input of trust 0 counts as one that is absent."""

    def __init__(self, targets: int) -> None:
        super().__init__()
        self.independence = nn.Parameter(torch.zeros(targets))

    def forward(
        self, opinions: Float[Tensor, "b m k"], weights: Float[Tensor, "b m"], trust: Float[Tensor, "b m"]
    ) -> Float[Tensor, "b k"]:
        evidence = ((weights * trust)[..., None] * opinions).sum(1)
        count = trust.sum(1, keepdim=True).clamp_min(1)
        return evidence * count ** torch.sigmoid(self.independence)

    def even(self, heard: Heard) -> tuple[Float[Tensor, "b m"], Float[Tensor, "b k"]]:
        """The same weight for all that is present, and the opinions pooled by it."""
        weights = shares(heard.here)
        return weights, self(heard.opinions, weights, heard.here)
