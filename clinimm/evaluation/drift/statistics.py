"""How two samples differ, and how likely that is by luck when patients, not cases, are dealt into them anew.

n cases of both samples, u patients of both, r deals, t tests, e width."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial.distance import pdist, squareform

BINS, SMOOTH = 10, 0.5
MOST_KERNEL = 600  # cases whose distances to each other are held at once
BLOCK = 1 << 21

Sides: TypeAlias = Bool[np.ndarray, "r n"]
Values: TypeAlias = Float[np.ndarray, " r"]


@dataclass(frozen=True)
class Deal:
    """Which cases are of the second sample: as it is, and as it might have been. A patient's cases of one sample stay
    together, and as many patients as there are remain in each."""

    patients: np.ndarray
    second: Bool[np.ndarray, " n"]
    deals: int
    seed: int

    def p_value(self, statistic: Callable[[Sides], Values], rows: Bool[np.ndarray, " n"]) -> tuple[float, float]:
        """The statistic of the given cases, and the share of deals that reach it, the true one counted among them.
        Source: Phipson & Smyth 2010."""
        units = np.unique(np.stack([self.patients[rows], self.second[rows].astype(str)]), axis=1, return_inverse=True)
        unit, side = np.asarray(units[1]).reshape(-1), units[0][1] == "True"
        true = float(statistic(self.second[rows][None])[0])
        rng = np.random.default_rng(self.seed)
        reached, step = 1, max(1, BLOCK // max(1, len(unit)))
        for start in range(0, self.deals, step):
            dealt = np.stack([rng.permutation(side) for _ in range(min(step, self.deals - start))])
            reached += int((statistic(dealt[:, unit]) >= true - 1e-12).sum())
        return true, reached / (self.deals + 1)


def rate_gap(values: Float[np.ndarray, " n"]) -> Callable[[Sides], Values]:
    """How far the means of the two samples are apart."""

    def gap(second: Sides) -> Values:
        return np.abs(_mean(values, second) - _mean(values, ~second))

    return gap


def kolmogorov_smirnov(values: Float[np.ndarray, " n"]) -> Callable[[Sides], Values]:
    """The largest distance between the distribution functions of the two samples."""
    order = np.argsort(values, kind="stable")
    last = np.r_[np.diff(values[order]) > 0, True]

    def distance(second: Sides) -> Values:
        inside = second[:, order].astype(np.float64)
        first, other = _shares(1 - inside), _shares(inside)
        return np.abs(first - other)[:, last].max(axis=1)

    return distance


def maximum_mean_discrepancy(points: Float[np.ndarray, "n e"]) -> Callable[[Sides], Values]:
    """The squared distance of the two samples' means in the space of a Gaussian kernel, its width the median distance.
    Source: Gretton et al. 2012, A Kernel Two-Sample Test, eq. 5 and section 8."""
    squared = pdist(points, "sqeuclidean")
    width = np.median(squared[squared > 0]) if (squared > 0).any() else 1.0
    kernel = squareform(np.exp(-squared / width)) + np.eye(len(points))

    def discrepancy(second: Sides) -> Values:
        inside = second.astype(np.float64)
        signs = inside / _at_least_one(inside) - (1 - inside) / _at_least_one(1 - inside)
        return np.einsum("rn,rn->r", signs @ kernel, signs)

    return discrepancy


def stability_index(first: Float[np.ndarray, " a"], second: Float[np.ndarray, " b"]) -> float:
    """The population stability index of two samples over tenths of the first, or over its values where they are few;
    half a case is added to each bin. Usual reading: from 0.1 a shift, from 0.25 a large one. Source: Siddiqi 2006."""
    levels = np.unique(first)
    if len(levels) <= BINS:
        edges = (levels[1:] + levels[:-1]) / 2
    else:
        edges = np.unique(np.quantile(first, np.arange(1, BINS) / BINS))
    shares = []
    for sample in (first, second):
        counts = np.bincount(np.searchsorted(edges, sample, side="right"), minlength=len(edges) + 1) + SMOOTH
        shares.append(counts / counts.sum())
    return float(((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum())


def false_discovery_rates(p_values: Sequence[float]) -> Float[np.ndarray, " t"]:
    """For each test the smallest rate of false discoveries at which it is one. Source: Benjamini & Hochberg 1995."""
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p)[::-1]
    scaled = p[order] * len(p) / np.arange(len(p), 0, -1)
    rates = np.empty(len(p))
    rates[order] = np.minimum(np.minimum.accumulate(scaled), 1.0) if len(p) else scaled
    return rates


def _mean(values: Float[np.ndarray, " n"], inside: Sides) -> Values:
    return (inside @ values) / np.maximum(inside.sum(axis=1), 1)


def _shares(inside: Float[np.ndarray, "r n"]) -> Float[np.ndarray, "r n"]:
    return np.cumsum(inside, axis=1) / _at_least_one(inside)


def _at_least_one(inside: Float[np.ndarray, "r n"]) -> Float[np.ndarray, "r 1"]:
    return np.maximum(inside.sum(axis=1, keepdims=True), 1)
