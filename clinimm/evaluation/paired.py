"""Two models on the same cases, cell by cell: every subset of inputs in every group of patients, by several metrics.

With hundreds of cells some fall by chance alone, and cells overlap: who is in one is in others. So all cells share one
band: the bootstrap's quantile of the largest of all their studentized errors, drawn by patient. A model that is worse
nowhere is then said to fall *anywhere* in one of twenty comparisons, however many cells there are.

Source: Romano & Wolf 2005, Econometrica 73 (single step, maximum of t); Efron & Tibshirani 1993. n cases, r resamples,
j cells."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Literal, TypeAlias

import numpy as np
from jaxtyping import Bool, Float

from clinimm import metrics
from clinimm.bootstrap import Statistic, Weights, resampled
from clinimm.errors import ClinimmError
from clinimm.evaluation.answers import Answers
from clinimm.types import rounded

Rows: TypeAlias = Bool[np.ndarray, " n"]
Groups: TypeAlias = Mapping[str, Rows]
Word = Literal["falls", "holds", "too few"]

EVERYONE = "everyone"
FEWEST_OF_CLASS = 10  # below that a cell is told, and not judged
BETTER = {"auroc": 1, "brier": -1, "ece": -1, "sensitivity": 1}
"""The metrics of a cell, and whether more or less of it is better. Sensitivity counts up to what was promised: a model
that flags everyone has more, and owes it to nobody."""


@dataclass(frozen=True)
class Cell:
    """`difference` is `candidate - current`; `low` and `high` are its ends of the band that all cells share. It falls
    if even the better end is worse than nothing. Figures of a cell that has too few cases are None, those of
    sensitivity count up to what was promised."""

    target: str
    subset: str
    group: str
    metric: str
    cases: int
    positives: int
    current: float | None
    candidate: float | None
    difference: float | None
    low: float | None
    high: float | None
    word: Word

    @property
    def worse_by(self) -> float:
        """How much worse the candidate is; negative where it is better, 0 where too few can tell."""
        return 0.0 if self.difference is None else -BETTER[self.metric] * self.difference

    def record(self) -> dict[str, Any]:
        return {name: rounded(value) if isinstance(value, float) else value for name, value in asdict(self).items()}


def paired_cells(
    candidate: Answers,
    current: Answers,
    groups: Groups,
    *,
    promised: float = 1.0,
    resamples: int,
    seed: int,
    level: float = 0.95,
) -> tuple[Cell, ...]:
    """Every cell of the subsets and targets of `current`. `groups` are rows of the cases; `everyone` is added. Both
    answers must be of the same cases in the same order. `promised` is the sensitivity that thresholds were set for."""
    places = [*_places(current, {EVERYONE: np.ones(len(current.scores), dtype=bool), **groups})]
    judged = [place for place in places if place.enough]
    if not judged:
        return tuple(_untold(place, metric) for place in places for metric in BETTER)
    pairs = [
        pair
        for place in judged
        for pair in zip(place.statistics(current, promised), place.statistics(candidate, promised), strict=True)
    ]
    values, draws = resampled(
        partial(_together, pairs), current.scores.patient_ids, resamples=resamples, seed=seed
    )  # both (…, 2 j): first the current model's figures, then the candidate's
    before, after = np.split(values, 2)
    sign = np.array([BETTER[metric] for _ in judged for metric in BETTER])
    half = max_t_width(sign * (np.split(draws, 2, axis=1)[1] - np.split(draws, 2, axis=1)[0]), level)
    told = iter(
        _told(place, metric, *figures)
        for (place, metric), figures in zip(
            ((place, metric) for place in judged for metric in BETTER), np.stack([before, after, half], 1), strict=True
        )
    )
    return tuple(next(told) if place.enough else _untold(place, metric) for place in places for metric in BETTER)


def max_t_width(draws: Float[np.ndarray, "r j"], level: float) -> Float[np.ndarray, " j"]:
    """Half the width of each column's part of the band: the column's deviation times the `level` quantile of the
    largest studentized shortfall over all columns. A draw on which a column is undefined says nothing of it."""
    mean, deviation = np.nanmean(draws, axis=0), np.nanstd(draws, axis=0)
    shortfall = np.divide(mean - draws, deviation, out=np.zeros_like(draws), where=deviation > 0)
    return np.asarray(np.quantile(np.nan_to_num(shortfall).max(axis=1), level) * deviation)


def same_cases(first: Answers, second: Answers, *, where: str = "") -> None:
    """Raises ClinimmError that says how the cases, or their labels, differ."""
    a, b = first.scores, second.scores
    if a.case_ids == b.case_ids and a.target_names == b.target_names:
        if np.array_equal(a.targets, b.targets, equal_nan=True):
            return
        raise ClinimmError("the labels differ", where=where, mend="name the same columns in both configs")
    if a.target_names != b.target_names:
        names = f"{', '.join(a.target_names)} against {', '.join(b.target_names)}"
        raise ClinimmError(f"the targets differ: {names}", where=where)
    mine, theirs = set(a.case_ids) - set(b.case_ids), set(b.case_ids) - set(a.case_ids)
    shown = ", ".join(sorted(mine | theirs)[:3])
    raise ClinimmError(
        f"the test cases differ: {len(mine)} only of the first, {len(theirs)} only of the second"
        + (f", such as {shown}" if shown else "; only their order differs"),
        where=where,
        mend="train both on the same split, or give cases that neither has seen",
    )


@dataclass(frozen=True)
class _Place:
    """Where cells lie: a target, a subset, a group, and the rows of its cases."""

    target: str
    subset: str
    group: str
    rows: Rows
    labels: Bool[np.ndarray, " n"]

    @property
    def positives(self) -> int:
        return int(self.labels[self.rows].sum())

    @property
    def enough(self) -> bool:
        return min(self.positives, int(self.rows.sum()) - self.positives) >= FEWEST_OF_CLASS

    def statistics(self, answers: Answers, promised: float) -> list[Statistic]:
        """One of each metric, of these rows."""
        j = answers.scores.target_names.index(self.target)
        labels = self.labels[self.rows]
        p, flagged = answers.probabilities[self.subset][self.rows, j], answers.flagged[self.subset][self.rows, j]
        of: dict[str, Statistic] = {
            "auroc": partial(metrics.weighted_auroc, labels, p),
            "brier": partial(metrics.weighted_brier, labels, p),
            "ece": partial(metrics.weighted_ece, labels, p),
            "sensitivity": partial(_up_to, promised, partial(metrics.weighted_sensitivity, labels, flagged)),
        }
        return [partial(_of_rows, of[metric], self.rows) for metric in BETTER]


def _places(answers: Answers, groups: Groups) -> list[_Place]:
    scores = answers.scores
    return [
        _Place(target, subset, group, rows & scores.known(target) & scores.answered(subset), scores.targets[:, j] > 0.5)
        for j, target in enumerate(scores.target_names)
        for subset in answers.probabilities
        for group, rows in groups.items()
    ]


def _up_to(promised: float, statistic: Statistic, weights: Weights) -> Float[np.ndarray, " r"]:
    return np.minimum(statistic(weights), promised)


def _of_rows(statistic: Statistic, rows: Rows, weights: Weights) -> Float[np.ndarray, " r"]:
    return statistic(weights[:, rows])


def _together(pairs: Sequence[tuple[Callable[..., Any], ...]], weights: Weights) -> Float[np.ndarray, "r j"]:
    return np.stack([pair[side](weights) for side in (0, 1) for pair in pairs], axis=1)


def _told(place: _Place, metric: str, before: float, after: float, half: float) -> Cell:
    difference = float(after - before)
    falls = BETTER[metric] * difference + half < 0
    return Cell(
        place.target, place.subset, place.group, metric, int(place.rows.sum()), place.positives,
        float(before), float(after), difference, difference - float(half), difference + float(half),
        "falls" if falls else "holds",
    )  # fmt: skip


def _untold(place: _Place, metric: str) -> Cell:
    cases = int(place.rows.sum())
    return Cell(
        place.target, place.subset, place.group, metric, cases, place.positives, *(None,) * 5, "too few"
    )  # fmt: skip
