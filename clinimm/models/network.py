"""The whole net: an encoder per modality, one fusion, a head per target, and an auxiliary head per modality."""

from collections.abc import Iterator, Mapping, Sequence
from typing import cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from clinimm.batch import Batch, ModelOutput, Tokens
from clinimm.models.encoder import Encoder
from clinimm.models.fusion import pool, zeroed
from clinimm.types import Modality


class Network(nn.Module):
    """Encoders, fusion and heads. The answer is the weighed opinions of the inputs, corrected by the fused vector:

    logits = sum_m weight_m * unimodal_m + head(fused)

    The correction starts at 0, so that training starts from the availability-aware average of the inputs. A case
    with no input at all gets `prior`, the logits of the training prevalence."""

    prior: Float[Tensor, " k"]

    def __init__(
        self,
        modalities: Sequence[Modality],
        encoders: Mapping[str, Encoder],
        fusion: nn.Module,
        width: int,
        prior: Float[Tensor, " k"],
    ) -> None:
        super().__init__()
        self.modalities = tuple(modalities)
        self.encoders = nn.ModuleDict({m.name: encoders[m.name] for m in self.modalities})
        self.fusion = fusion
        self.opinions = nn.ModuleDict({m.name: starting_at(prior, width) for m in self.modalities})
        self.head = zeroed(nn.Linear(width, len(prior)))
        self.width = width
        self.register_buffer("prior", prior.clone())

    def named_encoders(self) -> Iterator[tuple[str, Encoder]]:
        """Name and encoder of each modality, in order."""
        return ((name, cast(Encoder, encoder)) for name, encoder in self.encoders.items())

    @torch.no_grad()
    def fit_encoders(self, batch: Batch) -> None:
        """Lets each encoder that has a fixed projection fit it on the training cases that have its modality."""
        for name, encoder in self.named_encoders():
            part = batch.modalities[name]
            if part.present.any():
                encoder.fit(part.values[part.present], None if part.mask is None else part.mask[part.present])

    def embed(self, batch: Batch) -> dict[str, Tensor]:
        """Each modality's values as floats that can carry gradients: pixels, word vectors (b, n, d), lab values."""
        return {name: encoder.embed(batch.modalities[name].values) for name, encoder in self.named_encoders()}

    def encode(
        self,
        embedded: Mapping[str, Tensor],
        masks: Mapping[str, Tensor | None],
        present: Bool[Tensor, "b m"],
    ) -> dict[str, Tokens]:
        """Tokens of each modality. Only rows that are present are encoded; the rest are 0 and carry no gradient."""
        return {
            name: encode_present(encoder, embedded[name], masks[name], present[:, i])
            for i, (name, encoder) in enumerate(self.named_encoders())
        }

    def fuse(
        self, tokens: Mapping[str, Tokens], present: Bool[Tensor, "b m"], quality: Mapping[str, Float[Tensor, "b _"]]
    ) -> ModelOutput:
        """The answer from tokens. `present` may hide an input that was encoded."""
        names = list(self.encoders)
        kept = [hide(tokens[name], present[:, i]) for i, name in enumerate(names)]
        judged = [torch.where(present[:, i, None], quality[name], 0.0) for i, name in enumerate(names)]
        fused, weights = self.fusion(kept, present, judged)
        opinions = [self.opinions[name](pool(one)) for name, one in zip(names, kept, strict=True)]
        unimodal = torch.stack(opinions, dim=1) * present[..., None]
        logits = (weights[..., None] * unimodal).sum(1) + self.head(fused)
        logits = torch.where(present.any(1, keepdim=True), logits, self.prior)
        return ModelOutput(logits, unimodal, fused, weights)

    def forward(self, batch: Batch, present: Bool[Tensor, "b m"] | None = None) -> ModelOutput:
        """The answer for a batch; `present`, if given, can only hide what the batch has."""
        seen = batch.present if present is None else batch.present & present
        parts = batch.modalities
        tokens = self.encode(self.embed(batch), {name: part.mask for name, part in parts.items()}, seen)
        return self.fuse(tokens, seen, {name: part.quality for name, part in parts.items()})


def starting_at(prior: Float[Tensor, " k"], width: int) -> nn.Linear:
    """A linear head whose first answer is near the prior logits."""
    head = nn.Linear(width, len(prior))
    head.bias.data.copy_(prior)
    return head


def encode_present(encoder: Encoder, embedded: Tensor, mask: Tensor | None, present: Bool[Tensor, " b"]) -> Tokens:
    """The encoder's tokens for the rows that are present, 0 elsewhere. Where none is, one blank row runs and is thrown
    away, so that every weight stays part of the graph (DDP hangs otherwise)."""
    rows = present.nonzero()[:, 0]
    if len(rows) == 0:
        blank = None if mask is None else torch.ones_like(mask[:1])
        encoded = encoder(torch.zeros_like(embedded[:1]), blank)
        values = encoded.values.expand(len(present), -1, -1) * 0
        return Tokens(values, torch.zeros(values.shape[:2], dtype=torch.bool, device=values.device))
    encoded = encoder(embedded[rows], None if mask is None else mask[rows])
    values = encoded.values.new_zeros(len(present), *encoded.values.shape[1:]).index_copy(0, rows, encoded.values)
    real = encoded.mask.new_zeros(len(present), encoded.mask.shape[1]).index_copy(0, rows, encoded.mask)
    return Tokens(values, real)


def hide(tokens: Tokens, present: Bool[Tensor, " b"]) -> Tokens:
    """`tokens` with the rows of absent inputs set to 0 and masked out."""
    return Tokens(torch.where(present[:, None, None], tokens.values, 0.0), tokens.mask & present[:, None])
