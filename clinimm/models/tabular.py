"""Laboratory values to tokens: one token per analyte that is known."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from clinimm.batch import Tokens
from clinimm.models.encoder import Encoder


class AnalyteEncoder(Encoder):
    """Periodic embedding of each standardized value, then a linear layer and ReLU of its own per analyte.

    Source: Gorishniy et al. 2022, "On Embeddings for Numerical Features", PLR. Differs: the value itself stands beside
    its sines and cosines, so that a value outside the training range extrapolates.

    A missing value has no token: that nobody ordered a test often tells the answer in one hospital and not in the next.
    With `tell_missing` it has a learned one."""

    missing: nn.Parameter | None

    def __init__(
        self,
        features: int,
        width: int,
        dropout: float,
        *,
        frequencies: int = 8,
        scale: float = 0.05,
        inner: int = 16,
        tell_missing: bool = False,
    ) -> None:
        super().__init__()
        self.frequencies = nn.Parameter(torch.randn(features, frequencies) * scale)
        periodic = 2 * frequencies + 1
        self.weight = nn.Parameter(torch.randn(features, periodic, inner) / periodic**0.5)
        self.bias = nn.Parameter(torch.zeros(features, inner))
        self.register_parameter("missing", nn.Parameter(torch.zeros(features, inner)) if tell_missing else None)
        self.project = nn.Sequential(nn.Dropout(dropout), nn.Linear(inner, width))
        self.identity = nn.Parameter(torch.zeros(features, width))

    def forward(self, embedded: Float[Tensor, "b f"], mask: Bool[Tensor, "b f"] | None) -> Tokens:
        known = torch.ones_like(embedded, dtype=torch.bool) if mask is None else mask
        value = torch.where(known, embedded, torch.zeros_like(embedded))[..., None]
        angle = 2 * torch.pi * value * self.frequencies
        periodic = torch.cat([value, angle.sin(), angle.cos()], dim=-1)
        inner = torch.relu(torch.einsum("bfp,fpi->bfi", periodic, self.weight) + self.bias)
        if self.missing is not None:
            inner = torch.where(known[..., None], inner, self.missing)
        tokens = self.project(inner) + self.identity
        return Tokens(tokens, known) if self.missing is None else Tokens.of_all(tokens)
