"""Ways to join what the inputs say. Every operator takes the tokens, presence and quality of each modality, in one
order, and returns the fused vector and a weight per modality that is exactly 0 for the absent.

Only the gate judges reliability; the others weigh all that is present alike."""

from collections.abc import Callable, Sequence
from typing import cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from clinimm.batch import Tokens
from clinimm.models.resampler import CrossAttend, feed_forward

Fused = tuple[Float[Tensor, "b e"], Float[Tensor, "b m"]]


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


def even(present: Bool[Tensor, "b m"], dtype: torch.dtype) -> Float[Tensor, "b m"]:
    """The same weight for all that is present."""
    share = present.to(dtype)
    return share / share.sum(1, keepdim=True).clamp_min(1)


class PerModality(nn.Module):
    """A linear map of its own for each modality's summary; 0 where it is absent. Returns (b, m, out)."""

    def __init__(self, width: int, modalities: int, out: int) -> None:
        super().__init__()
        self.maps = nn.ModuleList(nn.Linear(width, out) for _ in range(modalities))

    def forward(self, tokens: Sequence[Tokens], present: Bool[Tensor, "b m"]) -> Float[Tensor, "b m o"]:
        mapped = torch.stack([apply(summary(one)) for apply, one in zip(self.maps, tokens, strict=True)], dim=1)
        return mapped * present[..., None].to(mapped.dtype)


class LowRank(nn.Module):
    """Low-rank bilinear (with three inputs: trilinear) product of tokens with a constant appended, so that every
    lower-order product is in it too; an absent input is the constant alone.

    Source: Liu et al. 2018, "Efficient Low-rank Multimodal Fusion with Modality-Specific Factors", eq. 6. Differs: each
    token is first squeezed to `squeeze` units by a linear layer, dropout and tanh, which few cases can fill."""

    def __init__(
        self, width: int, qualities: Sequence[int], dropout: float, *, rank: int = 8, squeeze: int = 4
    ) -> None:
        super().__init__()
        self.squeeze = PerModality(width, len(qualities), squeeze)
        self.dropout = nn.Dropout(dropout)
        shape = (len(qualities), squeeze + 1, rank * width)
        self.factors = nn.Parameter(torch.randn(shape) / (squeeze + 1) ** 0.5)
        self.sum_ranks = nn.Parameter(torch.randn(rank) / rank)
        self.rank, self.width = rank, width

    def forward(
        self, tokens: Sequence[Tokens], present: Bool[Tensor, "b m"], quality: Sequence[Float[Tensor, "b _"]]
    ) -> Fused:
        small = torch.tanh(self.dropout(self.squeeze(tokens, present)))
        with_constant = torch.cat([small, torch.ones_like(small[..., :1])], dim=-1)
        factors = torch.einsum("bms,msr->bmr", with_constant, self.factors)
        product = factors.prod(1).unflatten(1, (self.rank, self.width))
        return torch.einsum("brw,r->bw", product, self.sum_ranks), even(present, small.dtype)


class Gate(nn.Module):
    """Weighted sum, weighed by how reliable each input looks for this patient.

    a_m = w_m . tanh(V_m h_m + Q_m q_m) + b_m, weights = softmax of a over the present. Source: the gate of the
    mixture-of-experts (Jacobs et al. 1991) with the quality features of each input beside its token; the masked softmax
    is that of attention. A weighted sum hides what only two inputs together tell, so a low-rank product of narrow
    squeezes stands beside it: on a few hundred cases a net over the sum alone does not find an exclusive or."""

    def __init__(
        self,
        width: int,
        qualities: Sequence[int],
        dropout: float,
        *,
        inner: int = 16,
        temperature: float = 1.0,
        rank: int = 8,
        squeeze: int = 4,
    ) -> None:
        super().__init__()
        self.see = nn.ModuleList(nn.Linear(width, inner) for _ in qualities)
        self.judge = nn.ModuleList(nn.Linear(q, inner, bias=False) for q in qualities)
        self.score = nn.ModuleList(zeroed(nn.Linear(inner, 1)) for _ in qualities)
        self.maps = PerModality(width, len(qualities), width)
        self.mix = nn.Sequential(nn.Dropout(dropout), nn.Linear(width, width), nn.GELU(), nn.Dropout(dropout))
        self.product = LowRank(width, qualities, dropout, rank=rank, squeeze=squeeze)
        self.temperature = temperature

    def forward(
        self, tokens: Sequence[Tokens], present: Bool[Tensor, "b m"], quality: Sequence[Float[Tensor, "b _"]]
    ) -> Fused:
        scores = [
            score(torch.tanh(see(summary(one)) + judge(q)))
            for score, see, judge, one, q in zip(self.score, self.see, self.judge, tokens, quality, strict=True)
        ]
        weights = masked_softmax(torch.cat(scores, dim=1) / self.temperature, present)
        product, _ = self.product(tokens, present, quality)
        return self.mix((weights[..., None] * self.maps(tokens, present)).sum(1)) + product, weights


class Concat(nn.Module):
    """All summarys side by side, a learned vector in the place of an absent one, and a small net over them."""

    def __init__(self, width: int, qualities: Sequence[int], dropout: float) -> None:
        super().__init__()
        self.absent = nn.Parameter(torch.zeros(len(qualities), width))
        self.mix = nn.Sequential(nn.Dropout(dropout), nn.Linear(width * len(qualities), width), nn.GELU())

    def forward(
        self, tokens: Sequence[Tokens], present: Bool[Tensor, "b m"], quality: Sequence[Float[Tensor, "b _"]]
    ) -> Fused:
        slots = torch.stack([summary(one) for one in tokens], dim=1)
        filled = torch.where(present[..., None], slots, self.absent)
        return self.mix(filled.flatten(1)), even(present, filled.dtype)


