"""Subsets of inputs by subgroups of patients: a model that is good on average can fail the old, the women, one site.

Subgroups come from the attributes that the config keeps of each case and never feeds in. n cases, r resamples."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, pairwise
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from clinimm.bootstrap import FEWEST_PATIENTS, Estimate, Weights, estimate, resampled
from clinimm.evaluation.answers import Answers
from clinimm.evaluation.curves import wilson
from clinimm.evaluation.measure import COVERAGE, Row, statistics

FEWEST_CASES = 20
FEWEST_OF_A_CLASS = 5  # patients
AGE_BANDS = ((0, 17), (18, 39), (40, 64), (65, None))
CELL_METRICS = ("auroc", "brier", "ece", "sensitivity", "specificity", COVERAGE)
COMPARED = ("auroc", "sensitivity", "specificity", COVERAGE)  # not Brier and ECE: they follow prevalence and n
OTHER, UNKNOWN = "other", "unknown"

_AGE = re.compile(r"(^|_)age(_years?|_y)?$")
_AGES = re.compile(r"(\d+)(?:-(\d+)|\+)")
_MISSING = frozenset({"", "nan", "na", "n/a", "none", "null", UNKNOWN})
_LEVELS = 6  # a column of no more distinct numbers than that holds codes, not quantities

Group = Bool[np.ndarray, " n"]


@dataclass(frozen=True)
class Cell:
    """One subset of inputs in one subgroup. `row.estimates` lacks what too few cases, patients or patients of a class
    stand behind; `too_few` says that this is all of it. Where every draw of patients gives the same, as of a share of
    ten in ten, drawing says nothing: Wilson's interval for the patients behind it then stands in (an AUROC is the mean
    share of the rarer class's rivals that each of them beats), and Brier and ECE have none."""

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
    the levels of a word that have `fewest` cases, several rarer ones being "other". Who has none is "unknown"."""
    found = {}
    for name, column in attributes.items():
        words = np.array(["" if word.strip().lower() in _MISSING else word.strip() for word in column], dtype=object)
        groups = _numbers(name, words) or _words(words, fewest)
        if (words == "").any():
            groups = {**groups, UNKNOWN: words == ""}
        if len(groups) > 1:
            found[name] = groups
    return found


def group_of(value: str, labels: Sequence[str]) -> str | None:
    """Which of the `labels` that `groupings` gave an attribute a patient of this value belongs to; None for none."""
    word = value.strip()
    if word.lower() in _MISSING:
        return UNKNOWN if UNKNOWN in labels else None
    if word in labels:
        return word
    number = _number(word)
    bands = [label for label in labels if (ends := _ends(label)) and ends[0] <= number <= ends[1]]
    return bands[0] if bands else OTHER if OTHER in labels else None


def _ends(label: str) -> tuple[float, float] | None:
    """The lowest and highest number in a band of ages or a quarter; None for a word."""
    if found := _AGES.fullmatch(label):
        return float(found[1]), np.nextafter(float(found[2]) + 1, 0) if found[2] else np.inf
    low, _, high = label.partition(" to ")
    ends = _number(low), _number(high)
    return None if np.isnan(ends).any() else ends


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
    small = np.unique(words[rest].astype(str))
    return groups if not len(small) else groups | {str(small[0]) if len(small) == 1 else OTHER: rest}


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        return np.nan


def _of_target(
    answers: Answers, groups: dict[str, dict[str, Group]], target: str, bootstrap: int, seed: int, fewest: int
) -> Subgroups:
    asked = answers.scores.known(target) & answers.scores.answered(answers.scores.whole)
    here = {name: {label: rows for label, rows in of.items() if rows[asked].any()} for name, of in groups.items()}
    cells: list[Cell] = []
    disparities: tuple[Disparity, ...] = ()
    for subset in answers.scores.logits if groups else ():
        drawn = _draw(answers, here, target, subset, bootstrap, seed, fewest)
        cells += drawn.cells
        if subset == answers.scores.whole:
            disparities = tuple(_disparities(drawn, here))
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
    """The metrics that enough cases, patients and patients of a class stand behind."""
    if len(labels) < fewest or len(set(patients)) < FEWEST_PATIENTS:
        return []
    return [m for m in CELL_METRICS if m in measured and _behind(m, labels, patients) >= FEWEST_OF_A_CLASS]


def _behind(metric: str, labels: np.ndarray, patients: np.ndarray) -> int:
    """How many patients a metric is of: those of a class, of the rarer one, or all."""
    yes, no = len(set(patients[labels])), len(set(patients[~labels]))
    return {"auroc": min(yes, no), "sensitivity": yes, "specificity": no}.get(metric, len(set(patients)))


def _row(
    attribute: str,
    label: str,
    labels: np.ndarray,
    patients: np.ndarray,
    found: Mapping[tuple[str, str, str], tuple[float, Float[np.ndarray, " r"]]],
) -> Row:
    estimates = {
        metric: _interval(metric, *found[attribute, label, metric], _behind(metric, labels, patients))
        for metric in CELL_METRICS
        if (attribute, label, metric) in found
    }
    return Row(label, len(labels), len(set(patients)), int(labels.sum()), estimates)


def _interval(metric: str, value: float, draws: Float[np.ndarray, " r"], patients: int) -> Estimate:
    told = estimate(value, draws, patients)
    if told.value is None or told.low != told.high:
        return told
    low, high = wilson(told.value, patients) if metric in COMPARED else (None, None)
    return replace(told, low=low, high=high)


def _disparities(drawn: _Drawn, groups: dict[str, dict[str, Group]]) -> Iterator[Disparity]:
    for attribute in groups:
        rows = {cell.row.name: cell.row for cell in drawn.cells if cell.attribute == attribute}
        for metric in COMPARED:
            told = {
                name: row.estimates[metric]
                for name, row in rows.items()
                if name not in (OTHER, UNKNOWN) and metric in row.estimates and row.estimates[metric].low is not None
            }
            if len(told) < 2:
                continue
            best = max(told, key=lambda name: told[name].value or 0.0)
            worst = min(told, key=lambda name: told[name].value or 0.0)
            pairs = len(list(combinations(told, 2)))
            gap = _gap(drawn, (attribute, best, metric), (attribute, worst, metric), told[best], told[worst], pairs)
            yield Disparity(attribute, metric, best, worst, pairs, gap)


def _gap(
    drawn: _Drawn, best: tuple[str, str, str], worst: tuple[str, str, str], high: Estimate, low: Estimate, pairs: int
) -> Estimate:
    """The gap on the draws that both share. A group whose draws are all alike, and which has Wilson's interval instead,
    brings the distance to its end (Newcombe 1998, method 10)."""
    difference = (high.value or 0.0) - (low.value or 0.0)
    draws = drawn.draws[best] - drawn.draws[worst]
    told = estimate(difference, draws, FEWEST_PATIENTS, level=1 - 0.05 / pairs)
    down = 0.0 if np.nanstd(drawn.draws[best]) else (high.value or 0.0) - (high.low or 0.0)
    up = 0.0 if np.nanstd(drawn.draws[worst]) else (low.high or 0.0) - (low.value or 0.0)
    if told.low is None or told.high is None:
        return told
    reach = float(np.hypot(difference - told.low, np.hypot(down, up)))
    return replace(told, low=difference - reach)
