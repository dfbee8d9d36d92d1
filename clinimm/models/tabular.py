"""Laboratory values to tokens: one token per analyte that is known."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from clinimm.batch import Tokens
from clinimm.models.completion import Completion
from clinimm.models.encoder import Encoder


class AnalyteEncoder(Encoder):
    """Periodic embedding of each standardized value, then a linear layer and ReLU of its own per analyte.

    Source: Gorishniy et al. 2022, "On Embeddings for Numerical Features", PLR. Differs: the value itself stands beside
    its sines and cosines, so that a value outside the training range extrapolates.

    A missing value has no token. With `tell_missing` it has a learned one. Either way a net can read from the tokens
    which values are missing, and that nobody ordered a test often tells the answer in one hospital and not in the
    next: see `CompletedAnalyteEncoder`."""

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
        known = _known(embedded, mask)
        value = torch.where(known, embedded, torch.zeros_like(embedded))[..., None]
        angle = 2 * torch.pi * value * self.frequencies
        periodic = torch.cat([value, angle.sin(), angle.cos()], dim=-1)
        inner = torch.relu(torch.einsum("bfp,fpi->bfi", periodic, self.weight) + self.bias)
        if self.missing is not None:
            inner = torch.where(known[..., None], inner, self.missing)
        tokens = self.project(inner) + self.identity
        return Tokens(tokens, known) if self.missing is None else Tokens.of_all(tokens)


class CompletedAnalyteEncoder(AnalyteEncoder):
    """A token for every analyte: a missing value stands where the known ones of its panel make it likely.

    While the net learns, it is drawn from what they make likely, as a measured one would be: a net that never sees
    which values are missing cannot lean on it. Where only the known have tokens, their mean tells.

    It has a price: most of what a net learns from sparse panels is then chance. Of 386 children with 5 of 14 findings
    known, nets tell .914 in place of .924 from these alone; of 160 patients with 4 of 10 labs known, .70 in place of
    .85."""

    def __init__(self, features: int, width: int, dropout: float, *, frequencies: int = 8, scale: float = 0.05) -> None:
        super().__init__(features, width, dropout, frequencies=frequencies, scale=scale)
        self.completion = Completion(features)

    def fit(self, values: Float[Tensor, "b f"], mask: Bool[Tensor, "b f"] | None) -> None:
        """Takes from the training panels how their analytes go together."""
        self.completion.fit(values, _known(values, mask))

    def forward(self, embedded: Float[Tensor, "b f"], mask: Bool[Tensor, "b f"] | None) -> Tokens:
        known = _known(embedded, mask)
        whole = self.completion(embedded, known)
        if self.training:
            whole = torch.where(known, whole, self.completion.draws(embedded, known, 1)[0])
        return super().forward(whole * self.completion.scale + self.completion.mean, None)


def _known(values: Float[Tensor, "b f"], mask: Bool[Tensor, "b f"] | None) -> Bool[Tensor, "b f"]:
    return torch.ones_like(values, dtype=torch.bool) if mask is None else mask
