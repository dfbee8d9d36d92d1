"""The whole net: an encoder per modality, one fusion, a head per target, and an auxiliary head per modality."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from clinimm.batch import Batch, ModalityBatch, ModelOutput, Tokens
from clinimm.models.backbone_encoder import BackboneEncoder
from clinimm.models.encoder import Encoder
from clinimm.models.fusions.heard import Fusion, Heard, Summary, summary, zeroed
from clinimm.models.readout import Readout
from clinimm.types import Modality


class Network(nn.Module):
    """Encoders, fusion and heads. The answer is the opinions of the inputs as the fusion joins them, corrected by what
    a head reads in its fused vector:

    logits = prior + evidence(unimodal - prior) + head(fused)

    The correction starts at 0. A case with no input at all gets `prior`, the logits of the training prevalence. Where
    there is a `readout`, which is fitted once all else has learned, it has a share in the answer."""

    prior: Float[Tensor, " k"]
    readout: Readout | None

    def __init__(
        self,
        modalities: Sequence[Modality],
        encoders: Mapping[str, Encoder],
        fusion: Fusion,
        width: int,
        prior: Float[Tensor, " k"],
    ) -> None:
        super().__init__()
        self.modalities = tuple(modalities)
        self.encoders = nn.ModuleDict({m.name: encoders[m.name] for m in self.modalities})
        self.fusion = fusion
        self.opinions = nn.ModuleDict({m.name: starting_at(prior, width) for m in self.modalities})
        self.summaries = nn.ModuleDict({m.name: Summary(width) for m in self.modalities})
        self.head = zeroed(nn.Linear(width, len(prior)))
        self.register_module("readout", None)
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
            name: self.encode_one(name, embedded[name], masks[name], present[:, i])
            for i, name in enumerate(self.encoders)
        }

    def encode_one(self, name: str, embedded: Tensor, mask: Tensor | None, present: Bool[Tensor, " b"]) -> Tokens:
        """`encode` of one modality. Its tokens depend on nothing of any other."""
        encoder = cast(Encoder, self.encoders[name])
        return self.summaries[name](encode_present(encoder, embedded, mask, present))

    def tokens(self, batch: Batch, present: Bool[Tensor, "b m"]) -> dict[str, Tokens]:
        """`encode` of a batch's values."""
        parts = batch.modalities
        return {name: self.tokens_of(name, parts[name], present[:, i]) for i, name in enumerate(self.encoders)}

    def tokens_of(self, name: str, part: ModalityBatch, present: Bool[Tensor, " b"]) -> Tokens:
        """The tokens of one modality. Where it brings a frozen tower's hidden tokens, the tower is not run."""
        encoder = cast(Encoder, self.encoders[name])
        if part.encoded is None:
            one = encode_present(encoder, encoder.embed(part.values), part.mask, present)
        else:
            above = cast(BackboneEncoder, encoder)
            one = encode_present(encoder, part.encoded.values, part.encoded.mask, present, above.from_hidden)
        return self.summaries[name](one)

    def fuse(
        self, tokens: Mapping[str, Tokens], present: Bool[Tensor, "b m"], quality: Mapping[str, Float[Tensor, "b _"]]
    ) -> ModelOutput:
        """The answer from tokens. `present` may hide an input that was encoded."""
        names = list(self.encoders)
        kept = [hide(tokens[name], present[:, i]) for i, name in enumerate(names)]
        judged = [torch.where(present[:, i, None], quality[name], 0.0) for i, name in enumerate(names)]
        opinions = [self.opinions[name](summary(one)) for name, one in zip(names, kept, strict=True)]
        unimodal = torch.stack(opinions, dim=1) * present[..., None]
        above = torch.where(present[..., None], unimodal - self.prior, 0.0)
        heard = Heard(kept, present, judged, above)
        joined = self.fusion(heard)
        answer = self.prior + joined.evidence + self.head(joined.fused)
        if self.readout is not None:
            answer = self.readout(answer, heard, joined.trust, self.prior)
        logits = torch.where(present.any(1, keepdim=True), answer, self.prior)
        return ModelOutput(
            logits, unimodal, joined.fused, joined.weights, joined.trust, joined.conflict, joined.penalty
        )

    def forward(self, batch: Batch, present: Bool[Tensor, "b m"] | None = None) -> ModelOutput:
        """The answer for a batch; `present`, if given, can only hide what the batch has."""
        seen = batch.present if present is None else batch.present & present
        return self.fuse(self.tokens(batch, seen), seen, batch.quality)

    def learned(self) -> dict[str, Tensor]:
        """The state without what encoders were given and training leaves as it was: with no backbone, all of it."""
        fixed = self._fixed()
        return {name: tensor for name, tensor in self.state_dict().items() if name not in fixed}

    def load_learned(self, state: Mapping[str, Tensor]) -> None:
        """Takes what `learned` gave; the rest stays. Raises RuntimeError if a name is missing or too many."""
        fixed = self._fixed()
        rest = {name: tensor for name, tensor in self.state_dict().items() if name in fixed}
        self.load_state_dict(rest | dict(state))

    def _fixed(self) -> frozenset[str]:
        return frozenset(f"encoders.{name}.{key}" for name, encoder in self.named_encoders() for key in encoder.fixed())


