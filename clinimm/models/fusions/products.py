"""A product of inputs: what only several of them together tell."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from clinimm.models.fusions.heard import Heard, PerModality


class LowRankProduct(nn.Module):
    """Low-rank bilinear (with three inputs: trilinear) product of tokens with a constant appended, so that every
    lower-order product is in it too; an absent input is the constant alone, and so is one that is not trusted.

    Source: Liu et al. 2018, "Efficient Low-rank Multimodal Fusion with Modality-Specific Factors", eq. 6. Differs: each
    token is first squeezed to `squeeze` units by a linear layer, dropout and tanh, which few cases can fill."""

    def __init__(self, width: int, modalities: int, dropout: float, *, rank: int = 8, squeeze: int = 4) -> None:
        super().__init__()
        self.squeeze = PerModality(width, modalities, squeeze)
        self.dropout = nn.Dropout(dropout)
        self.factors = nn.Parameter(torch.randn(modalities, squeeze + 1, rank * width) / (squeeze + 1) ** 0.5)
        self.sum_ranks = nn.Parameter(torch.randn(rank) / rank)
        self.rank, self.width = rank, width

    def forward(self, heard: Heard, trust: Float[Tensor, "b m"]) -> Float[Tensor, "b e"]:
        small = torch.tanh(self.dropout(self.squeeze(heard))) * trust[..., None]
        with_constant = torch.cat([small, torch.ones_like(small[..., :1])], dim=-1)
        factors = torch.einsum("bms,msr->bmr", with_constant, self.factors)
        product = factors.prod(1).unflatten(1, (self.rank, self.width))
        return torch.einsum("brw,r->bw", product, self.sum_ranks)
