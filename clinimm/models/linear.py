"""Encoders for small cohorts: a fixed linear projection fitted on the training cases, then a narrow learned one.

Towers learned from a few hundred cases overfit before the fusion has found anything; principal components do not."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from clinimm.batch import Tokens
from clinimm.models.encoder import Encoder, PictureEncoder


class EigenImage(PictureEncoder):
    """One token from the leading principal components of the training images (Turk and Pentland 1991).

    `whiten` is 1 for components of one size, which small data overfit, and 0 for components as large as they are."""

    mean: Float[Tensor, " p"]
    basis: Float[Tensor, "p r"]

    def __init__(
        self, shape: Sequence[int], width: int, dropout: float, *, components: int = 32, whiten: float = 0.5
    ) -> None:
        super().__init__(shape)
        pixels = math.prod(shape)
        self.whiten = whiten
        self.register_buffer("mean", torch.zeros(pixels))
        self.register_buffer("basis", torch.zeros(pixels, components))
        self.project: nn.Module = nn.Sequential(nn.Dropout(dropout), nn.Linear(components, width))

    @torch.no_grad()
    def fit(self, values: Float[Tensor, "b ..."], mask: Bool[Tensor, "b n"] | None) -> None:
        """Sets mean and basis from training images."""
        super().fit(values, mask)
        flat = values.flatten(1)
        self.mean.copy_(flat.mean(0))
        self.basis.copy_(leading(flat - self.mean, self.basis.shape[1], self.whiten))

    def forward(self, embedded: Float[Tensor, "b ..."], mask: Bool[Tensor, "b n"] | None) -> Tokens:
        token = self.project((embedded.flatten(1) - self.mean) @ self.basis)
        return Tokens(token[:, None], torch.ones(len(token), 1, dtype=torch.bool, device=token.device))


class BagOfWords(Encoder):
    """One token from latent semantic analysis of the training notes (Deerwester et al. 1990): word pieces weighted by
    inverse document frequency and projected on the leading singular vectors, summed over the note.

    Differs: a note is scaled by the root of its length, not by its own norm, so that the path from an empty note to the
    full one is a straight line and an attribution adds up."""

    vectors: Float[Tensor, "v r"]

    def __init__(
        self, vocabulary: int, width: int, dropout: float, *, components: int = 32, whiten: float = 1.0
    ) -> None:
        super().__init__()
        self.whiten = whiten
        self.register_buffer("vectors", torch.zeros(vocabulary, components))
        self.project: nn.Module = nn.Sequential(nn.Dropout(dropout), nn.Linear(components, width))

    @torch.no_grad()
    def fit(self, values: Int[Tensor, "b n"], mask: Bool[Tensor, "b n"] | None) -> None:
        """Sets the word vectors from the training notes' ids."""
        counts = torch.zeros(len(values), len(self.vectors))
        weight = torch.ones(values.shape) if mask is None else mask.float()
        counts.scatter_add_(1, values.long(), weight)
        documents = (counts > 0).float().sum(0)
        idf = torch.log((1 + len(values)) / (1 + documents)) + 1
        idf[documents == 0] = 0
        scaled = damped(counts) * idf / weight.sum(1, keepdim=True).clamp_min(1).sqrt()
        self.vectors.copy_(idf[:, None] * leading(scaled, self.vectors.shape[1], self.whiten))

    def embed(self, values: Int[Tensor, "b n"]) -> Float[Tensor, "b n d"]:
        ids = values.long()
        counts = torch.zeros(len(ids), len(self.vectors), device=ids.device)
        counts = counts.scatter_add_(1, ids, torch.ones_like(ids, dtype=counts.dtype)).gather(1, ids)
        return self.vectors[ids] * (damped(counts) / counts)[..., None]

    def forward(self, embedded: Float[Tensor, "b n d"], mask: Bool[Tensor, "b n"] | None) -> Tokens:
        weight = torch.ones_like(embedded[..., 0]) if mask is None else mask.to(embedded.dtype)
        total = (embedded * weight[..., None]).sum(1) / weight.sum(1, keepdim=True).clamp_min(1).sqrt()
        token = self.project(total)
        return Tokens(token[:, None], torch.ones(len(token), 1, dtype=torch.bool, device=token.device))


def damped(counts: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """What a word counts for by how often a note has it: 1 + the log of that, so that what fills every note does not
    drown what is said once. Source: Salton and Buckley 1988."""
    return torch.where(counts > 0, 1 + counts.clamp_min(1).log(), 0.0)


def leading(rows: Float[Tensor, "n p"], components: int, whiten: float) -> Float[Tensor, "p r"]:
    """The leading right singular vectors as columns, scaled so that projected rows have standard deviation
    (s_i / s_1) ** (1 - whiten), s_i being the singular values; columns past the rank are 0."""
    _, spread, basis = torch.linalg.svd(rows, full_matrices=False)
    rank = min(components, int((spread > 1e-4 * spread[0]).sum()))
    scale = len(rows) ** 0.5 * spread[:rank] ** -whiten * spread[0] ** (whiten - 1)
    columns = rows.new_zeros(rows.shape[1], components)
    columns[:, :rank] = basis[:rank].T * scale
    return columns
