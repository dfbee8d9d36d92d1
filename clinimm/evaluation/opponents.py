"""Opponents of a net on the same cases: simple learners, calibrated and given their thresholds as honestly as it is.

Each learner is first asked about training cases that it has not seen, patient by patient; a Platt line and a decision
threshold are set on those answers, and only then is it trained on all and asked about the test cases."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import expit
from sklearn.model_selection import GroupKFold

from clinimm.calibration import highest_threshold
from clinimm.evaluation.learners import FOREST, Learner, absence, alone, boosted_trees, extra_trees
from clinimm.evaluation.plain import PlainCases
from clinimm.platt import fit_lines
from clinimm.types import Kind

INNER_FOLDS = 4
ABSENCE = "only which inputs are missing"
MEAN, BOOSTED, EXTRA = "mean logit of what is present", "boosted trees on all joined", "extra trees on all joined"
ALL = "mean logit of that mean and all extra trees"


@dataclass(frozen=True)
class Opinion:
    """One opponent's answers to test cases; a NaN probability is no answer."""

    probabilities: Float[np.ndarray, "n k"]
    flagged: Bool[np.ndarray, "n k"]


@dataclass(frozen=True)
class Opinions:
    """The answers of all opponents to the same cases, by opponent."""

    case_ids: tuple[str, ...]
    of: dict[str, Opinion]

    @staticmethod
    def concat(parts: Sequence["Opinions"]) -> "Opinions":
        """The folds of a cross-validation."""
        return Opinions(
            case_ids=tuple(case_id for part in parts for case_id in part.case_ids),
            of={
                name: Opinion(
                    np.concatenate([part.of[name].probabilities for part in parts]),
                    np.concatenate([part.of[name].flagged for part in parts]),
                )
                for name in parts[0].of
            },
        )


@dataclass(frozen=True)
class _Said:
    """Calibrated logits of one opponent: of training cases when they were held out, and of the test cases."""

    inner: Float[np.ndarray, " n"]
    outer: Float[np.ndarray, " q"]


def train_opponents(
    train: PlainCases,
    test: PlainCases,
    *,
    sensitivity: float,
    seed: int = 0,
    progress: Callable[[str], None] = lambda opponent: None,
) -> Opinions:
    """What every opponent, trained on `train` alone, says of `test`. Nothing is chosen by the test cases.

    The opponents: each input alone (pictures by extra trees too), the mean calibrated logit of whatever is present,
    boosted trees and extra trees on everything joined, that mean together with all extra trees, and a learner that sees
    only what is missing.
    `progress` hears the name of each opponent as it starts."""
    by_target = [
        _opponents(train, test, j, sensitivity=sensitivity, seed=seed, progress=progress)
        for j in range(train.targets.shape[1])
    ]
    names = list(by_target[0])
    return Opinions(test.case_ids, {name: _side_by_side([target[name] for target in by_target]) for name in names})


def opponents_to_train(train: PlainCases) -> int:
    """How many times `train_opponents` will call `progress`."""
    return len(_learners(train)) * train.targets.shape[1]


def _opponents(
    train: PlainCases,
    test: PlainCases,
    target: int,
    *,
    sensitivity: float,
    seed: int,
    progress: Callable[[str], None],
) -> dict[str, tuple[Float[np.ndarray, " q"], Bool[np.ndarray, " q"]]]:
    train = train.take(~np.isnan(train.targets[:, target]))
    labels = train.targets[:, target] > 0.5
    said: dict[str, _Said] = {}
    for name, learner in _learners(train).items():
        progress(name)
        said[name] = _calibrated(_learned(learner, train, labels, test, seed), labels)
    said[MEAN] = _calibrated(_mean([said[f"{name} alone"] for name in train.kinds]), labels)
    said[ALL] = _calibrated(_mean([said[name] for name in (MEAN, EXTRA, *_forests(train))]), labels)
    return {name: _judgement(one, labels, sensitivity) for name, one in said.items()}


def _learners(train: PlainCases) -> dict[str, Learner]:
    singles = {f"{name} alone": alone(name) for name in train.kinds}
    return {**singles, **_forests(train), BOOSTED: boosted_trees, EXTRA: extra_trees, ABSENCE: absence}


def _forests(train: PlainCases) -> dict[str, Learner]:
    pictures = [name for name, kind in train.kinds.items() if kind is Kind.IMAGE]
    return {f"{name} alone, extra trees": alone(name, FOREST) for name in pictures}


def _learned(learner: Learner, train: PlainCases, labels: Bool[np.ndarray, " n"], test: PlainCases, seed: int) -> _Said:
    inner = np.zeros(len(train))
    patients = np.unique(np.asarray(train.patient_ids))
    if len(patients) > 1:
        split = GroupKFold(min(INNER_FOLDS, len(patients)), shuffle=True, random_state=seed)
        for known, asked in split.split(inner, groups=train.patient_ids):
            inner[asked] = learner(train.take(known), labels[known], train.take(asked), seed)
    return _Said(inner, learner(train, labels, test, seed))


def _calibrated(said: _Said, labels: Bool[np.ndarray, " n"]) -> _Said:
    answered = ~np.isnan(said.inner)
    if len(np.unique(labels[answered])) < 2:
        return said
    lines = fit_lines(said.inner[answered], labels[answered], np.ones((1, int(answered.sum()))))
    slope, offset = lines[0]
    return _Said(slope * said.inner + offset, slope * said.outer + offset)


def _mean(parts: Sequence[_Said]) -> _Said:
    return _Said(_mean_of_answers([p.inner for p in parts]), _mean_of_answers([p.outer for p in parts]))


def _mean_of_answers(logits: Sequence[Float[np.ndarray, " n"]]) -> Float[np.ndarray, " n"]:
    stacked = np.stack(logits)
    answers = (~np.isnan(stacked)).sum(axis=0)
    return np.where(answers > 0, np.nansum(stacked, axis=0) / np.maximum(answers, 1), np.nan)


def _judgement(
    said: _Said, labels: Bool[np.ndarray, " n"], sensitivity: float
) -> tuple[Float[np.ndarray, " q"], Bool[np.ndarray, " q"]]:
    answered = ~np.isnan(said.inner)
    threshold = highest_threshold(labels[answered], expit(said.inner[answered]), sensitivity)
    probabilities = np.asarray(expit(said.outer))
    return probabilities, probabilities >= threshold.value


def _side_by_side(targets: Sequence[tuple[np.ndarray, np.ndarray]]) -> Opinion:
    return Opinion(np.stack([p for p, _ in targets], axis=1), np.stack([flags for _, flags in targets], axis=1))
