"""A learner on fixed features: what is missing completed, then trees, and narrow nets where they help.

It speaks as a `Network` does: tokens, then fuse. Nothing of an absent input is ever read: its features are what the
present ones make likely."""

from collections.abc import Iterator, Mapping, Sequence
from typing import cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from clinimm.batch import Batch, ModalityBatch, ModelOutput, Tokens
from clinimm.models.completion import Completion
from clinimm.models.encoder import Encoder
from clinimm.models.features import FixedEncoder, joined
from clinimm.models.narrow import NarrowNets
from clinimm.models.network import encode_present, hide
from clinimm.types import Modality

TREES = 2 / 3
"""The forest's part of the logit of a target that nets help; the nets have the rest."""


class Head(nn.Module):
    """What was learned from some cases: a forest per target over the features. For a target that is `helped` by nets,
    its forest sees their units beside the features, and their own answer counts too."""

    def __init__(self, nets: NarrowNets | None, forests: Sequence[nn.Module], helped: Sequence[bool]) -> None:
        """`nets` may be None where no target is helped."""
        super().__init__()
        self.nets = nets
        self.forests = nn.ModuleList(forests)
        self.helped = tuple(helped)

    def forward(self, x: Float[Tensor, "b p"]) -> Float[Tensor, "b k"]:
        if self.nets is None:
            return torch.stack([forest(x) for forest in self.forests], dim=1)
        units = self.nets.squeezed(x.expand(self.nets.nets, -1, -1))
        nets, seen = self.nets(units).mean(0), with_units(x, units)
        return torch.stack(
            [
                (1 - TREES) * nets[:, j] + TREES * forest(seen) if is_helped else forest(x)
                for j, (forest, is_helped) in enumerate(zip(self.forests, self.helped, strict=True))
            ],
            dim=1,
        )

    def answering(self, target: int) -> "Head":
        """The same for one target, with no trees for the others: they are most of its cost."""
        nets = self.nets if self.helped[target] else None
        return Head(nets, [one if i == target else _Silent() for i, one in enumerate(self.forests)], self.helped)


class _Silent(nn.Module):
    """A forest that says nothing."""

    def forward(self, x: Float[Tensor, "b s"]) -> Float[Tensor, " b"]:
        return x.new_zeros(len(x))


def with_units(x: Float[Tensor, "b p"], units: Sequence[Float[Tensor, "g b u"]]) -> Float[Tensor, "b s"]:
    """Features, and beside them every unit of every net."""
    return torch.cat([x, *(unit.transpose(0, 1).flatten(1) for unit in units)], dim=1)


