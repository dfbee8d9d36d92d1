"""Attention to a set of tokens of which some may be masked, and the resampler that is made of it."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from clinimm.batch import Tokens
from clinimm.errors import ConfigError


class CrossAttend(nn.Module):
    """Multi-head attention from queries to tokens, both normalized first. A masked token is ignored, whatever it
    holds; a row without any token gets zeros. Without biases, as Flamingo's."""

    def __init__(self, width: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        if width % heads:
            raise ConfigError(f"{heads} heads do not divide the width {width}", mend="change heads or model.width")
        self.heads, self.dropout = heads, dropout
        self.norm_queries, self.norm_tokens = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query = nn.Linear(width, width, bias=False)
        self.key_value = nn.Linear(width, 2 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def forward(
        self, queries: Float[Tensor, "b q e"], tokens: Float[Tensor, "b n e"], mask: Bool[Tensor, "b n"]
    ) -> Float[Tensor, "b q e"]:
        tokens = torch.where(mask[..., None], tokens, 0.0)  # even a weight of 0 would let NaN through
        some = mask.any(1)
        seen = mask | ~some[:, None]
        key, value = self._split(self.key_value(self.norm_tokens(tokens)), 2)
        (query,) = self._split(self.query(self.norm_queries(queries)), 1)
        found = scaled_dot_product_attention(
            query, key, value, attn_mask=seen[:, None, None], dropout_p=self.dropout if self.training else 0.0
        )
        return torch.where(some[:, None, None], self.out(found.transpose(1, 2).flatten(2)), 0.0)

    def _split(self, values: Float[Tensor, "b n f"], parts: int) -> tuple[Float[Tensor, "b h n d"], ...]:
        return values.unflatten(2, (parts, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)


def feed_forward(width: int, dropout: float = 0.0) -> nn.Sequential:
    """A pre-norm net of two layers with a GELU between."""
    return nn.Sequential(
        nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Dropout(dropout), nn.Linear(2 * width, width)
    )


class PerceiverResampler(nn.Module):
    """`queries` learned tokens in the place of however many there were: each reads, layer by layer, the tokens and its
    fellow queries.

    Source: Alayrac et al. 2022, "Flamingo", section A.1.1, after Jaegle et al. 2021, "Perceiver". Differs: the hidden
    layer is twice the width, not four times; tokens have no time of their own."""

    def __init__(self, width: int, *, queries: int = 16, layers: int = 1, heads: int = 4) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(queries, width) * 0.02)
        self.attend = nn.ModuleList(CrossAttend(width, heads) for _ in range(layers))
        self.think = nn.ModuleList(feed_forward(width) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Tokens) -> Tokens:
        """(b, queries, e), all real where the row has a token and masked out, but finite, where it has none."""
        held = self.queries.expand(len(tokens.values), -1, -1).to(tokens.values.dtype)
        always = torch.ones(held.shape[:2], dtype=torch.bool, device=held.device)
        mask = torch.cat([tokens.mask, always], dim=1)
        for attend, think in zip(self.attend, self.think, strict=True):
            held = held + attend(held, torch.cat([tokens.values, held], dim=1), mask)
            held = held + think(held)
        return Tokens(self.norm(held), always & tokens.mask.any(1, keepdim=True))