class Sum(nn.Module):
    """Sum of one linear map per modality, and a nonlinearity."""

    def __init__(self, width: int, qualities: Sequence[int], dropout: float) -> None:
        super().__init__()
        self.maps = PerModality(width, len(qualities), width)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, tokens: Sequence[Tokens], present: Bool[Tensor, "b m"], quality: Sequence[Float[Tensor, "b _"]]
    ) -> Fused:
        return self.dropout(torch.tanh(self.maps(tokens, present).sum(1))), even(present, tokens[0].values.dtype)


class Product(nn.Module):
    """Elementwise product of 1 + tanh of one linear map per modality: an absent one is the factor 1."""

    def __init__(self, width: int, qualities: Sequence[int], dropout: float) -> None:
        super().__init__()
        self.maps = PerModality(width, len(qualities), width)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, tokens: Sequence[Tokens], present: Bool[Tensor, "b m"], quality: Sequence[Float[Tensor, "b _"]]
    ) -> Fused:
        factors = 1 + torch.tanh(self.maps(tokens, present))
        return self.dropout(factors.prod(1) - 1), even(present, factors.dtype)


class CrossAttention(nn.Module):
    """A transformer over the tokens of all inputs behind a read-out token; absent inputs are masked out of it.

    Source: the masked self-attention fusion of Vaswani et al.'s encoder (2017), pre-norm, with a learned vector added
    to say which modality a token comes from."""

    def __init__(
        self, width: int, qualities: Sequence[int], dropout: float, *, layers: int = 1, heads: int = 4
    ) -> None:
        super().__init__()
        self.read_out = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.origin = nn.Parameter(torch.randn(len(qualities), width) * 0.02)
        layer = nn.TransformerEncoderLayer(
            width, heads, 2 * width, dropout, activation="gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)

    def forward(
        self, tokens: Sequence[Tokens], present: Bool[Tensor, "b m"], quality: Sequence[Float[Tensor, "b _"]]
    ) -> Fused:
        placed = [one.values + origin for one, origin in zip(tokens, self.origin, strict=True)]
        sequence = torch.cat([self.read_out.expand(len(present), -1, -1), *placed], dim=1)
        seen = torch.cat([one.mask & present[:, i, None] for i, one in enumerate(tokens)], dim=1)
        seen = torch.cat([torch.ones_like(seen[:, :1]), seen], dim=1)
        # An absent token may hold anything: its value must not reach even a masked-out product.
        sequence = torch.where(seen[..., None], sequence, torch.zeros_like(sequence))
        return self.layers(sequence, src_key_padding_mask=~seen)[:, 0], even(present, sequence.dtype)


class GatedCrossAttention(nn.Module):
    """A vector, at first the mean of the present summaries, that reads the tokens of one input after the other, each
    through gates that start shut:

    y <- y + tanh(a) * attention(y, tokens); y <- y + tanh(b) * feed_forward(y)

    What is absent changes nothing. Source: Alayrac et al. 2022, "Flamingo", figure 4. Differs: its y are words; ours is
    one vector, with blocks of their own for each input."""

    def __init__(
        self, width: int, qualities: Sequence[int], dropout: float, *, layers: int = 1, heads: int = 4
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.ModuleList(GatedBlock(width, heads, dropout) for _ in qualities) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)

    def forward(
        self, tokens: Sequence[Tokens], present: Bool[Tensor, "b m"], quality: Sequence[Float[Tensor, "b _"]]
    ) -> Fused:
        weights = even(present, tokens[0].values.dtype)
        summaries = torch.stack([summary(one) for one in tokens], dim=1)
        read = (weights[..., None] * torch.where(present[..., None], summaries, 0.0)).sum(1, keepdim=True)
        for layer in self.blocks:
            for i, (block, one) in enumerate(zip(cast(nn.ModuleList, layer), tokens, strict=True)):
                seen = present[:, i, None]
                read = torch.where(seen[..., None], block(read, Tokens(one.values, one.mask & seen)), read)
        return self.norm(read[:, 0]), weights


class GatedBlock(nn.Module):
    """Flamingo's gated cross-attention layer: with both gates at 0, as they start, it passes `y` on as it is."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.attend, self.think = CrossAttend(width, heads, dropout), feed_forward(width, dropout)
        self.attend_gate, self.think_gate = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))

    def forward(self, y: Float[Tensor, "b q e"], tokens: Tokens) -> Float[Tensor, "b q e"]:
        y = y + torch.tanh(self.attend_gate) * self.attend(y, tokens.values, tokens.mask)
        return y + torch.tanh(self.think_gate) * self.think(y)


class Late(nn.Module):
    """The average, over what is present, of a linear opinion of each input: no interaction at all."""

    def __init__(self, width: int, qualities: Sequence[int], dropout: float) -> None:
        super().__init__()
        self.maps = PerModality(width, len(qualities), width)

    def forward(
        self, tokens: Sequence[Tokens], present: Bool[Tensor, "b m"], quality: Sequence[Float[Tensor, "b _"]]
    ) -> Fused:
        weights = even(present, tokens[0].values.dtype)
        return (weights[..., None] * self.maps(tokens, present)).sum(1), weights


FUSIONS: dict[str, Callable[..., nn.Module]] = {
    "gate": Gate,
    "concat": Concat,
    "sum": Sum,
    "product": Product,
    "low_rank": LowRank,
    "cross_attention": CrossAttention,
    "gated_cross_attention": GatedCrossAttention,
    "late": Late,
}
