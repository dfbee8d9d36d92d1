"""One target of one case as a function of its embedded inputs, everything else held fixed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from clinimm.attribution.baselines import baseline_batch
from clinimm.attribution.network import Explainable
from clinimm.batch import Batch, Tokens


@dataclass(frozen=True)
class Question:
    """`embedded` and `baseline` have one row each; only the inputs in `used` may vary, the absent are carried along
    untouched and never differentiated."""

    network: Explainable
    batch: Batch
    target_index: int
    used: tuple[str, ...]
    embedded: Mapping[str, Tensor]
    baseline: Mapping[str, Tensor]
    masks: Mapping[str, Tensor | None]
    present: Bool[Tensor, "1 m"]
    quality: Mapping[str, Tensor]

    def logits(self, *varied: Float[Tensor, "b ..."]) -> Float[Tensor, " b"]:
        """The target's logit for each row of `varied`, which follow the order of `used`. Carries gradients."""
        rows = varied[0].shape[0]
        return self.fused(self.tokens(*varied), self.present.expand(rows, -1))

    def tokens(self, *varied: Float[Tensor, "b ..."]) -> dict[str, Tokens]:
        rows = varied[0].shape[0]
        embedded = {name: _repeat(value, rows) for name, value in self.embedded.items()}
        embedded.update(zip(self.used, varied, strict=True))
        masks = {name: None if mask is None else _repeat(mask, rows) for name, mask in self.masks.items()}
        return self.network.encode(embedded, masks, self.present.expand(rows, -1))

    def fused(self, tokens: Mapping[str, Tokens], present: Bool[Tensor, "b m"]) -> Float[Tensor, " b"]:
        """The target's logit when only the inputs in `present` are looked at."""
        return self.answers(tokens, present)[:, self.target_index]

    def answers(self, tokens: Mapping[str, Tokens], present: Bool[Tensor, "b m"]) -> Float[Tensor, "b k"]:
        """`fused` for every target at once."""
        rows = present.shape[0]
        quality = {name: _repeat(value, rows) for name, value in self.quality.items()}
        return self.network.fuse(dict(tokens), present, quality).logits

    def at(self, place: float) -> tuple[Tensor, ...]:
        """The inputs in use at a place of the straight path: 0 is the baselines, 1 the case."""
        ends = ((self.baseline[name], self.embedded[name]) for name in self.used)
        return tuple(baseline + place * (embedded - baseline) for baseline, embedded in ends)

    def logit_at(self, place: float) -> float:
        with torch.no_grad():
            return float(self.logits(*self.at(place))[0])

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(modality.name for modality in self.network.modalities)

    @property
    def prior(self) -> float:
        return float(self.network.prior[self.target_index])


def ask(network: Explainable, batch: Batch, target_index: int) -> Question:
    """The question of one target of a batch of one. Raises ValueError for any other batch size."""
    if len(batch) != 1:
        raise ValueError(f"an explanation is of one case, not of {len(batch)}")
    with torch.no_grad():
        embedded = network.embed(batch)
        baseline = network.embed(baseline_batch(network, batch))
    return Question(
        network=network,
        batch=batch,
        target_index=target_index,
        used=tuple(name for name, part in batch.modalities.items() if bool(part.present[0])),
        embedded=embedded,
        baseline=baseline,
        masks={name: part.mask for name, part in batch.modalities.items()},
        present=batch.present,
        quality={name: part.quality for name, part in batch.modalities.items()},
    )


def slopes_at(questions: Sequence[Question], places: Sequence[float]) -> tuple[list[float], list[dict[str, Tensor]]]:
    """The logit of each question at its place of its path, and its gradient by each input in use. The questions are of
    one net, which runs them all at once."""
    first = questions[0]
    used = [name for name in first.names if any(name in question.used for question in questions)]
    ends = [dict(zip(one.used, one.at(place), strict=True)) for one, place in zip(questions, places, strict=True)]
    embedded = {
        name: torch.cat([end.get(name, one.embedded[name]) for one, end in zip(questions, ends, strict=True)]).detach()
        for name in first.names
    }
    varied = [embedded[name].requires_grad_() for name in used]
    masks = {name: None if mask is None else _joined(questions, "masks", name) for name, mask in first.masks.items()}
    quality = {name: _joined(questions, "quality", name) for name in first.names}
    present = torch.cat([one.present for one in questions])
    targets = torch.tensor([one.target_index for one in questions], device=present.device)
    with torch.enable_grad():
        tokens = first.network.encode(embedded, masks, present)
        answers = first.network.fuse(tokens, present, quality).logits
        logits = answers.gather(1, targets[:, None])[:, 0]
        slopes = torch.autograd.grad(logits.sum(), varied)
    named = dict(zip(used, slopes, strict=True))
    return logits.tolist(), [{name: named[name][i] for name in one.used} for i, one in enumerate(questions)]


def _joined(questions: Sequence[Question], what: str, name: str) -> Tensor:
    return torch.cat([getattr(one, what)[name] for one in questions])


def _repeat(row: Tensor, rows: int) -> Tensor:
    return row.expand(rows, *row.shape[1:])
