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
        return self.answers(self.tokens(*varied), self.present.expand(rows, -1))[:, self.target_index]

    def tokens(self, *varied: Float[Tensor, "b ..."]) -> dict[str, Tokens]:
        rows = varied[0].shape[0]
        embedded = {name: _repeat(value, rows) for name, value in self.embedded.items()}
        embedded.update(zip(self.used, varied, strict=True))
        masks = {name: None if mask is None else _repeat(mask, rows) for name, mask in self.masks.items()}
        return self.network.encode(embedded, masks, self.present.expand(rows, -1))

    def answers(self, tokens: Mapping[str, Tokens], present: Bool[Tensor, "b m"]) -> Float[Tensor, "b k"]:
        """The logits of all targets when only the inputs in `present` are looked at."""
        rows = present.shape[0]
        quality = {name: _repeat(value, rows) for name, value in self.quality.items()}
        return self.network.fuse(dict(tokens), present, quality).logits

    def at(self, place: float) -> tuple[Tensor, ...]:
        """The inputs in use at a place of the straight path: 0 is the baselines, 1 the case."""
        ends = ((self.baseline[name], self.embedded[name]) for name in self.used)
        return tuple(baseline + place * (embedded - baseline) for baseline, embedded in ends)

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


Seen = tuple[float, dict[str, Tensor]]
"""A logit at a place of a path, and its gradient by each input in use."""


def seen_at(asked: Sequence[Sequence[Question]], places: Sequence[float]) -> list[list[Seen]]:
    """What the questions of each row see at its place of the path. Those of one row differ in their target alone, and
    each row has as many; all are of one net, which runs every row once."""
    rows = [questions[0] for questions in asked]
    first = rows[0]
    used = [name for name in first.names if any(name in row.used for row in rows)]
    ends = [dict(zip(row.used, row.at(place), strict=True)) for row, place in zip(rows, places, strict=True)]
    embedded = {
        name: torch.cat([end.get(name, row.embedded[name]) for row, end in zip(rows, ends, strict=True)]).detach()
        for name in first.names
    }
    varied = [embedded[name].requires_grad_() for name in used]
    masks = {name: None if mask is None else _joined(rows, "masks", name) for name, mask in first.masks.items()}
    quality = {name: _joined(rows, "quality", name) for name in first.names}
    present = torch.cat([row.present for row in rows])
    targets = torch.tensor([[one.target_index for one in questions] for questions in asked], device=present.device)
    with torch.enable_grad():
        tokens = first.network.encode(embedded, masks, present)
        logits = first.network.fuse(tokens, present, quality).logits.gather(1, targets)
        sums = logits.sum(0).unbind()
        slopes = [
            dict(zip(used, torch.autograd.grad(one, varied, retain_graph=one is not sums[-1]), strict=True))
            for one in sums
        ]
    return [
        [(logit, {name: slopes[i][name][number] for name in row.used}) for i, logit in enumerate(of_row)]
        for number, (row, of_row) in enumerate(zip(rows, logits.tolist(), strict=True))
    ]


def _joined(questions: Sequence[Question], what: str, name: str) -> Tensor:
    return torch.cat([getattr(one, what)[name] for one in questions])


def _repeat(row: Tensor, rows: int) -> Tensor:
    return row.expand(rows, *row.shape[1:])
