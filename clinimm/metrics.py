"""How well scores tell yes from no, and how far probabilities can be believed. n cases, r resamples.

Each metric comes twice: plain, for a number, and `weighted_`, for one value per row of case weights (r, n), which is
what the bootstrap calls: sorted once, not once per resample. A whole weight counts as that many copies of the case.
NaN says that a metric is undefined (ranking needs both classes), or that a score was NaN."""

from dataclasses import dataclass
from math import erfc, sqrt
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Float

from clinimm.bootstrap import Values, Weights

Labels: TypeAlias = Bool[np.ndarray, " n"]
Flags: TypeAlias = Bool[np.ndarray, " n"]
Numbers: TypeAlias = Float[np.ndarray, " n"]

BINS = 10
NORMAL_95 = 1.959963984540054  # half the width of the middle 95 % of the standard normal distribution
SMALLEST = 1e-12  # a probability of 0 or 1 that was wrong costs 27.6 in log loss, not infinity


def auroc(labels: Labels, scores: Numbers) -> float:
    """Chance that a random yes scores above a random no, ties counting half; NaN with one class.

    Source: Hanley & McNeil 1982 (the Mann-Whitney form)."""
    return float(weighted_auroc(labels, scores, _once(labels))[0])


def auprc(labels: Labels, scores: Numbers) -> float:
    """Average precision: the precision at each threshold, weighted by the recall it adds; NaN with one class.

    Source: the step form of Davis & Goadrich 2006, without interpolation; a constant score gets the prevalence."""
    return float(weighted_auprc(labels, scores, _once(labels))[0])


def brier(labels: Labels, probabilities: Numbers) -> float:
    """Mean squared gap between probability and outcome, in [0, 1]; 0 is perfect. Source: Brier 1950, halved."""
    return float(weighted_brier(labels, probabilities, _once(labels))[0])


def log_loss(labels: Labels, probabilities: Numbers) -> float:
    """Mean negative log likelihood, in nats; probabilities are kept 1e-12 away from 0 and 1."""
    return float(weighted_log_loss(labels, probabilities, _once(labels))[0])


def ece(labels: Labels, probabilities: Numbers) -> float:
    """Mean gap between probability and share of yes over 10 bins, in [0, 1]; 0 is perfect.

    Source: Naeini, Cooper & Hauskrecht 2015, Guo et al. 2017 eq. 3, for the probability of yes. Differs: bins hold
    equal numbers of cases, not equal widths (Nguyen & O'Connor 2015); a case on a border counts in both by its parts,
    and cases of equal probability share their outcomes, so that order does not matter. Biased upward when cases are
    few, and so is its bootstrap interval."""
    return float(weighted_ece(labels, probabilities, _once(labels))[0])


def sensitivity(labels: Labels, flagged: Flags) -> float:
    """Share of the yes that is flagged; NaN if there is no yes."""
    return float(weighted_sensitivity(labels, flagged, _once(labels))[0])


def specificity(labels: Labels, flagged: Flags) -> float:
    """Share of the no that is not flagged; NaN if there is no no."""
    return float(weighted_specificity(labels, flagged, _once(labels))[0])


@dataclass(frozen=True)
class DeLong:
    """Two AUROCs on the same cases: `difference` is the first less the second, between `low` and `high` with 95 %
    confidence; `p` is two-sided, for no difference."""

    first: float
    second: float
    difference: float
    low: float
    high: float
    p: float


def delong(labels: Labels, first: Numbers, second: Numbers) -> DeLong:
    """The test of DeLong, DeLong & Clarke-Pearson 1988 by the ranks of Sun & Xu 2014; NaN where a class has fewer than
    two cases or a score is NaN.

    It takes every case for an independent one: several films of a patient make its interval too narrow and its p too
    small. `bootstrap.paired_bootstrap_difference` draws patients and is the one to believe then."""
    if min(int(labels.sum()), int((~labels).sum())) < 2 or np.isnan(first + second).any():
        return DeLong(*(np.nan,) * 6)
    (a, yes_a, no_a), (b, yes_b, no_b) = (_placements(labels, scores) for scores in (first, second))
    deviation = sqrt(np.var(yes_a - yes_b, ddof=1) / len(yes_a) + np.var(no_a - no_b, ddof=1) / len(no_a))
    gap = a - b
    p = erfc(abs(gap) / deviation / sqrt(2)) if deviation else float(gap == 0)
    return DeLong(a, b, gap, gap - NORMAL_95 * deviation, gap + NORMAL_95 * deviation, p)


