"""Opponents of a net on the same cases: simple learners, calibrated and given their thresholds as honestly as it is.

Each learner is first asked about training cases that it has not seen, patient by patient; Platt lines and a decision
threshold are set on those answers, and only then is it trained on all and asked about the test cases: for every subset
of the inputs, each learner in its own natural way. Those that join inputs are calibrated by what a case is left with,
as a net is. k targets."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import expit

from clinimm.calibration import highest_threshold
from clinimm.evaluation.learners import (
    FOREST,
    Learner,
    absence,
    absence_by_trees,
    alone,
    boosted_trees,
    extra_trees,
    logistic,
    thousand_trees,
)
from clinimm.evaluation.plain import PlainCases
from clinimm.evaluation.said import Said, Trial, calibrated, calibrated_by_pattern, first, mean
from clinimm.evaluation.spaces import Space, opponents_in
from clinimm.metrics import auroc
from clinimm.scores import subsets
from clinimm.types import Kind

ABSENCE, ABSENCE_TREES = "only which inputs are missing", "only which inputs are missing, by boosted trees"
MEAN, BOOSTED, EXTRA = "mean logit of what is present", "boosted trees on all joined", "extra trees on all joined"
BEST = "best single input of what is present"
THOUSAND = "1000 extra trees on all joined, half the features"
LOGISTIC = "logistic on all joined and gaps"
ALL = "mean logit of that mean and all extra trees"

JOINED: dict[str, Learner] = {
    BOOSTED: boosted_trees,
    EXTRA: extra_trees,
    THOUSAND: thousand_trees,
    LOGISTIC: logistic,
}


@dataclass(frozen=True)
class Opinion:
    """One opponent's answers to test cases, for every subset of their inputs; a NaN probability is no answer."""

    probabilities: dict[str, Float[np.ndarray, "n k"]]
    flagged: dict[str, Bool[np.ndarray, "n k"]]

    @property
    def whole(self) -> str:
        """The subset of all inputs: each case as it came."""
        return list(self.probabilities)[-1]

    def rows(self, index: np.ndarray) -> "Opinion":
        return Opinion(
            {subset: p[index] for subset, p in self.probabilities.items()},
            {subset: flags[index] for subset, flags in self.flagged.items()},
        )

    @staticmethod
    def concat(parts: Sequence["Opinion"]) -> "Opinion":
        names = list(parts[0].probabilities)
        return Opinion(
            {name: np.concatenate([part.probabilities[name] for part in parts]) for name in names},
            {name: np.concatenate([part.flagged[name] for part in parts]) for name in names},
        )


@dataclass(frozen=True)
class Opinions:
    """The answers of all opponents to the same cases, by opponent. `prevalence` is the share of positives among the
    labeled cases that they were trained on: what stands in where an opponent has nothing to go by."""

    case_ids: tuple[str, ...]
    of: dict[str, Opinion]
    prevalence: Float[np.ndarray, "n k"]

    def rows(self, index: np.ndarray) -> "Opinions":
        """The chosen cases, in the order of `index`."""
        ids = tuple(self.case_ids[i] for i in index)
        return Opinions(ids, {name: one.rows(index) for name, one in self.of.items()}, self.prevalence[index])

    def always(self) -> dict[str, dict[str, Float[np.ndarray, "n k"]]]:
        """The probabilities of each opponent by subset, the prevalence where it has no answer."""
        return {
            name: {subset: np.where(np.isnan(p), self.prevalence, p) for subset, p in opinion.probabilities.items()}
            for name, opinion in self.of.items()
        }

    @staticmethod
    def concat(parts: Sequence["Opinions"]) -> "Opinions":
        """The folds of a cross-validation. An opponent that is not in every fold is left out."""
        shared = [name for name in parts[0].of if all(name in part.of for part in parts)]
        return Opinions(
            case_ids=tuple(case_id for part in parts for case_id in part.case_ids),
            of={name: Opinion.concat([part.of[name] for part in parts]) for name in shared},
            prevalence=np.concatenate([part.prevalence for part in parts]),
        )


