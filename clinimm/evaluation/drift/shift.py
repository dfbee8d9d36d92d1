"""Two snapshots compared, column by column, with one rate of false discoveries over all columns."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from clinimm.evaluation.drift.apart import told_apart
from clinimm.evaluation.drift.snapshot import Column, Snapshot
from clinimm.evaluation.drift.statistics import (
    MOST_KERNEL,
    Deal,
    false_discovery_rates,
    kolmogorov_smirnov,
    maximum_mean_discrepancy,
    rate_gap,
    stability_index,
)
from clinimm.evaluation.grid import UNKNOWN, Grid
from clinimm.types import rounded

RATE, NUMBER, SPACE = "rate", "distribution", "embedding"
DEALS = 1999
FALSE_RATE = 0.05
FEWEST = 5  # patients of either cohort with a value


@dataclass(frozen=True)
class Shift:
    """How one column differs. `before` and `after` are rates or medians, None for an embedding. `size` is the change of
    a rate, the stability index of a distribution, or the AUROC that tells embeddings apart. `q` is the smallest rate of
    false discoveries at which this is one; None where too few patients have a value."""

    group: str
    name: str
    kind: str
    cases: tuple[int, int]
    before: float | None
    after: float | None
    size: float | None
    p: float | None
    q: float | None = None

    @property
    def drifted(self) -> bool:
        return self.q is not None and self.q <= FALSE_RATE

    def record(self) -> dict[str, Any]:
        about = {"group": self.group, "name": self.name, "kind": self.kind, "cases": list(self.cases)}
        numbers = {key: rounded(getattr(self, key)) for key in ("before", "after", "size", "p", "q")}
        return {**about, **numbers, "drifted": self.drifted}


@dataclass(frozen=True)
class Drift:
    """`shifts` in the order of the columns; `cases` and `patients` of the reference and of the other cohort."""

    cases: tuple[int, int]
    patients: tuple[int, int]
    shifts: tuple[Shift, ...]

    @property
    def drifted(self) -> tuple[Shift, ...]:
        return tuple(shift for shift in self.shifts if shift.drifted)

    @property
    def verdict(self) -> str:
        tested = sum(shift.q is not None for shift in self.shifts)
        if not self.drifted:
            return f"No drift: none of {tested} columns differs beyond luck (false discoveries at most 5 %)."
        groups = list(dict.fromkeys(shift.group for shift in self.drifted))
        return (
            f"Drift: {len(self.drifted)} of {tested} columns differ beyond luck (false discoveries at most 5 %), "
            f"in {', '.join(groups)}."
        )

    def record(self) -> dict[str, Any]:
        return {
            "cases": list(self.cases),
            "patients": list(self.patients),
            "false_discovery_rate": FALSE_RATE,
            "verdict": self.verdict,
            "shifts": [shift.record() for shift in self.shifts],
        }

    def grid(self) -> Grid:
        """One row per column, those that drifted marked."""
        columns = ("of", "what", "cases", "before", "after", "size", "q", "")
        rows = tuple(
            (
                shift.group, shift.name, f"{shift.cases[0]}, {shift.cases[1]}", _figure(shift.before),
                _figure(shift.after), _sized(shift), _figure(shift.q), "drift" if shift.drifted else "",
            )
            for shift in self.shifts
        )  # fmt: skip
        notes = (
            self.verdict,
            "Size: change of a rate; stability index of a distribution (0.1 a shift, 0.25 a large one); AUROC with "
            "which embeddings are told apart. q: rate of false discoveries at which this is one (Benjamini-Hochberg), "
            "by dealing patients anew.",
        )
        return Grid("Drift from the first cohort to the second", columns, rows, notes)


def drift(reference: Snapshot, other: Snapshot, *, deals: int = DEALS, seed: int = 0) -> Drift:
    """How the other cohort differs from the reference, in each column and embedding that both have."""
    patients = np.array([*reference.patient_ids, *other.patient_ids], dtype=object).astype(str)
    second = np.r_[np.zeros(len(reference.patient_ids), bool), np.ones(len(other.patient_ids), bool)]
    deal = Deal(patients, second, deals, seed)
    theirs = {(column.group, column.name): column for column in other.columns}
    shifts = [
        _column(deal, column, theirs[column.group, column.name])
        for column in reference.columns
        if (column.group, column.name) in theirs
    ]
    shifts += [
        _embedding(deal, name, points, other.embeddings[name])
        for name, points in reference.embeddings.items()
        if name in other.embeddings
    ]
    return Drift(
        cases=(len(reference.patient_ids), len(other.patient_ids)),
        patients=(len(set(reference.patient_ids)), len(set(other.patient_ids))),
        shifts=tuple(_with_rates(shifts)),
    )


def _with_rates(shifts: Sequence[Shift]) -> list[Shift]:
    tested = [i for i, shift in enumerate(shifts) if shift.p is not None]
    rates = dict(zip(tested, false_discovery_rates([shifts[i].p or 0.0 for i in tested]).tolist(), strict=True))
    return [replace(shift, q=rates.get(i)) for i, shift in enumerate(shifts)]


def _column(deal: Deal, mine: Column, theirs: Column) -> Shift:
    values = np.r_[mine.values, theirs.values]
    rows = ~np.isnan(values)
    first, second = values[rows & ~deal.second], values[rows & deal.second]
    kind = RATE if mine.is_rate else NUMBER
    shift = Shift(mine.group, mine.name, kind, (len(first), len(second)), None, None, None, None)
    if not _enough(deal, rows):
        return shift
    summed = np.mean if mine.is_rate else np.median
    before, after = float(summed(first)), float(summed(second))
    statistic = (rate_gap if mine.is_rate else kolmogorov_smirnov)(values[rows])
    size = after - before if mine.is_rate else stability_index(first, second)
    return replace(shift, before=before, after=after, size=size, p=deal.p_value(statistic, rows)[1])


def _embedding(deal: Deal, name: str, mine: Float[np.ndarray, "a e"], theirs: Float[np.ndarray, "b e"]) -> Shift:
    points = np.concatenate([mine, theirs])
    rows = ~np.isnan(points).any(axis=1)
    counts = (int((rows & ~deal.second).sum()), int((rows & deal.second).sum()))
    shift = Shift("embedding", name, SPACE, counts, None, None, None, None)
    if not _enough(deal, rows):
        return shift
    apart = told_apart(points[rows], deal.second[rows], deal.patients[rows])
    some = _thinned(rows, deal.second, deal.seed)
    p = deal.p_value(maximum_mean_discrepancy(points[some]), some)[1]
    return replace(shift, size=None if np.isnan(apart) else apart, p=p)


def _thinned(rows: Bool[np.ndarray, " n"], second: Bool[np.ndarray, " n"], seed: int) -> Bool[np.ndarray, " n"]:
    """At most half of `MOST_KERNEL` cases of either cohort, drawn by lot: all distances of many are too many."""
    rng = np.random.default_rng(seed)
    kept = np.zeros(len(rows), dtype=bool)
    for side in (rows & ~second, rows & second):
        where = np.flatnonzero(side)
        kept[rng.permutation(where)[: MOST_KERNEL // 2]] = True
    return kept


def _enough(deal: Deal, rows: Bool[np.ndarray, " n"]) -> bool:
    return all(len(set(deal.patients[rows & side])) >= FEWEST for side in (deal.second, ~deal.second))


def _figure(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.3f}"


def _sized(shift: Shift) -> str:
    return UNKNOWN if shift.size is None else f"{shift.size:+.3f}" if shift.kind == RATE else f"{shift.size:.3f}"
