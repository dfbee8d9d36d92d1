"""The evaluation of a model: a row for every subset of inputs, and what all inputs together add.

Every subset is judged on the test cases that have at least one of its inputs, all else hidden from them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Bool

from clinimm import metrics
from clinimm.bootstrap import paired_bootstrap_difference
from clinimm.evaluation.answers import Answers
from clinimm.evaluation.measure import Gain, Row, measure
from clinimm.scores import subset_name


@dataclass(frozen=True)
class TargetEvaluation:
    """`subsets` has a row per non-empty subset of inputs; `patterns` a row per pattern in which cases really came, each
    with all it has; `gains` compares all inputs with each single one and with each left out."""

    target: str
    modalities: tuple[str, ...]
    subsets: tuple[Row, ...]
    patterns: tuple[Row, ...]
    gains: tuple[Gain, ...]

    @property
    def whole(self) -> Row:
        """All inputs, each case as it came."""
        return self.row(subset_name(self.modalities))

    @property
    def singles(self) -> dict[str, Row]:
        """Each input alone."""
        return {name: self.row(name) for name in self.modalities}

    @property
    def left_out(self) -> dict[str, Row]:
        """All inputs but one, by the one; empty for a model of one input."""
        return {
            name: self.row(rest) for name, rest in zip(self.modalities, _rests(self.modalities), strict=True) if rest
        }

    def row(self, subset: str) -> Row:
        return next(row for row in self.subsets if row.name == subset)

    def record(self) -> dict[str, Any]:
        return {
            "target": self.target,
            "subsets": [row.record() for row in self.subsets],
            "patterns": [row.record() for row in self.patterns],
            "gains": [gain.record() for gain in self.gains],
        }


@dataclass(frozen=True)
class Evaluation:
    targets: tuple[TargetEvaluation, ...]
    cases: int
    patients: int
    bootstrap: int
    seed: int

    def record(self) -> dict[str, Any]:
        """The evaluation as plain JSON types."""
        return {
            "cases": self.cases,
            "patients": self.patients,
            "bootstrap": self.bootstrap,
            "seed": self.seed,
            "targets": [target.record() for target in self.targets],
        }


def evaluate(answers: Answers, *, bootstrap: int = 1000, seed: int = 0) -> Evaluation:
    """Every metric with a 95 % patient-bootstrap interval, for every target and every subset of inputs."""
    scores = answers.scores
    return Evaluation(
        targets=tuple(_target(answers, name, bootstrap, seed) for name in scores.target_names),
        cases=len(scores),
        patients=len(set(scores.patient_ids)),
        bootstrap=bootstrap,
        seed=seed,
    )


def _target(answers: Answers, target: str, bootstrap: int, seed: int) -> TargetEvaluation:
    scores = answers.scores
    known, came = scores.known(target), np.asarray(scores.patterns(scores.whole), dtype=object)
    found = [subset for subset in scores.logits if (came == subset).any()]
    row = partial(_row, answers, target, bootstrap=bootstrap, seed=seed)
    return TargetEvaluation(
        target=target,
        modalities=scores.modalities,
        subsets=tuple(row(name, name, known & scores.answered(name)) for name in scores.logits),
        patterns=tuple(row(name, scores.whole, known & (came == name)) for name in found),
        gains=tuple(
            _gain(answers, target, over, bootstrap=bootstrap, seed=seed) for over in _compared(scores.modalities)
        ),
    )


def _row(
    answers: Answers, target: str, name: str, subset: str, rows: Bool[np.ndarray, " n"], *, bootstrap: int, seed: int
) -> Row:
    j = answers.scores.target_names.index(target)
    return measure(
        name,
        answers.scores.targets[rows, j] > 0.5,
        answers.probabilities[subset][rows, j],
        answers.flagged[subset][rows, j],
        _chosen(answers.scores.patient_ids, rows),
        covered=answers.covered[subset][rows, j] if answers.covered else None,
        bootstrap=bootstrap,
        seed=seed,
    )


def _gain(answers: Answers, target: str, over: str, *, bootstrap: int, seed: int) -> Gain:
    scores = answers.scores
    j, rows = scores.target_names.index(target), scores.known(target) & scores.answered(over)
    labels = scores.targets[rows, j] > 0.5
    mine, other = (
        partial(metrics.weighted_auroc, labels, answers.probabilities[subset][rows, j])
        for subset in (scores.whole, over)
    )
    ids = _chosen(scores.patient_ids, rows)
    difference = paired_bootstrap_difference(mine, other, ids, resamples=bootstrap, seed=seed)
    return Gain(scores.whole, over, len(labels), difference)


def _compared(modalities: tuple[str, ...]) -> list[str]:
    """Each input alone, then each left out; every subset once, and never the whole."""
    rivals = dict.fromkeys((*modalities, *_rests(modalities)))
    return [name for name in rivals if name not in ("", subset_name(modalities))]


def _rests(modalities: tuple[str, ...]) -> list[str]:
    return [subset_name([other for other in modalities if other != name]) for name in modalities]


def _chosen(ids: Sequence[str], rows: Bool[np.ndarray, " n"]) -> list[str]:
    return [patient_id for patient_id, row in zip(ids, rows, strict=True) if row]