def train_opponents(
    train: PlainCases,
    test: PlainCases,
    *,
    sensitivity: float,
    seed: int = 0,
    progress: Callable[[str], None] = lambda opponent: None,
    spaces: Sequence[Space] = (),
) -> Opinions:
    """What every opponent, trained on `train` alone, says of `test`. Nothing is chosen by the test cases.

    The opponents: each input alone (pictures by extra trees too), the best of those that are present, the mean
    calibrated logit of whatever is present, boosted trees, two extra trees and a logistic regression on everything
    joined, that mean together with all extra trees, learners that see only what is missing and, with `spaces`, learners
    on the embeddings of the net's own encoders. `progress` hears the name of each opponent as it starts."""
    by_target = [
        _opponents(train, test, j, sensitivity=sensitivity, seed=seed, progress=progress, spaces=spaces)
        for j in range(train.targets.shape[1])
    ]
    return Opinions(
        case_ids=test.case_ids,
        of={name: _opinion([target[name] for target in by_target], list(test.kinds)) for name in by_target[0]},
        prevalence=np.tile(_prevalence(train), (len(test), 1)),
    )


def opponents_to_train(train: PlainCases) -> int:
    """How many times `train_opponents` will call `progress`."""
    return len(_learners(train)) * train.targets.shape[1]


def _known(cases: PlainCases) -> Bool[np.ndarray, "n k"]:
    return ~np.isnan(cases.targets)


def _prevalence(cases: PlainCases) -> Float[np.ndarray, " k"]:
    """Share of positives among the labeled; a half where none is."""
    known = _known(cases)
    yes = np.where(known, cases.targets, 0.0).sum(axis=0)
    return np.asarray(np.where(known.any(axis=0), yes / np.maximum(known.sum(axis=0), 1), 0.5))


def _opponents(
    train: PlainCases,
    test: PlainCases,
    target: int,
    *,
    sensitivity: float,
    seed: int,
    progress: Callable[[str], None],
    spaces: Sequence[Space],
) -> dict[str, tuple[Float[np.ndarray, "q s"], float]]:
    """Probabilities of each opponent for every subset, and its threshold."""
    labeled = _known(train)[:, target]
    train = train.take(labeled)
    labels = train.targets[:, target] > 0.5
    trial = Trial.of(train, labels, test, seed)
    said: dict[str, Said] = {}
    for name, learner in _learners(train).items():
        progress(name)
        lines = calibrated_by_pattern if name in JOINED else calibrated
        said[name] = lines(trial.said(learner), labels)
    singles = [said[f"{name} alone"] for name in train.kinds]
    said[BEST] = first(sorted(singles, key=lambda one: -_inner_auroc(one, labels)))
    said[MEAN] = calibrated_by_pattern(mean(singles), labels)
    said[ALL] = calibrated_by_pattern(mean([said[name] for name in (MEAN, EXTRA, *_forests(train))]), labels)
    if spaces:
        said |= opponents_in([space.of(labeled) for space in spaces], train, labels, test, seed)
    return {name: (np.asarray(expit(one.outer)), _threshold(one, labels, sensitivity)) for name, one in said.items()}


def _learners(train: PlainCases) -> dict[str, Learner]:
    singles = {f"{name} alone": alone(name) for name in train.kinds}
    return {**singles, **_forests(train), **JOINED, ABSENCE: absence, ABSENCE_TREES: absence_by_trees}


def _forests(train: PlainCases) -> dict[str, Learner]:
    pictures = [name for name, kind in train.kinds.items() if kind is Kind.IMAGE]
    return {f"{name} alone, extra trees": alone(name, FOREST) for name in pictures}


def _inner_auroc(said: Said, labels: Bool[np.ndarray, " n"]) -> float:
    """Of held-out training cases, those that it answers; 0 where that is undefined."""
    answered = ~np.isnan(said.inner[:, -1])
    value = auroc(labels[answered], said.inner[answered, -1]) if answered.any() else np.nan
    return float(np.nan_to_num(value))


def _threshold(said: Said, labels: Bool[np.ndarray, " n"], sensitivity: float) -> float:
    answered = ~np.isnan(said.inner[:, -1])
    return highest_threshold(labels[answered], expit(said.inner[answered, -1]), sensitivity).value


def _opinion(targets: Sequence[tuple[Float[np.ndarray, "q s"], float]], names: Sequence[str]) -> Opinion:
    probabilities = {
        subset: np.stack([p[:, column] for p, _ in targets], axis=1) for column, subset in enumerate(subsets(names))
    }
    thresholds = np.array([threshold for _, threshold in targets])
    return Opinion(probabilities, {subset: p >= thresholds for subset, p in probabilities.items()})
