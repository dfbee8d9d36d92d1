"""Trained runs beside each other on the same cases: who is better, by how much, and whether that may be luck.

Each pair is compared on the same draws of patients. With several runs there are many pairs, and the best of many looks
better than it is: p values are Holm's over the pairs (Holm 1979), for each target, subset and metric. n cases."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from rich.console import Console

from clinimm import metrics
from clinimm.bootstrap import Estimate, Statistic, Weights, estimate, resampled
from clinimm.data.cohort import read_cohort
from clinimm.errors import ClinimmError
from clinimm.evaluation.answers import Answers
from clinimm.evaluation.hear import ask, read
from clinimm.evaluation.judge import artifacts_in, unseen_parts
from clinimm.evaluation.paired import same_cases
from clinimm.inference import Predictor
from clinimm.scores import Scores, members
from clinimm.types import rounded

METRICS = ("auroc", "brier", "ece")
ALL_INPUTS = "all inputs"


@dataclass(frozen=True)
class Difference:
    """`first - second` of one metric; `p` is two-sided, for no difference, and `holm` the same over all pairs of runs.
    None where a class is missing or the patients are too few."""

    estimate: Estimate
    p: float | None
    holm: float | None

    def record(self) -> dict[str, Any]:
        return {**self.estimate.record(), "p": rounded(self.p), "holm": rounded(self.holm)}


@dataclass(frozen=True)
class Rivalry:
    """Two runs on one target and one subset of inputs. `delong` takes every case for an independent one: where patients
    have several, believe the others."""

    target: str
    subset: str
    first: str
    second: str
    cases: int
    positives: int
    differences: Mapping[str, Difference]
    delong: metrics.DeLong

    def record(self) -> dict[str, Any]:
        about = {name: getattr(self, name) for name in ("target", "subset", "first", "second", "cases", "positives")}
        p = None if np.isnan(self.delong.p) else rounded(self.delong.p)
        return {**about, **{name: found.record() for name, found in self.differences.items()}, "delong_p": p}


@dataclass(frozen=True)
class Standing:
    """One run's own figures, with all its inputs, each case as it came."""

    run: str
    target: str
    cases: int
    estimates: Mapping[str, Estimate]

    def record(self) -> dict[str, Any]:
        figures = {name: found.record() for name, found in self.estimates.items()}
        return {"run": self.run, "target": self.target, "cases": self.cases, **figures}


@dataclass(frozen=True)
class Rivals:
    standings: tuple[Standing, ...]
    rivalries: tuple[Rivalry, ...]

    def record(self) -> dict[str, Any]:
        return {
            "runs": [standing.record() for standing in self.standings],
            "differences": [rivalry.record() for rivalry in self.rivalries],
        }


def ask_runs(
    runs: Sequence[Path], manifest: Path, data: Path, *, backbone: Path | None = None, console: Console | None = None
) -> dict[str, Answers]:
    """What each run says of the cases that it has not seen, by the run's path. Raises ClinimmError, saying how, where
    these are not the same cases for all."""
    if len(set(runs)) < max(2, len(runs)):
        raise ClinimmError("needs two runs or more, each once", where="compare")
    answers = {str(run): _in_order(_ask(run, manifest, data, backbone, console)) for run in runs}
    first, *others = answers.items()
    for name, one in others:
        same_cases(first[1], one, where=f"{first[0]} against {name}")
    return answers