class FeatureLearner(nn.Module):
    """Fixed encoders, a completion, and heads, which are averaged. `heard`, where set, hides all other inputs;
    `availability` is how often a feature is known in training cases that have its input."""

    prior: Float[Tensor, " k"]
    availability: Float[Tensor, " p"]

    def __init__(
        self,
        modalities: Sequence[Modality],
        encoders: Mapping[str, FixedEncoder],
        prior: Float[Tensor, " k"],
        heads: Sequence[nn.Module] = (),
    ) -> None:
        super().__init__()
        self.modalities = tuple(modalities)
        self.encoders = nn.ModuleDict({m.name: encoders[m.name] for m in self.modalities})
        self.completion = Completion(sum(self.sizes))
        self.heads = nn.ModuleList(heads)
        self.heard: Tensor | None = None
        self.register_buffer("availability", torch.ones(sum(self.sizes)))
        self.register_buffer("prior", prior.clone())

    @property
    def narrow(self) -> Float[Tensor, " k"]:
        """The narrow nets' part of each target's logit; the trees have the rest."""
        return torch.stack([(1 - TREES) * torch.tensor(cast(Head, head).helped).float() for head in self.heads]).mean(0)

    @property
    def sizes(self) -> list[int]:
        """How many features each modality has."""
        return [cast(FixedEncoder, encoder).size for encoder in self.encoders.values()]

    def named_encoders(self) -> Iterator[tuple[str, Encoder]]:
        return ((name, cast(Encoder, encoder)) for name, encoder in self.encoders.items())

    def hearing(self, heard: Bool[Tensor, "1 m"]) -> "FeatureLearner":
        """The same, deaf to all other inputs; everything is shared with this one."""
        return self._with(list(self.heads), heard)

    def answering(self, target: int) -> "FeatureLearner":
        """The same for one target; what it says of the others means nothing. Everything is shared with this one."""
        return self._with([cast(Head, head).answering(target) for head in self.heads], self.heard)

    def _with(self, heads: Sequence[nn.Module], heard: Tensor | None) -> "FeatureLearner":
        encoders = {name: cast(FixedEncoder, encoder) for name, encoder in self.encoders.items()}
        other = FeatureLearner(self.modalities, encoders, self.prior, heads)
        other.completion, other.availability, other.heard = self.completion, self.availability, heard
        return other.train(self.training)

    @torch.no_grad()
    def fit(self, batch: Batch) -> None:
        """Fits encoders and completion on training cases; labels are not looked at."""
        for name, encoder in self.named_encoders():
            part = batch.modalities[name]
            if part.present.any():
                encoder.fit(part.values[part.present], None if part.mask is None else part.mask[part.present])
        values, known = joined(self.tokens(batch, batch.present), batch.present)
        self.completion.fit(values, known)
        owner = torch.repeat_interleave(torch.arange(len(self.sizes)), torch.tensor(self.sizes))
        self.availability.copy_(known.sum(0) / batch.present[:, owner].sum(0).clamp_min(1))

    def embed(self, batch: Batch) -> dict[str, Tensor]:
        """Each modality's values as floats that can carry gradients."""
        return {name: encoder.embed(batch.modalities[name].values) for name, encoder in self.named_encoders()}

    def encode(
        self, embedded: Mapping[str, Tensor], masks: Mapping[str, Tensor | None], present: Bool[Tensor, "b m"]
    ) -> dict[str, Tokens]:
        """One token of features per modality, 0 where it is absent."""
        return {
            name: self.encode_one(name, embedded[name], masks[name], present[:, i])
            for i, name in enumerate(self.encoders)
        }

    def encode_one(self, name: str, embedded: Tensor, mask: Tensor | None, present: Bool[Tensor, " b"]) -> Tokens:
        """`encode` of one modality."""
        return encode_present(cast(Encoder, self.encoders[name]), embedded, mask, present)

    def tokens(self, batch: Batch, present: Bool[Tensor, "b m"]) -> dict[str, Tokens]:
        """`encode` of a batch's values."""
        parts = batch.modalities
        return {name: self.tokens_of(name, parts[name], present[:, i]) for i, name in enumerate(self.encoders)}

    def tokens_of(self, name: str, part: ModalityBatch, present: Bool[Tensor, " b"]) -> Tokens:
        """The token of one modality."""
        encoder = cast(Encoder, self.encoders[name])
        return encode_present(encoder, encoder.embed(part.values), part.mask, present)

    def completed(self, tokens: Mapping[str, Tokens], present: Bool[Tensor, "b m"]) -> Float[Tensor, "b p"]:
        """The features of all modalities, what is unknown or absent completed from the rest."""
        ordered = {name: tokens[name] for name in self.encoders}
        return self.completion(*joined(ordered, present))

    def fuse(
        self,
        tokens: Mapping[str, Tokens],
        present: Bool[Tensor, "b m"],
        quality: Mapping[str, Float[Tensor, "b _"]],
    ) -> ModelOutput:
        """The mean answer of the heads. Nothing here judges reliability, so weights are even; there are no
        auxiliary heads, so `unimodal` is the prior."""
        present = present if self.heard is None else present & self.heard
        kept = {name: hide(tokens[name], present[:, i]) for i, name in enumerate(self.encoders)}
        x = self.completed(kept, present)
        logits = torch.stack([head(x) for head in self.heads]).mean(0)
        return ModelOutput(
            logits=torch.where(present.any(1, keepdim=True), logits, self.prior),
            unimodal=self.prior.expand(len(x), len(self.encoders), -1),
            fused=x,
            weights=present.to(x.dtype) / present.sum(1, keepdim=True).clamp_min(1),
        )

    @torch.no_grad()
    def imagined(
        self,
        tokens: Mapping[str, Tokens],
        present: Bool[Tensor, "1 m"],
        arriving: str,
        draws: int,
        generator: torch.Generator,
    ) -> Float[Tensor, "d k"]:
        """The logits that one case would get if the absent input `arriving` came: for each draw of what it might hold,
        given the others, with as many of its features known as training cases have."""
        values, known = joined({name: tokens[name] for name in self.encoders}, present)
        start = sum(self.sizes[: list(self.encoders).index(arriving)])
        mine = slice(start, start + self.sizes[list(self.encoders).index(arriving)])
        drawn = self.completion.draws(values, known, draws, generator)[:, 0] * self.completion.scale
        filled = values.expand(draws, -1).clone()
        filled[:, mine] = (drawn + self.completion.mean)[:, mine]
        seen = known.expand(draws, -1).clone()
        lots = torch.rand(draws, mine.stop - mine.start, generator=generator)
        seen[:, mine] = lots.to(seen.device) < self.availability[mine]
        x = self.completion(filled, seen)
        return torch.stack([head(x) for head in self.heads]).mean(0)
