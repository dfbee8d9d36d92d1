"""One step: from rows drawn to a gradient, over all processes, in as little memory as wanted."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from clinimm.data.augment import shake
from clinimm.pretraining.corpus import NONE, Corpus
from clinimm.pretraining.encoders import Encoded, Rows, statistics_kept
from clinimm.pretraining.joint import Joint
from clinimm.pretraining.objectives import JointObjectives
from clinimm.pretraining.processes import Processes
from clinimm.pretraining.sampling import Draw, generator_of, pieces, seed_of

HIDDEN = ("masked_words", "masked_patches")


@dataclass(frozen=True)
class Learner:
    """What learns: the encoders as `Processes.join` gave them, and the objectives, alike on every process. `weights`
    are those of HIDDEN. `micro_batch` is how many rows a process encodes at once, None for all of its part."""

    encoders: nn.Module
    objectives: JointObjectives
    weights: Mapping[str, float]
    processes: Processes
    micro_batch: int | None = None


def backward(learner: Learner, corpus: Corpus, draw: Draw, seed: tuple[int, ...]) -> dict[str, Tensor]:
    """Adds the gradient of the step's loss to every weight, and returns the loss and its parts, without a gradient.

    The loss, and so the gradient, is that of the whole batch in one process, whatever the number of processes.

    Where a process's part has more rows than `micro_batch`, gradients are cached (GradCache, Gao et al. 2021): the
    rows are encoded without a graph, the loss gives the gradient of their embeddings, and they are encoded again,
    micro-batch by micro-batch, to carry it on. Each micro-batch starts from a seed of its own both times, so dropout
    falls alike, and the gradient is that of encoding the same micro-batches with a graph. Batch normalization takes
    the statistics of a micro-batch, learns them once, and so is no longer that of the whole part."""
    parts = _parts(learner, draw)
    cached = len(parts) > 1
    encoded = _looked_at(learner, corpus, parts, seed) if cached else [_encode(learner, corpus, parts[0], (*seed, 0))]
    image = torch.cat([one.image for one in encoded]).detach().requires_grad_()
    text = torch.cat([one.text for one in encoded]).detach().requires_grad_()
    losses = learner.objectives(joint_of(learner, corpus, draw, image, text), generator_of(*seed))
    if losses["total"].requires_grad:
        losses["total"].backward()
    hidden = _hidden(learner, encoded)
    starts = itertools.accumulate((len(part) for part in parts), initial=0)
    for i, (part, start) in enumerate(zip(parts, starts, strict=False)):
        with learner.processes.exchanging(learner.encoders, i == len(parts) - 1):
            again = _encode(learner, corpus, part, (*seed, i)) if cached else encoded[i]
            here = slice(start, start + len(part))
            carried = _dot(again.image, image.grad, here) + _dot(again.text, text.grad, here)
            # Each process's gradient is a part of the sum; joined processes take the mean.
            (learner.processes.world * (carried + again.hidden_loss @ hidden.share)).backward()
    learner.processes.average_([w.grad for w in learner.objectives.parameters() if w.grad is not None])
    return hidden.added(losses)


def losses_of(learner: Learner, corpus: Corpus, draw: Draw, seed: tuple[int, ...]) -> tuple[dict[str, Tensor], Joint]:
    """The loss, its parts and the embeddings of all rows, without a gradient."""
    encoded = _looked_at(learner, corpus, _parts(learner, draw), seed)
    image, text = torch.cat([one.image for one in encoded]), torch.cat([one.text for one in encoded])
    joint = joint_of(learner, corpus, draw, image, text)
    with torch.no_grad():
        return _hidden(learner, encoded).added(learner.objectives(joint, generator_of(*seed))), joint


def joint_of(
    learner: Learner, corpus: Corpus, draw: Draw, image: Float[Tensor, "r e"], text: Float[Tensor, "r e"]
) -> Joint:
    """The whole batch, from this process's embeddings and those it gathers. Rows that only fill up are not in it."""
    gathered = [learner.processes.gather(own)[: len(draw)] for own in (image, text)]
    patients, owners = corpus.patients[draw.cases], _looked_up(corpus.texts.patients, draw.texts)
    labels, said = corpus.labels[draw.cases], _looked_up(corpus.texts.labels, draw.texts)
    about = (
        draw.pictures != NONE,
        draw.texts != NONE,
        draw.paired,
        patients,
        torch.where(owners == NONE, patients, owners),  # a prompt is nobody's, so it is no negative of its picture
        labels,
        labels.any(1),
        said,
        said.any(1),
    )
    return Joint(*gathered, *(one.to(learner.processes.device) for one in about))


