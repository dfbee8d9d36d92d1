"""Measures over time, and against a reference. Counts too small to be told are left out here, not hidden on a page."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import groupby

import numpy as np

from clinimm.evaluation.drift.statistics import Deal, false_discovery_rates, kolmogorov_smirnov, rate_gap
from services.drift.measures import Measure
from services.drift.store import Answer

DAY, WEEK = UNITS = ("day", "week")
QUARTILES = ("lower quartile", "median", "upper quartile")
DEALS, FEWEST_PATIENTS, FALSE_RATE = 999, 5, 0.05


@dataclass(frozen=True)
class Line:
    """A value for each stretch of time, None where there is none or it may not be told."""

    name: str
    values: tuple[float | None, ...]


@dataclass(frozen=True)
class Chart:
    title: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Stretches:
    """Days, or weeks by their Monday, with how many results each has; None for a count that may not be told."""

    starts: tuple[date, ...]
    counts: tuple[int | None, ...]
    charts: tuple[Chart, ...]


@dataclass(frozen=True)
class Difference:
    """How a measure differs between the reference and the results compared with it: rates, or medians, of how many.
    `q` is the smallest rate of false discoveries at which this is one, None where too few patients have a value."""

    series: str
    name: str
    counts: tuple[int, int]
    before: float | None
    after: float | None
    p: float | None = None
    q: float | None = None

    @property
    def differs(self) -> bool:
        return self.q is not None and self.q <= FALSE_RATE


def over_time(answers: Sequence[Answer], followed: Sequence[Measure], unit: str, fewest: int) -> Stretches:
    """`answers` are in the order of their times. Whatever counts fewer than `fewest` answers is not told: neither their
    number, nor a rate that would tell it."""
    groups = [(start, list(group)) for start, group in groupby(answers, lambda answer: _start(answer, unit))]
    charts = []
    for title, group in groupby(followed, lambda measure: measure.series):
        charts.append(Chart(title, tuple(line for one in group for line in _lines(one, groups, fewest))))
    counts = tuple(len(group) if len(group) >= fewest else None for _, group in groups)
    return Stretches(tuple(start for start, _ in groups), counts, tuple(charts))


def differences(
    before: Sequence[Answer], after: Sequence[Answer], followed: Sequence[Measure], fewest: int
) -> list[Difference]:
    """Each measure in both, tested by dealing whole patients anew: rates by their gap, numbers by the largest distance
    of their distribution functions (Kolmogorov-Smirnov); all of them under one rate of false discoveries
    (Benjamini-Hochberg). Source: see `clinimm.evaluation.drift.statistics`."""
    both = [*before, *after]
    patients = np.array([answer.patient_id for answer in both], dtype=object).astype(str)
    deal = Deal(patients, np.arange(len(both)) >= len(before), DEALS, seed=0)
    found = [_difference(deal, both, measure, fewest) for measure in followed]
    tested = [place for place, one in enumerate(found) if one.p is not None]
    rates = dict(zip(tested, false_discovery_rates([found[place].p or 0.0 for place in tested]).tolist(), strict=True))
    return [replace(one, q=rates.get(place)) for place, one in enumerate(found)]


def _difference(deal: Deal, both: Sequence[Answer], measure: Measure, fewest: int) -> Difference:
    values = np.array([np.nan if (value := measure.of(one)) is None else value for one in both], dtype=np.float64)
    rows = ~np.isnan(values)
    first, second = values[rows & ~deal.second], values[rows & deal.second]
    told = [_rate(side, fewest) if measure.is_rate else _median(side, fewest) for side in (first, second)]
    shown = Difference(measure.series, measure.name, (len(first), len(second)), told[0], told[1])
    if any(len(set(deal.patients[rows & side])) < FEWEST_PATIENTS for side in (deal.second, ~deal.second)):
        return shown
    statistic = (rate_gap if measure.is_rate else kolmogorov_smirnov)(values[rows])
    return replace(shown, p=deal.p_value(statistic, rows)[1])


def _lines(measure: Measure, groups: Sequence[tuple[date, list[Answer]]], fewest: int) -> Iterator[Line]:
    columns = [
        np.array([value for one in group if (value := measure.of(one)) is not None], dtype=np.float64)
        for _, group in groups
    ]
    if measure.is_rate:
        yield Line(measure.name, tuple(_rate(column, fewest) for column in columns))
    elif measure.series.startswith("Probability"):
        for name, share in zip(QUARTILES, (0.25, 0.5, 0.75), strict=True):
            yield Line(name, tuple(_quantile(column, share, fewest) for column in columns))
    else:
        yield Line(measure.name, tuple(float(c.mean()) if len(c) >= max(1, fewest) else None for c in columns))


def _rate(values: np.ndarray, fewest: int) -> float | None:
    """None where few have it, or few have it not: the rate and the number of all would tell how many."""
    n, k = len(values), int(values.sum())
    if n < max(1, fewest) or 0 < k < fewest or 0 < n - k < fewest:
        return None
    return k / n


def _median(values: np.ndarray, fewest: int) -> float | None:
    return _quantile(values, 0.5, fewest)


def _quantile(values: np.ndarray, share: float, fewest: int) -> float | None:
    return float(np.quantile(values, share)) if len(values) >= max(1, fewest) else None


def _start(answer: Answer, unit: str) -> date:
    day = answer.at.date()
    return day if unit == DAY else day - timedelta(days=day.weekday())
