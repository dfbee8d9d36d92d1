"""Subsets of inputs by subgroups of patients: a model that is good on average can fail the old, the women, one site.

Subgroups come from the attributes that the config keeps of each case and never feeds in. n cases, r resamples."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from clinimm.bootstrap import FEWEST_PATIENTS, Estimate, Weights, estimate, resampled
from clinimm.evaluation.answers import Answers
from clinimm.evaluation.measure import COVERAGE, Row, statistics

FEWEST_CASES = 20
FEWEST_OF_A_CLASS = 5
AGE_BANDS = ((0, 17), (18, 39), (40, 64), (65, None))
CELL_METRICS = ("auroc", "brier", "ece", "sensitivity", "specificity", COVERAGE)
COMPARED = ("auroc", "sensitivity", "specificity", COVERAGE)  # not Brier and ECE: they follow prevalence and n
OTHER, UNKNOWN = "other", "unknown"

_AGE = re.compile(r"(^|_)age(_years?|_y)?$")
_MISSING = frozenset({"", "nan", "na", "n/a", "none", "null", UNKNOWN})
_LEVELS = 6  # a column of no more distinct numbers than that holds codes, not quantities

Group = Bool[np.ndarray, " n"]


@dataclass(frozen=True)
class Cell:
    """One subset of inputs in one subgroup. `row.estimates` lacks what too few cases, patients or cases of a class
    stand behind; `too_few` says that this is all of it."""

    subset: str
    attribute: str
    row: Row

    @property
    def too_few(self) -> bool:
        return not self.row.estimates

    def record(self) -> dict[str, Any]:
        return {"subset": self.subset, "attribute": self.attribute, **self.row.record(), "too_few": self.too_few}


@dataclass(frozen=True)
class Disparity:
    """How far the worst subgroup of an attribute stands behind the best, all inputs used. Which two these are was read
    from the same cases, so the interval of the gap is widened for the number of pairs that they come from
    (Bonferroni)."""

    attribute: str
    metric: str
    best: str
    worst: str
    pairs: int
    gap: Estimate

    def record(self) -> dict[str, Any]:
        about = {"attribute": self.attribute, "metric": self.metric, "best": self.best, "worst": self.worst}
        return {**about, "pairs": self.pairs, "gap": self.gap.record(), "clear": self.gap.clear}


@dataclass(frozen=True)
class Subgroups:
    """`cells` has every subset of inputs in every subgroup, subsets outermost, in the order of the subsets."""

    target: str
    cells: tuple[Cell, ...]
    disparities: tuple[Disparity, ...]

    def of(self, subset: str) -> tuple[Cell, ...]:
        return tuple(cell for cell in self.cells if cell.subset == subset)

    def record(self) -> dict[str, Any]:
        return {
            "target": self.target,
            "cells": [cell.record() for cell in self.cells],
            "disparities": [disparity.record() for disparity in self.disparities],
        }


def judge_subgroups(
    answers: Answers, *, bootstrap: int = 1000, seed: int = 0, fewest: int = FEWEST_CASES
) -> tuple[Subgroups, ...]:
    """The matrix for each target; without cells where no attribute splits the cases."""
    groups = groupings(answers.attributes, fewest=fewest)
    return tuple(_of_target(answers, groups, target, bootstrap, seed, fewest) for target in answers.scores.target_names)


def groupings(attributes: Mapping[str, Sequence[str]], *, fewest: int = FEWEST_CASES) -> dict[str, dict[str, Group]]:
    """For each attribute that splits the cases, its groups: bands of an age in years, quarters of another number, and
    the levels of a word that have `fewest` cases, the rest being "other". Who has none is "unknown"."""
    found = {}
    for name, column in attributes.items():
        words = np.array(["" if word.strip().lower() in _MISSING else word.strip() for word in column], dtype=object)
        groups = _numbers(name, words) or _words(words, fewest)
        if (words == "").any():
            groups = {**groups, UNKNOWN: words == ""}
        if len(groups) > 1:
            found[name] = groups
    return found


def _numbers(name: str, words: np.ndarray) -> dict[str, Group]:
    """Bands of a column of numbers; empty for one of words or of a few codes."""
    values = np.array([_number(word) for word in words])
    known = ~np.isnan(values)
    if (known != (words != "")).any() or len(np.unique(values[known])) <= _LEVELS:
        return {}
    bands = dict(_ages(values)) if _AGE.search(name) else dict(_quarters(values))
    return {label: rows for label, rows in bands.items() if rows.any()}


def _ages(values: Float[np.ndarray, " n"]) -> Iterator[tuple[str, Group]]:
    for low, high in AGE_BANDS:
        above = values >= low if low else ~np.isnan(values)
        label = f"{low}+" if high is None else f"{low}-{high}"
        yield label, above if high is None else above & (values < high + 1)


def _quarters(values: Float[np.ndarray, " n"]) -> Iterator[tuple[str, Group]]:
    edges = np.unique(np.nanquantile(values, [0, 0.25, 0.5, 0.75, 1]))
    for place, (low, high) in enumerate(pairwise(edges)):
        above = values > low if place else values >= low
        yield f"{low:.4g} to {high:.4g}", above & (values <= high)


def _words(words: np.ndarray, fewest: int) -> dict[str, Group]:
    levels, counts = np.unique(words[words != ""].astype(str), return_counts=True)
    large = [str(level) for level, count in zip(levels, counts, strict=True) if count >= fewest and level != OTHER]
    groups = {level: words == level for level in large}
    rest = (words != "") & ~np.isin(words.astype(str), large)
    return {**groups, OTHER: rest} if rest.any() else groups


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        return np.nan


def _of_target(
    answers: Answers, groups: dict[str, dict[str, Group]], target: str, bootstrap: int, seed: int, fewest: int
) -> Subgroups:
    cells: list[Cell] = []
    disparities: tuple[Disparity, ...] = ()
    for subset in answers.scores.logits if groups else ():
        drawn = _draw(answers, groups, target, subset, bootstrap, seed, fewest)
        cells += drawn.cells
        if subset == answers.scores.whole:
            disparities = tuple(_disparities(drawn, groups))
    return Subgroups(target, tuple(cells), disparities)


@dataclass(frozen=True)
class _Drawn:
    """The cells of one subset, and the draws of each of their metrics, by attribute, group and metric."""

    cells: tuple[Cell, ...]
    draws: dict[tuple[str, str, str], Float[np.ndarray, " r"]]


def _draw(
    answers: Answers,
    groups: dict[str, dict[str, Group]],
    target: str,
    subset: str,
    bootstrap: int,
    seed: int,
    fewest: int,
) -> _Drawn:
    """Every cell of a subset on the same draws of the patients of all, so that gaps between groups have intervals."""
    scores, j = answers.scores, answers.scores.target_names.index(target)
    asked = np.flatnonzero(scores.known(target) & scores.answered(subset))
    patients = np.asarray(scores.patient_ids, dtype=object)[asked]
    labels, p = answers.labels(target)[asked], answers.probabilities[subset][asked, j]
    flagged = answers.flagged[subset][asked, j]
    covered = answers.covered[subset][asked, j] if answers.covered else None
    rows = {(name, label): group[asked] for name, of in groups.items() for label, group in of.items()}
    keys: list[tuple[str, str, str]] = []
    measured = []
    for (name, label), held in rows.items():
        inside = statistics(labels[held], p[held], flagged[held], None if covered is None else covered[held])
        for metric in _supported(labels[held], patients[held], fewest, inside):
            keys.append((name, label, metric))
            measured.append((held, inside[metric]))

    def together(weights: Weights) -> Float[np.ndarray, "r j"]:
        return np.stack([statistic(weights[:, held]) for held, statistic in measured], axis=1)

    values, draws = resampled(together, list(patients), resamples=bootstrap, seed=seed) if keys else ((), np.empty(0))
    found = {key: (value, draws[:, place]) for place, (key, value) in enumerate(zip(keys, values, strict=True))}
    cells = tuple(
        Cell(subset, name, _row(name, label, labels[held], patients[held], found))
        for (name, label), held in rows.items()
    )
    return _Drawn(cells, {key: drawn for key, (_, drawn) in found.items()})


def _supported(labels: np.ndarray, patients: np.ndarray, fewest: int, measured: Mapping[str, Any]) -> list[str]:
    """The metrics that enough cases, patients and cases of a class stand behind."""
    yes, no = int(labels.sum()), int((~labels).sum())
    if len(labels) < fewest or len(set(patients)) < FEWEST_PATIENTS:
        return []
    short = {"auroc": min(yes, no), "sensitivity": yes, "specificity": no}
    return [m for m in CELL_METRICS if m in measured and short.get(m, FEWEST_OF_A_CLASS) >= FEWEST_OF_A_CLASS]


def _row(
    attribute: str,
    label: str,
    labels: np.ndarray,
    patients: np.ndarray,
    found: Mapping[tuple[str, str, str], tuple[float, Float[np.ndarray, " r"]]],
) -> Row:
    count = len(set(patients))
    estimates = {
        metric: estimate(*found[attribute, label, metric], count)
        for metric in CELL_METRICS
        if (attribute, label, metric) in found
    }
    return Row(label, len(labels), count, int(labels.sum()), estimates)


def _disparities(drawn: _Drawn, groups: dict[str, dict[str, Group]]) -> Iterator[Disparity]:
    for attribute in groups:
        rows = [cell.row for cell in drawn.cells if cell.attribute == attribute]
        for metric in COMPARED:
            told = {
                row.name: (row.estimates[metric].value or 0.0, row.patients)
                for row in rows
                if metric in row.estimates and row.name not in (OTHER, UNKNOWN)
            }
            if len(told) < 2:
                continue
            best, worst = max(told, key=lambda name: told[name][0]), min(told, key=lambda name: told[name][0])
            pairs = len(list(combinations(told, 2)))
            gaps = drawn.draws[attribute, best, metric] - drawn.draws[attribute, worst, metric]
            gap = told[best][0] - told[worst][0]
            fewest = min(told[best][1], told[worst][1])
            yield Disparity(attribute, metric, best, worst, pairs, estimate(gap, gaps, fewest, level=1 - 0.05 / pairs))
