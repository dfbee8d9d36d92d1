"""The model that answers: a net per fold of the patients, and a learner on fixed features beside them.

Each fold's members are trained without that fold's patients, so that what they say of these is an honest answer to
calibrate by, and no training case is lost to validation."""

from collections.abc import Mapping, Sequence
from typing import cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from clinimm.batch import Batch, ModalityBatch, ModelOutput, Tokens
from clinimm.models.learner import FeatureLearner
from clinimm.models.network import Network
from clinimm.types import Modality

BELIEVED = 0.25
"""The least mean trust of the nets in an input for the learner to hear it: they may be three to one against."""


class Committee(nn.Module):
    """A net per fold, and a learner. Per target, the answer's logit is

    (1 - share) * mean of the nets' logits + share * the learner's logit

    `share` is set on the out-of-fold answers. Weights, unimodal logits and trust are the nets' means; `fused` is their
    fused vectors side by side. The learner has no doubts of its own: what the nets do not believe is hidden from it."""

    prior: Float[Tensor, " k"]
    share: Float[Tensor, " k"]

    def __init__(
        self, nets: Sequence[Network], learner: FeatureLearner | None, share: Float[Tensor, " k"] | None = None
    ) -> None:
        super().__init__()
        self.nets = nn.ModuleList(nets)
        self.learner = learner
        self.modalities: tuple[Modality, ...] = nets[0].modalities
        self.register_buffer("prior", nets[0].prior.clone())
        none = torch.zeros_like(nets[0].prior)
        self.register_buffer("share", none if share is None else share)

    @property
    def networks(self) -> list[Network]:
        return [cast(Network, net) for net in self.nets]

    def members(self) -> list[tuple[Network | FeatureLearner, Float[Tensor, " k"]]]:
        """Every net, then the learner if there is one, each with its part of the answer; the parts sum to 1."""
        each = (1 - self.share) / len(self.nets)
        parts: list[tuple[Network | FeatureLearner, Tensor]] = [(net, each) for net in self.networks]
        return parts if self.learner is None else [*parts, (self.learner, self.share)]

    def parts(self) -> list[dict[str, float]]:
        """How much of each target's answer comes from where, summing to 1: from what the `nets` learned, from what
        their `readouts` read a second time, and from the learner's `trees` and `narrow nets`."""
        shares = [net.readout.share for net in self.networks if net.readout is not None]
        read = torch.stack(shares).sum(0) / len(self.nets) if shares else torch.zeros_like(self.share)
        rest = 1 - self.share
        narrow = torch.zeros_like(self.share) if self.learner is None else self.share * self.learner.narrow.to(read)
        columns = {
            "nets": rest * (1 - read), "readouts": rest * read, "trees": self.share - narrow, "narrow nets": narrow
        }  # fmt: skip
        return [{name: float(column[j]) for name, column in columns.items()} for j in range(len(self.share))]

    @torch.no_grad()
    def members_for(self, batch: Batch) -> list[tuple[Network | FeatureLearner, Float[Tensor, " k"]]]:
        """`members`, as they stand to a batch of one: the learner hears of it what it hears in `forward`."""
        if self.learner is None:
            return self.members()
        heard = believed(batch.present, _mean_trust([net(batch) for net in self.networks]))
        return [*self.members()[:-1], (self.learner.hearing(heard), self.share)]

    def tokens(self, batch: Batch, present: Bool[Tensor, "b m"]) -> dict[str, Tokens]:
        """The tokens of each member, by its number and the modality: "0.note"."""
        parts = batch.modalities
        found = (self.tokens_of(m.name, parts[m.name], present[:, i]) for i, m in enumerate(self.modalities))
        return {key: tokens for one in found for key, tokens in one.items()}

    def tokens_of(self, name: str, part: ModalityBatch, present: Bool[Tensor, " b"]) -> dict[str, Tokens]:
        """Those of one modality. They depend on nothing of any other."""
        return {f"{i}.{name}": member.tokens_of(name, part, present) for i, (member, _) in enumerate(self.members())}

    def of_member(self, tokens: Mapping[str, Tokens], number: int) -> dict[str, Tokens]:
        """What `tokens` gave for one member, by modality."""
        return {m.name: tokens[f"{number}.{m.name}"] for m in self.modalities}

    def fuse(
        self, tokens: Mapping[str, Tokens], present: Bool[Tensor, "b m"], quality: Mapping[str, Float[Tensor, "b _"]]
    ) -> ModelOutput:
        """The answer from the members' tokens. `present` may hide an input that was encoded."""
        nets = [net.fuse(self.of_member(tokens, i), present, quality) for i, net in enumerate(self.networks)]
        trust = _mean_trust(nets)
        said = [one.logits for one in nets]
        if self.learner is not None:
            heard = believed(present, trust)
            said.append(self.learner.fuse(self.of_member(tokens, len(nets)), heard, quality).logits)
        logits = sum((part * one for (_, part), one in zip(self.members(), said, strict=True)), 0 * self.prior)
        conflict = [one.conflict for one in nets if one.conflict is not None]
        return ModelOutput(
            logits=torch.where(present.any(1, keepdim=True), logits, self.prior),
            unimodal=torch.stack([one.unimodal for one in nets]).mean(0),
            fused=torch.cat([one.fused for one in nets], dim=1),
            weights=torch.stack([one.weights for one in nets]).mean(0),
            trust=trust,
            conflict=torch.stack(conflict).mean(0) if conflict else None,
        )

    def forward(self, batch: Batch, present: Bool[Tensor, "b m"] | None = None) -> ModelOutput:
        """The answer for a batch; `present`, if given, can only hide what the batch has."""
        seen = batch.present if present is None else batch.present & present
        return self.fuse(self.tokens(batch, seen), seen, batch.quality)


def _mean_trust(nets: Sequence[ModelOutput]) -> Float[Tensor, "b m"] | None:
    judged = [one.trust for one in nets if one.trust is not None]
    return torch.stack(judged).mean(0) if judged else None


def believed(present: Bool[Tensor, "b m"], trust: Float[Tensor, "b m"] | None) -> Bool[Tensor, "b m"]:
    """The present inputs that are not doubted; all of them where nothing judges."""
    return present if trust is None else present & (trust >= BELIEVED)