def starting_at(prior: Float[Tensor, " k"], width: int) -> nn.Linear:
    """A linear head whose first answer is near the prior logits."""
    head = nn.Linear(width, len(prior))
    head.bias.data.copy_(prior)
    return head


def encode_present(
    encoder: Encoder,
    embedded: Tensor,
    mask: Tensor | None,
    present: Bool[Tensor, " b"],
    run: Callable[..., Tokens] | None = None,
) -> Tokens:
    """The encoder's tokens (or what else of it is `run`) for the rows that are present, 0 elsewhere. Where none is, one
    blank row runs and is thrown away, so that every weight stays part of the graph (DDP hangs otherwise)."""
    run = run or encoder
    rows = present.nonzero()[:, 0]
    if len(rows) == 0:
        blank = None if mask is None else torch.ones_like(mask[:1])
        with batch_statistics(encoder, False):
            encoded = resampled(encoder, run(torch.zeros_like(embedded[:1]), blank))
        values = encoded.values.expand(len(present), -1, -1) * 0
        return Tokens(values, torch.zeros(values.shape[:2], dtype=torch.bool, device=values.device))
    with batch_statistics(encoder, len(rows) > 1):
        encoded = resampled(encoder, run(embedded[rows], None if mask is None else mask[rows]))
    values = encoded.values.new_zeros(len(present), *encoded.values.shape[1:]).index_copy(0, rows, encoded.values)
    real = encoded.mask.new_zeros(len(present), encoded.mask.shape[1]).index_copy(0, rows, encoded.mask)
    return Tokens(values, real)


def resampled(encoder: Encoder, tokens: Tokens) -> Tokens:
    return tokens if encoder.resampler is None else encoder.resampler(tokens)


@contextmanager
def batch_statistics(encoder: nn.Module, allowed: bool) -> Iterator[None]:
    """For the length of a block, batch normalization uses and learns the batch's own statistics only where `allowed`:
    a blank row has none, and one patient is no batch."""
    norms = [layer for layer in encoder.modules() if isinstance(layer, nn.BatchNorm2d | nn.BatchNorm3d)]
    learning = [layer for layer in norms if layer.training and not allowed]
    for layer in learning:
        layer.eval()
    try:
        yield
    finally:
        for layer in learning:
            layer.train()


def hide(tokens: Tokens, present: Bool[Tensor, " b"]) -> Tokens:
    """`tokens` with the rows of absent inputs set to 0 and masked out."""
    return Tokens(torch.where(present[:, None, None], tokens.values, 0.0), tokens.mask & present[:, None])