def draws_for(runs: int) -> int:
    """How many draws let Holm's p fall to .02 though it is taken over all pairs of so many runs; 2000 at least. The
    least p of so many draws is 2 / draws."""
    return max(2000, 100 * (runs * (runs - 1) // 2))


def rival(answers: Mapping[str, Answers], *, resamples: int, seed: int) -> Rivals:
    """Every pair of runs, on all inputs and on each subset that both know, for every target."""
    found: list[Rivalry] = []
    standings: list[Standing] = []
    for target in next(iter(answers.values())).scores.target_names:
        of_runs = {name: _columns(one, target) for name, one in answers.items()}
        standings += [_standing(name, target, columns, resamples, seed) for name, columns in of_runs.items()]
        for subset in _common(of_runs):
            found += _pairs(target, subset, {name: of[subset] for name, of in of_runs.items()}, resamples, seed)
    return Rivals(tuple(standings), tuple(found))


def holm(values: Sequence[float]) -> list[float]:
    """Each p value as it stands among all of them. Source: Holm 1979."""
    order = np.argsort(values)
    scaled = np.asarray(values)[order] * np.arange(len(values), 0, -1)
    adjusted = np.empty(len(values))
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1)
    return [float(value) for value in adjusted]


@dataclass(frozen=True)
class _Column:
    """What one run says of a target when a subset is shown: NaN where it has nothing to go by."""

    labels: Bool[np.ndarray, " n"]
    known: Bool[np.ndarray, " n"]
    probabilities: Float[np.ndarray, " n"]
    patient_ids: tuple[str, ...]

    def statistics(self, rows: Bool[np.ndarray, " n"]) -> list[Statistic]:
        labels, p = self.labels[rows], self.probabilities[rows]
        return [
            partial(metrics.weighted_auroc, labels, p),
            partial(metrics.weighted_brier, labels, p),
            partial(metrics.weighted_ece, labels, p),
        ]


def _columns(answers: Answers, target: str) -> dict[str, _Column]:
    scores = answers.scores
    j = scores.target_names.index(target)
    found = {}
    for subset, p in answers.probabilities.items():
        said = np.where(scores.answered(subset), p[:, j], np.nan)
        column = _Column(answers.labels(target), scores.known(target), said, scores.patient_ids)
        found["+".join(sorted(members(subset)))] = column
        if subset == scores.whole:
            found[ALL_INPUTS] = column
    return found


def _common(of_runs: Mapping[str, Mapping[str, _Column]]) -> list[str]:
    """All inputs, then the subsets that every run knows, but for the one that is all inputs of every run."""
    first, *others = of_runs.values()
    shared = [name for name in first if name != ALL_INPUTS and all(name in other for other in others)]
    return [ALL_INPUTS, *(n for n in shared if any(of[n] is not of[ALL_INPUTS] for of in of_runs.values()))]


def _pairs(target: str, subset: str, columns: Mapping[str, _Column], resamples: int, seed: int) -> list[Rivalry]:
    found = [
        _rivalry(target, subset, (a, columns[a]), (b, columns[b]), resamples, seed) for a, b in combinations(columns, 2)
    ]
    corrected = {metric: _corrected([one.differences[metric] for one in found]) for metric in METRICS}
    return [
        Rivalry(
            one.target, one.subset, one.first, one.second, one.cases, one.positives,
            {metric: corrected[metric][place] for metric in METRICS}, one.delong,
        )
        for place, one in enumerate(found)
    ]  # fmt: skip


def _corrected(found: Sequence[Difference]) -> list[Difference]:
    told = iter(holm([one.p for one in found if one.p is not None]))
    return [Difference(one.estimate, one.p, None if one.p is None else next(told)) for one in found]


def _rivalry(
    target: str, subset: str, first: tuple[str, _Column], second: tuple[str, _Column], resamples: int, seed: int
) -> Rivalry:
    (a, mine), (b, theirs) = first, second
    rows = mine.known & ~np.isnan(mine.probabilities) & ~np.isnan(theirs.probabilities)
    ids = [mine.patient_ids[i] for i in np.flatnonzero(rows)]
    labels = mine.labels[rows]
    differences = dict.fromkeys(METRICS, Difference(Estimate(None, None, None, resamples, 0), None, None))
    if ids:
        pairs = list(zip(mine.statistics(rows), theirs.statistics(rows), strict=True))

        def together(weights: Weights) -> Float[np.ndarray, "r j"]:
            return np.stack([one(weights) - other(weights) for one, other in pairs], axis=1)

        values, draws = resampled(together, ids, resamples=resamples, seed=seed)
        differences = {metric: _difference(values[j], draws[:, j], len(set(ids))) for j, metric in enumerate(METRICS)}
    tested = metrics.delong(labels, mine.probabilities[rows], theirs.probabilities[rows])
    return Rivalry(target, subset, a, b, len(ids), int(labels.sum()), differences, tested)


def _difference(value: float, draws: Float[np.ndarray, " r"], patients: int) -> Difference:
    found = estimate(value, draws, patients)
    kept = draws[~np.isnan(draws)]
    if found.low is None:
        return Difference(found, None, None)
    tail = 1 + min(int((kept <= 0).sum()), int((kept >= 0).sum()))
    return Difference(found, min(1.0, 2 * tail / (len(kept) + 1)), None)


def _standing(name: str, target: str, columns: Mapping[str, _Column], resamples: int, seed: int) -> Standing:
    column = columns[ALL_INPUTS]
    rows = column.known & ~np.isnan(column.probabilities)
    ids = [column.patient_ids[i] for i in np.flatnonzero(rows)]
    if not ids:
        return Standing(name, target, 0, dict.fromkeys(METRICS, Estimate(None, None, None, resamples, 0)))
    statistics = column.statistics(rows)

    def together(weights: Weights) -> Float[np.ndarray, "r j"]:
        return np.stack([statistic(weights) for statistic in statistics], axis=1)

    values, draws = resampled(together, ids, resamples=resamples, seed=seed)
    figures = {metric: estimate(values[j], draws[:, j], len(set(ids))) for j, metric in enumerate(METRICS)}
    return Standing(name, target, len(ids), figures)


def _ask(run: Path, manifest: Path, data: Path, backbone: Path | None, console: Console | None) -> Answers:
    directories = artifacts_in(run)
    predictors = [Predictor.load(directory, backbone=backbone) for directory in directories]
    parts = unseen_parts(directories, read_cohort(predictors[0].config, data, manifest))
    return Answers.concat(
        [
            ask(predictor, part, read(predictor, part, directory.parent.name, console))
            for predictor, part, directory in zip(predictors, parts, directories, strict=True)
        ]
    )


def _in_order(answers: Answers) -> Answers:
    """The same with the cases in the order of their ids: folds of different runs come in different orders."""
    scores = answers.scores
    order = sorted(range(len(scores)), key=lambda i: scores.case_ids[i])
    return Answers(
        scores=Scores(
            case_ids=tuple(scores.case_ids[i] for i in order),
            patient_ids=tuple(scores.patient_ids[i] for i in order),
            target_names=scores.target_names,
            modalities=scores.modalities,
            targets=scores.targets[order],
            present=scores.present[order],
            logits={name: logits[order] for name, logits in scores.logits.items()},
        ),
        probabilities={name: p[order] for name, p in answers.probabilities.items()},
        flagged={name: flagged[order] for name, flagged in answers.flagged.items()},
    )