def weighted_auroc(labels: Labels, scores: Numbers, weights: Weights) -> Values:
    _, yes, no = _by_level(labels, scores, weights)
    below = np.cumsum(no, axis=1) - no / 2
    return _ratio((yes * below).sum(axis=1), yes.sum(axis=1) * no.sum(axis=1))


def weighted_auprc(labels: Labels, scores: Numbers, weights: Weights) -> Values:
    _, yes, no = _by_level(labels, scores, weights)
    yes, no = yes[:, ::-1], no[:, ::-1]
    found, flagged = np.cumsum(yes, axis=1), np.cumsum(yes + no, axis=1)
    precision = np.divide(found, flagged, out=np.zeros_like(found), where=flagged > 0)
    total = np.where(no.sum(axis=1) > 0, yes.sum(axis=1), 0)
    return _ratio((precision * yes).sum(axis=1), total)


def weighted_brier(labels: Labels, probabilities: Numbers, weights: Weights) -> Values:
    return _mean(np.square(probabilities - labels), weights)


def weighted_log_loss(labels: Labels, probabilities: Numbers, weights: Weights) -> Values:
    truth = np.where(labels, probabilities, 1 - probabilities)
    return _mean(-np.log(np.clip(truth, SMALLEST, 1)), weights)


def weighted_ece(labels: Labels, probabilities: Numbers, weights: Weights) -> Values:
    level, yes, no = _by_level(labels, probabilities, weights)
    mass = _from_zero(yes + no)
    gap = _from_zero(yes - (yes + no) * level)
    edges = np.linspace(0, 1, BINS + 1)
    at_edges = [np.interp(edges * m[-1], m, g) for m, g in zip(mass, gap, strict=True)]
    return _ratio(np.abs(np.diff(at_edges, axis=1)).sum(axis=1), mass[:, -1])


def weighted_sensitivity(labels: Labels, flagged: Flags, weights: Weights) -> Values:
    return _mean(flagged.astype(np.float64), weights * labels)


def weighted_specificity(labels: Labels, flagged: Flags, weights: Weights) -> Values:
    return _mean((~flagged).astype(np.float64), weights * ~labels)


def _placements(labels: Labels, scores: Numbers) -> tuple[float, Float[np.ndarray, " yes"], Float[np.ndarray, " no"]]:
    """The AUROC; for each yes the share of the no below it, for each no the share of the yes above it, ties half."""
    ranks = _midranks(scores)
    yes, no = int(labels.sum()), int((~labels).sum())
    below = (ranks[labels] - _midranks(scores[labels])) / no
    above = 1 - (ranks[~labels] - _midranks(scores[~labels])) / yes
    return float(below.mean()), below, above


def _midranks(scores: Numbers) -> Numbers:
    """1 for the lowest; equal scores share the mean of their ranks."""
    _, level, count = np.unique(scores, return_inverse=True, return_counts=True)
    return (np.cumsum(count) - (count - 1) / 2)[level]


def _by_level(
    labels: Labels, scores: Numbers, weights: Weights
) -> tuple[Float[np.ndarray, " g"], Float[np.ndarray, "r g"], Float[np.ndarray, "r g"]]:
    """Each distinct score, ascending, and the weight of the yes and of the no there. One NaN score makes all NaN."""
    if np.isnan(scores).any():
        weights = np.full_like(weights, np.nan)
    order = np.argsort(scores, kind="stable")
    ordered = scores[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]][: len(ordered)])
    sorted_weights, truth = weights[:, order], labels[order]
    if len(starts) == len(ordered):  # no two scores are equal: nothing to sum, which is most of the time this takes
        return ordered, sorted_weights * truth, sorted_weights * ~truth
    yes = np.add.reduceat(sorted_weights * truth, starts, axis=1)
    return ordered[starts], yes, np.add.reduceat(sorted_weights, starts, axis=1) - yes


def _from_zero(counts: Float[np.ndarray, "r g"]) -> Float[np.ndarray, "r h"]:
    return np.pad(np.cumsum(counts, axis=1), ((0, 0), (1, 0)))


def _mean(losses: Numbers, weights: Weights) -> Values:
    return _ratio(weights @ losses, weights.sum(axis=1))


def _ratio(above: Values, below: Values) -> Values:
    return np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0)


def _once(labels: Labels) -> Weights:
    return np.ones((1, len(labels)))
