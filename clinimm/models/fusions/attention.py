"""Attention to the tokens of all inputs, not their summaries alone."""

from collections.abc import Sequence
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from clinimm.batch import Tokens
from clinimm.models.fusions.heard import Fusion, Heard, Joined, Pool, summary
from clinimm.models.resampler import CrossAttend, feed_forward


class GatedCrossAttention(Fusion):
    """A vector, at first the mean of the present summaries, that reads the tokens of one input after the other, each
    through gates that start shut:

    y <- y + tanh(a) * attention(y, tokens); y <- y + tanh(b) * feed_forward(y)

    What is absent changes nothing. Source: Alayrac et al. 2022, "Flamingo", figure 4. Differs: its y are words; ours is
    one vector, with blocks of their own for each input."""

    def __init__(
        self, width: int, qualities: Sequence[int], targets: int, dropout: float, *, layers: int = 1, heads: int = 4
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.ModuleList(GatedBlock(width, heads, dropout) for _ in qualities) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)
        self.pool = Pool(targets)

    def forward(self, heard: Heard) -> Joined:
        weights, evidence = self.pool.even(heard)
        summaries = torch.stack([summary(one) for one in heard.tokens], dim=1)
        read = (weights[..., None] * torch.where(heard.present[..., None], summaries, 0.0)).sum(1, keepdim=True)
        for layer in self.blocks:
            for i, (block, one) in enumerate(zip(cast(nn.ModuleList, layer), heard.tokens, strict=True)):
                seen = heard.present[:, i, None]
                read = torch.where(seen[..., None], block(read, Tokens(one.values, one.mask & seen)), read)
        return Joined(self.norm(read[:, 0]), weights, evidence)


class GatedBlock(nn.Module):
    """Flamingo's gated cross-attention layer: with both gates at 0, as they start, it passes `y` on as it is."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.attend, self.think = CrossAttend(width, heads, dropout), feed_forward(width, dropout)
        self.attend_gate, self.think_gate = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))

    def forward(self, y: Float[Tensor, "b q e"], tokens: Tokens) -> Float[Tensor, "b q e"]:
        y = y + torch.tanh(self.attend_gate) * self.attend(y, tokens.values, tokens.mask)
        return y + torch.tanh(self.think_gate) * self.think(y)
