"""How near the right answer comes to the top, and how near chance would bring it. q queries, n gallery items.

A query is ranked against the gallery without its own patient's other items: what is alike because it is the same
patient helps nobody. Equal similarities count against the query, so that a model that puts all in one place gets
nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from clinimm.bootstrap import Estimate, Statistic, Values, Weights, patient_bootstrap

DEPTHS = (1, 5, 10)
_BLOCK = 1 << 22  # similarities in memory at once


@dataclass(frozen=True)
class Ranks:
    """For each query the `rank` of the first right item, from 1, among `candidates` items, `right` of them right."""

    rank: Int[np.ndarray, " q"]
    candidates: Int[np.ndarray, " q"]
    right: Int[np.ndarray, " q"]


@dataclass(frozen=True)
class Ranked:
    """Each figure (recall@1, ..., mrr, median_rank) with its interval, and what a random order would get."""

    queries: int
    patients: int
    figures: Mapping[str, Estimate]
    chance: Mapping[str, float]


def ranks(
    queries: Float[np.ndarray, "q e"],
    gallery: Float[np.ndarray, "n e"],
    *,
    query_groups: Int[np.ndarray, " q"],
    gallery_groups: Int[np.ndarray, " n"],
    query_patients: Int[np.ndarray, " q"],
    gallery_patients: Int[np.ndarray, " n"],
) -> Ranks:
    """Items of a query's group are its right answers; its patient's other items are left out of the ranking. Every
    query has a right answer."""
    parts: list[tuple[np.ndarray, ...]] = []
    step = max(1, _BLOCK // max(1, len(gallery)))
    for start in range(0, len(queries), step):
        block = slice(start, start + step)
        similarities = queries[block] @ gallery.T
        right = query_groups[block, None] == gallery_groups
        wrong = ~right & (query_patients[block, None] != gallery_patients)
        best = np.where(right, similarities, -np.inf).max(axis=1, keepdims=True)
        ahead = (wrong & (similarities >= best)).sum(1)
        parts.append((1 + ahead, (right | wrong).sum(1), right.sum(1)))
    rank, candidates, found = (np.concatenate(column).astype(np.int64) for column in zip(*parts, strict=True))
    return Ranks(rank, candidates, found)


def judge(found: Ranks, patient_ids: Sequence[str], *, resamples: int = 1000, seed: int = 0) -> Ranked:
    """The figures of the queries, their 95 % intervals by drawing patients, and chance's."""
    statistics: dict[str, Statistic] = {f"recall@{k}": mean_of(found.rank <= k) for k in DEPTHS}
    statistics["mrr"] = mean_of(1 / found.rank)
    statistics["median_rank"] = lambda weights: weighted_median(found.rank, weights)
    figures = patient_bootstrap(statistics, patient_ids, resamples=resamples, seed=seed)
    return Ranked(len(found.rank), len(set(patient_ids)), figures, chance(found))


def chance(found: Ranks) -> dict[str, float]:
    """What a random order of each query's candidates gets, exactly: with r right among c, the first right one stands
    beyond k with probability C(c - r, k) / C(c, k)."""
    kinds, times = np.unique(np.stack([found.candidates, found.right]), axis=1, return_counts=True)
    share = times / times.sum()
    beyond = np.zeros((kinds.shape[1], int(found.candidates.max()) + 1))
    for row, (candidates, right) in enumerate(kinds.T):
        k = np.arange(candidates)
        beyond[row, : candidates + 1] = np.cumprod(np.r_[1.0, np.maximum(0, candidates - right - k) / (candidates - k)])
    within = 1 - share @ beyond  # probability that the first right one is among the first k, of a random query
    first = np.diff(within)
    figures = {f"recall@{k}": float(within[min(k, len(within) - 1)]) for k in DEPTHS}
    figures["mrr"] = float((first / np.arange(1, len(within))).sum())
    figures["median_rank"] = float(np.flatnonzero(within >= 0.5 - 1e-12)[0])
    return figures


def weighted_median(values: Int[np.ndarray, " q"] | Float[np.ndarray, " q"], weights: Weights) -> Values:
    """The smallest value that at least half of the weight does not exceed, for each row of weights; NaN for none."""
    order = np.argsort(values, kind="stable")
    reached = weights[:, order].cumsum(axis=1)
    total = reached[:, -1:]
    place = (reached >= total / 2).argmax(axis=1)
    return np.where(total[:, 0] > 0, values[order][place].astype(float), np.nan)


def mean_of(values: np.ndarray) -> Statistic:
    """The mean of one number per query, as the bootstrap takes it."""
    numbers = values.astype(float)

    def mean(weights: Weights) -> Values:
        total = weights.sum(1)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(total > 0, weights @ numbers / total, np.nan)

    return mean
