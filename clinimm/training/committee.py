"""The members of a committee, each trained without one fold of the patients, and their answers to exactly these."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from lightning_fabric import Fabric
from torch import nn

from clinimm.batch import Batch
from clinimm.data.quality.moved import Looks
from clinimm.data.split import Splits, patient_folds
from clinimm.inference import score_subsets
from clinimm.models.committee import Committee
from clinimm.models.learner import FeatureLearner
from clinimm.models.network import Network
from clinimm.platt import fit_lines
from clinimm.scores import Scores
from clinimm.training.learner import Recipe, fit_head, fit_nets, refit, rows_of
from clinimm.training.loop import Fold, OnEpoch, Plan, fit
from clinimm.training.readout import fit_readout, readout_said
from clinimm.types import Case

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
HELPFUL = 3.0
"""By how many standard errors trees must be better with narrow nets than without them. Each net is kept at the epoch
in which it fits the held-out cases best, so that on these it looks a little better than it is."""


@dataclass(frozen=True)
class Held:
    """Rows of the development cases: those that members learn from, and those held out from them."""

    learned: tuple[int, ...]
    held: tuple[int, ...]


def held_out(splits: Splits, folds: int, seed: int) -> list[Held]:
    """How the development cases (`splits.train`, then `splits.val`) are parted, by patient: into so many folds, each
    held out once; with fewer than two, the validation cases are held out from the training cases, once."""
    cases: tuple[Case, ...] = (*splits.train, *splits.val)
    if folds < 2:
        cut = len(splits.train)
        return [Held(tuple(range(cut)), tuple(range(cut, len(cases))))]
    fold_of = patient_folds(cases, folds, seed)
    numbers = sorted(set(fold_of.values()), key=int)
    homes = [fold_of[case.patient_id] for case in cases]
    return [
        Held(
            tuple(i for i, home in enumerate(homes) if home != number),
            tuple(i for i, home in enumerate(homes) if home == number),
        )
        for number in numbers
    ]


@dataclass(frozen=True)
class Development:
    """The cases that a committee is made from, how they are parted, and how their pictures are measured."""

    batch: Batch
    patients: tuple[str, ...]
    targets: tuple[str, ...]
    parts: tuple[Held, ...]
    looks: Mapping[str, Looks] = field(default_factory=dict)

    def rows(self, chosen: Sequence[int], *, labeled: bool = False) -> Batch:
        batch = self.batch.rows(torch.tensor(chosen, dtype=torch.long))
        return batch.rows(batch.target_mask.any(1).nonzero()[:, 0]) if labeled else batch

    @property
    def folds(self) -> int:
        return len(self.parts)

    @property
    def held_patients(self) -> list[tuple[str, ...]]:
        """The patients held out from each fold's members."""
        return [self.patients_of(part.held) for part in self.parts]

    def patients_of(self, chosen: Sequence[int]) -> tuple[str, ...]:
        return tuple(self.patients[i] for i in chosen)


def train_committee(
    development: Development,
    plan: Plan,
    fabric: Fabric,
    *,
    build: Callable[[], Network],
    learner: FeatureLearner | None,
    recipe: Recipe,
    readout: bool,
    folder: Path,
    fingerprint: str,
    on_epoch: OnEpoch,
) -> tuple[Committee, Scores]:
    """The committee, and what each fold's members say of the cases held out from them, in the order of the folds.
    Goes on from the checkpoints in `folder`. Epochs are told numbered on from fold to fold. Raises TrainingError."""
    nets = []
    for number, part in enumerate(development.parts):
        network = build()
        learned = development.rows(part.learned, labeled=True)
        network.fit_encoders(learned)
        held, patients = development.rows(part.held), development.patients_of(part.held)
        fold = Fold(learned, held, patients, development.targets, development.looks)
        mine = hashlib.sha256(f"{fingerprint} {number} {len(development.parts)}".encode()).hexdigest()
        fit(
            network, fold, replace(plan, seed=plan.seed + number), fabric, folder=folder / f"{number}",
            fingerprint=mine, on_epoch=partial(_told, on_epoch, number, plan.epochs),
        )  # fmt: skip
        nets.append(network.eval())
    said = Scores.concat([_said(Committee([net], None), development, i) for i, net in enumerate(nets)])
    said = with_readouts(nets, said, development, plan.seed) if readout else said
    if learner is None:
        return Committee(nets, None).eval(), said
    trees, with_nets = learner_said(nets, learner, development, recipe, plan.seed)
    helped = [is_helped(trees, with_nets, name) for name in development.targets]
    alone = mixed(trees, with_nets, helped)
    shares = [best_share(said, alone, name) for name in development.targets]
    _learn(learner, development, helped, recipe, plan.seed)
    committee = Committee(nets, learner.to(nets[0].prior.device), torch.tensor(shares)).eval()
    return committee, mixed(said, alone, shares)


def _told(on_epoch: OnEpoch, fold: int, epochs: int, figures: dict[str, float]) -> None:
    on_epoch(figures | {"fold": float(fold), "epoch": fold * epochs + figures["epoch"]})


