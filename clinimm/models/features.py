"""Fixed features of an input: a fitted linear summary that no label has shaped, with what is known of it marked.

A token (b, 1, 2p) holds p features and, beside each, 1 where it is known and 0 where it is not: a missing analyte."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from clinimm.batch import Tokens
from clinimm.models.edges import edges, edges_of
from clinimm.models.encoder import Encoder
from clinimm.models.linear import BagOfWords, EigenImage, leading
from clinimm.types import Kind, Modality

COMPONENTS = 32
WHITEN = 0.5
_ROWS = 64


class FixedPicture(EigenImage):
    """The leading principal components of a picture, and for a film those of its edges beside them. `components`: how
    many of each; halfway between their natural sizes and all of one size, which on small cohorts found more than either
    end."""

    edge_mean: Float[Tensor, " q"]
    edge_basis: Float[Tensor, "q r"]

    def __init__(self, shape: Sequence[int], components: int = COMPONENTS) -> None:
        super().__init__(shape, 1, 0.0, components=components, whiten=WHITEN)
        self.project = nn.Identity()
        self.flat = len(shape) == 3
        self.register_buffer("edge_mean", torch.zeros(edges_of(tuple(shape))))
        self.register_buffer("edge_basis", torch.zeros(edges_of(tuple(shape)), components))
        self.size = components * (1 + self.flat)

    @torch.no_grad()
    def fit(self, values: Float[Tensor, "b ..."], mask: Bool[Tensor, "b n"] | None) -> None:
        super().fit(values, mask)
        if self.flat:
            found = torch.cat([edges(part) for part in values.split(_ROWS)])
            self.edge_mean.copy_(found.mean(0))
            self.edge_basis.copy_(leading(found - self.edge_mean, self.edge_basis.shape[1], WHITEN))

    def forward(self, embedded: Float[Tensor, "b ..."], mask: Bool[Tensor, "b n"] | None) -> Tokens:
        pixels = super().forward(embedded, mask).values[:, 0]
        if not self.flat:
            return all_known(pixels)
        return all_known(torch.cat([pixels, (edges(embedded) - self.edge_mean) @ self.edge_basis], dim=1))


class FixedNote(BagOfWords):
    """The leading latent dimensions of a note's words."""

    def __init__(self, vocabulary: int, components: int = COMPONENTS) -> None:
        super().__init__(vocabulary, 1, 0.0, components=components, whiten=0.5)
        self.project = nn.Identity()
        self.size = components

    def forward(self, embedded: Float[Tensor, "b n d"], mask: Bool[Tensor, "b n"] | None) -> Tokens:
        return all_known(super().forward(embedded, mask).values[:, 0])


class FixedPanel(Encoder):
    """The standardized values themselves."""

    def __init__(self, analytes: int) -> None:
        super().__init__()
        self.size = analytes

    def forward(self, embedded: Float[Tensor, "b f"], mask: Bool[Tensor, "b f"] | None) -> Tokens:
        known = torch.ones_like(embedded) if mask is None else mask.to(embedded.dtype)
        return Tokens.of_all(torch.cat([torch.where(known > 0, embedded, 0.0), known], dim=1)[:, None])


FixedEncoder = FixedPicture | FixedNote | FixedPanel


def all_known(values: Float[Tensor, "b p"]) -> Tokens:
    """A token of features every one of which is known."""
    return Tokens.of_all(torch.cat([values, torch.ones_like(values)], dim=1)[:, None])


def fixed_encoders(
    modalities: Sequence[Modality], vocabularies: Mapping[str, tuple[int, int, tuple[int, ...]]]
) -> dict[str, FixedEncoder]:
    """An encoder of fixed features for each modality, not fitted yet. `vocabularies` gives the size, padding id and
    special ids of each note's tokenizer."""
    return {m.name: _fixed_encoder(m, vocabularies) for m in modalities}


def _fixed_encoder(modality: Modality, vocabularies: Mapping[str, tuple[int, int, tuple[int, ...]]]) -> FixedEncoder:
    if modality.kind is Kind.IMAGE:
        return FixedPicture(modality.shape)
    if modality.kind is Kind.TABULAR:
        return FixedPanel(modality.shape[0])
    size, pad_id, special_ids = vocabularies[modality.name]
    encoder = FixedNote(size)
    encoder.pad_id, encoder.special_ids = pad_id, special_ids
    return encoder


def joined(
    tokens: Mapping[str, Tokens], present: Bool[Tensor, "b m"]
) -> tuple[Float[Tensor, "b p"], Bool[Tensor, "b p"]]:
    """The features of all modalities side by side, and which of them are known: none of an absent modality."""
    values, known = [], []
    for i, one in enumerate(tokens.values()):
        features, marks = one.values[:, 0].chunk(2, dim=1)
        seen = (marks > 0.5) & present[:, i, None]
        values.append(torch.where(seen, features, 0.0))
        known.append(seen)
    return torch.cat(values, dim=1), torch.cat(known, dim=1)