def rows_of(corpus: Corpus, draw: Draw, device: torch.device) -> Rows:
    """What the draw's rows hold, on the device; texts no longer than the longest of them."""
    ids, mask = pieces(corpus, draw.texts)
    length = max(1, int(mask.sum(1).max()))
    rows = Rows(
        pixels=_looked_up(corpus.pixels, draw.pictures),
        has_image=draw.pictures != NONE,
        ids=ids[:, :length],
        mask=mask[:, :length],
        has_text=draw.texts != NONE,
        corrupted=None if draw.corrupted is None else draw.corrupted[:, :length],
        chosen=None if draw.chosen is None else draw.chosen[:, :length],
        covered=draw.covered,
    ).to(device)
    if draw.shakes is None:
        return rows
    shaken = shake((rows.pixels - 0.5) * 4, draw.shakes)  # as strong as a diagnosis model's, whose pixels are such
    return replace(rows, pixels=shaken / 4 + 0.5)


def _parts(learner: Learner, draw: Draw) -> list[Draw]:
    """This process's part of the rows in micro-batches, as many and as large as every other process has."""
    start, stop = learner.processes.own(len(draw))
    own = draw.part(start, stop)
    size = learner.micro_batch or len(own)
    return [own.part(at, min(at + size, len(own))) for at in range(0, len(own), size)]


def _looked_at(learner: Learner, corpus: Corpus, parts: list[Draw], seed: tuple[int, ...]) -> list[Encoded]:
    """The micro-batches encoded without a graph, and without a trace in running statistics."""
    with torch.no_grad(), statistics_kept(learner.encoders):
        return [_encode(learner, corpus, part, (*seed, i)) for i, part in enumerate(parts)]


def _encode(learner: Learner, corpus: Corpus, part: Draw, seed: tuple[int, ...]) -> Encoded:
    rows = rows_of(corpus, part, learner.processes.device)  # before autocast: it would shake pictures coarsely
    torch.manual_seed(seed_of(*seed, learner.processes.rank))
    with learner.processes.precision():
        return learner.encoders(rows)


@dataclass(frozen=True)
class _Hidden:
    """Sums over all processes of the losses of HIDDEN, how much was hidden, and the losses' weights."""

    sums: Float[Tensor, "2"]
    counts: Float[Tensor, "2"]
    weights: Float[Tensor, "2"]

    @property
    def share(self) -> Float[Tensor, "2"]:
        """What one unit of each summed loss adds to the whole loss."""
        return self.weights / self.counts.clamp_min(1)

    def added(self, losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The losses with those of HIDDEN that are on, all of them in "total", without gradients."""
        told = {name: value.detach() for name, value in losses.items()}
        means = zip(HIDDEN, self.weights, self.sums / self.counts.clamp_min(1), strict=True)
        told |= {name: mean for name, weight, mean in means if weight}
        return told | {"total": told["total"] + self.sums @ self.share}


def _hidden(learner: Learner, encoded: list[Encoded]) -> _Hidden:
    sums = torch.stack([one.hidden_loss for one in encoded]).sum(0)
    counts = torch.stack([one.hidden_count for one in encoded]).sum(0)
    weights = torch.tensor([learner.weights.get(name, 0.0) for name in HIDDEN], device=sums.device)
    return _Hidden(learner.processes.total(sums), learner.processes.total(counts), weights)


def _dot(points: Float[Tensor, "r e"], gradient: Tensor | None, here: slice) -> Float[Tensor, ""]:
    """A scalar whose gradient is the gradient of the points; joined to the graph even where there is none."""
    return (points * (0.0 if gradient is None else gradient[here])).sum()


def _looked_up(table: Tensor, rows: Tensor) -> Tensor:
    """Rows of a table, 0 where the row is NONE; of a table of numbers of patients, NONE."""
    found = table.new_full((len(rows), *table.shape[1:]), NONE if table.dtype == torch.long else 0)
    real = rows != NONE
    found[real] = table[rows[real]]
    return found