def with_readouts(nets: Sequence[Network], said: Scores, development: Development, seed: int) -> Scores:
    """Gives each net a readout fitted on the cases held out from it, with one share per target for all of them, and
    returns what they say then of these cases: each part of the patients by lines fitted on the others."""
    held = [(development.rows(part.held), development.patients_of(part.held)) for part in development.parts]
    each = [
        readout_said(net, batch, patients, development.targets, seed)
        for net, (batch, patients) in zip(nets, held, strict=True)
    ]
    told = [one for one in each if one is not None]
    if len(told) < len(nets):
        return said
    alone = Scores.concat(told)
    shares = [best_share(said, alone, name) for name in development.targets]
    for net, (batch, _) in zip(nets, held, strict=True):
        net.readout = fit_readout(net, batch, torch.tensor(shares))
    return mixed(said, alone, shares)


def learner_said(
    nets: Sequence[Network], learner: FeatureLearner, development: Development, recipe: Recipe, seed: int
) -> tuple[Scores, Scores]:
    """What the learner says of each fold's cases when it has never seen them, not even without their labels: principal
    components and completion fit the notes and films that they were fitted on far better than new ones. First its
    trees alone, then with the narrow nets that help every target."""
    told: tuple[list[Scores], list[Scores]] = [], []
    for number, (net, part) in enumerate(zip(nets, development.parts, strict=True)):
        apart = deepcopy(learner)
        learned, held = development.rows(part.learned), development.rows(part.held)
        apart.fit(learned)
        known, unseen = (rows_of(apart, some, recipe, seed + number) for some in (learned, held))
        narrow = fit_nets(known, unseen, apart.sizes, recipe, seed + number)
        whole = torch.ones_like(net.prior)
        for each, found in zip((None, narrow), told, strict=True):
            helped = [each is not None] * len(whole)
            apart.heads = nn.ModuleList([fit_head(each, known, helped, recipe, seed + number)])
            found.append(_said(Committee([net], apart.to(net.prior.device), whole), development, number))
    return Scores.concat(told[0]), Scores.concat(told[1])


def _learn(
    learner: FeatureLearner, development: Development, helped: Sequence[bool], recipe: Recipe, seed: int
) -> None:
    """Fits the learner that answers: features of all cases, narrow nets of each fold if they help any target, trees
    over all cases."""
    learner.fit(development.batch)
    rows = rows_of(learner, development.batch, recipe, seed)
    nets = []
    for number, part in enumerate(development.parts if any(helped) else ()):
        known, unseen = rows.take(torch.tensor(part.learned)), rows.take(torch.tensor(part.held))
        nets.append(fit_nets(known, unseen, learner.sizes, recipe, seed + number))
    learner.heads.append(refit(nets, rows, helped, recipe, seed))


def _said(model: Committee, development: Development, number: int) -> Scores:
    held = development.parts[number].held
    return score_subsets(model.eval(), development.rows(held), development.patients_of(held), development.targets)


def mixed(nets: Scores, other: Scores, shares: Sequence[float]) -> Scores:
    """The logits of both, the other's with its share of each target."""
    part = np.asarray(shares)
    logits = {name: (1 - part) * nets.logits[name] + part * other.logits[name] for name in nets.logits}
    return replace(nets, logits=logits)


def best_share(nets: Scores, other: Scores, target: str) -> float:
    """Of SHARES, the other's nearest to a half that is not clearly worse than the best one: by less than two standard
    errors of the difference, patients being the units. Good is the log loss, each subset of inputs calibrated by a line
    of its own, averaged over a patient's cases and subsets.

    A half unless there is clear reason against it: which share looks best changes from fold to fold, and the nets are
    better than they look here, for the answer is the mean of all of them."""
    losses = {share: _losses(mixed(nets, other, [share] * len(nets.target_names)), target) for share in SHARES}
    if not len(losses[0.0]):
        return 0.5
    best = losses[min(losses, key=lambda share: float(losses[share].mean()))]
    within = [share for share in SHARES if not _clearly(losses[share] - best)]
    return min(within, key=lambda share: abs(share - 0.5))


def is_helped(trees: Scores, with_nets: Scores, target: str) -> bool:
    """Whether narrow nets clearly help the learner's trees, by HELPFUL standard errors of what `best_share` calls good.

    Trees see the units of nets that learned from the same cases, and believe what these know by heart: on a few hundred
    patients that costs more than it tells, unless inputs tell something only together."""
    return _clearly(_losses(trees, target) - _losses(with_nets, target), HELPFUL)


def _clearly(worse: Float[np.ndarray, " p"], errors: float = 2.0) -> bool:
    return len(worse) > 0 and float(worse.mean()) > errors * float(worse.std() / np.sqrt(len(worse)))


def _losses(scores: Scores, target: str) -> Float[np.ndarray, " p"]:
    """Each patient's mean log loss over cases and subsets."""
    j = scores.target_names.index(target)
    of_patient: dict[str, list[float]] = {}
    for subset, logits in scores.logits.items():
        rows = scores.known(target) & scores.answered(subset)
        labels = scores.targets[rows, j] > 0.5
        if len(np.unique(labels)) < 2:
            continue
        found = logits[rows, j]
        slope, offset = fit_lines(found, labels, np.ones((1, len(found))))[0]
        away = np.logaddexp(0, np.where(labels, -1, 1) * (slope * found + offset))
        for patient, loss in zip(np.array(scores.patient_ids)[rows], away, strict=True):
            of_patient.setdefault(str(patient), []).append(float(loss))
    return np.array([np.mean(losses) for losses in of_patient.values()])
