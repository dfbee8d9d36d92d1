"""The members of a committee, each trained without one fold of the patients, and their answers to exactly these."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric

from clinimm.batch import Batch
from clinimm.data.split import Splits, patient_folds
from clinimm.inference import score_subsets
from clinimm.metrics import log_loss
from clinimm.models.committee import Committee
from clinimm.models.learner import FeatureLearner
from clinimm.models.network import Network
from clinimm.platt import fit_lines
from clinimm.scores import Scores
from clinimm.training.learner import Recipe, fit_head, refit, rows_of
from clinimm.training.loop import Fold, OnEpoch, Plan, fit
from clinimm.types import Case

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)


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
    """The cases that a committee is made from, and how they are parted."""

    batch: Batch
    patients: tuple[str, ...]
    targets: tuple[str, ...]
    parts: tuple[Held, ...]

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
    folder: Path,
    fingerprint: str,
    on_epoch: OnEpoch,
) -> tuple[Committee, Scores]:
    """The committee, and what each fold's members say of the cases held out from them, in the order of the folds.
    Goes on from the checkpoints in `folder`. Epochs are told numbered on from fold to fold. Raises TrainingError."""
    nets, heads = [], []
    rows = None
    if learner is not None:
        learner.fit(development.batch)
        rows = rows_of(learner, development.batch, recipe, plan.seed)
    for number, part in enumerate(development.parts):
        network = build()
        learned = development.rows(part.learned, labeled=True)
        network.fit_encoders(learned)
        fold = Fold(learned, development.rows(part.held), development.patients_of(part.held), development.targets)
        mine = hashlib.sha256(f"{fingerprint} {number} {len(development.parts)}".encode()).hexdigest()
        fit(
            network, fold, replace(plan, seed=plan.seed + number), fabric, folder=folder / f"{number}",
            fingerprint=mine, on_epoch=partial(_told, on_epoch, number, plan.epochs),
        )  # fmt: skip
        nets.append(network.eval())
        if learner is not None and rows is not None:
            known, held = torch.tensor(part.learned), torch.tensor(part.held)
            heads.append(fit_head(rows.take(known), rows.take(held), learner.sizes, recipe, plan.seed + number))
    if learner is not None:
        learner.heads.extend(heads)
        learner.to(nets[0].prior.device)
    committee = Committee(nets, learner).eval()
    scores = _answered(committee, development)
    if learner is not None and rows is not None:
        learner.heads = torch.nn.ModuleList([refit(heads, rows, recipe, plan.seed)]).to(nets[0].prior.device).eval()
    return committee, scores


def _told(on_epoch: OnEpoch, fold: int, epochs: int, figures: dict[str, float]) -> None:
    on_epoch(figures | {"fold": float(fold), "epoch": fold * epochs + figures["epoch"]})


def _answered(committee: Committee, development: Development) -> Scores:
    """The out-of-fold answers; sets the committee's share of the learner by them."""
    of_nets = Scores.concat([_said(committee.fold(i).networks[0], development, i) for i in range(len(committee.nets))])
    if committee.learner is None:
        return of_nets
    whole = torch.ones_like(committee.share)
    alone = [Committee([net], committee.learner.only(i), whole).eval() for i, net in enumerate(committee.networks)]
    of_learner = Scores.concat([_said(one, development, i) for i, one in enumerate(alone)])
    shares = [best_share(of_nets, of_learner, name) for name in development.targets]
    committee.share.copy_(torch.tensor(shares))
    return mixed(of_nets, of_learner, shares)


def _said(model: Network | Committee, development: Development, number: int) -> Scores:
    held = development.parts[number].held
    return score_subsets(model, development.rows(held), development.patients_of(held), development.targets)


def mixed(nets: Scores, learner: Scores, shares: Sequence[float]) -> Scores:
    """The logits of both, the learner's with its share of each target."""
    part = np.asarray(shares)
    logits = {name: (1 - part) * nets.logits[name] + part * learner.logits[name] for name in nets.logits}
    return replace(nets, logits=logits)


def best_share(nets: Scores, learner: Scores, target: str) -> float:
    """Of SHARES, the learner's that answers best: by the log loss, each subset of inputs calibrated by a line of its
    own, averaged over the subsets."""
    losses = {share: _loss(mixed(nets, learner, [share] * len(nets.target_names)), target) for share in SHARES}
    return min(losses, key=lambda share: (losses[share], abs(share - 0.5)))


def _loss(scores: Scores, target: str) -> float:
    j = scores.target_names.index(target)
    losses = []
    for subset, logits in scores.logits.items():
        rows = scores.known(target) & scores.answered(subset)
        labels = scores.targets[rows, j] > 0.5
        if len(np.unique(labels)) < 2:
            continue
        found = logits[rows, j]
        slope, offset = fit_lines(found, labels, np.ones((1, len(found))))[0]
        losses.append(log_loss(labels, 1 / (1 + np.exp(-(slope * found + offset)))))
    return float(np.mean(losses)) if losses else 0.0
