"""The rate of rejected results among all that were sampled from, estimated from those that were drawn."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Z = 1.959963984540054  # of 95 % of a normal distribution


@dataclass(frozen=True)
class Rate:
    """A share with its 95 % interval; `method` says how both came about."""

    value: float
    low: float
    high: float
    method: str


def simple_rate(rejected: int, drawn: int, population: int) -> Rate:
    """Of a simple random sample without replacement: the share of it, with all totals of the population that do not
    make what was found a matter of 2.5 % or less on either side. Exact: it covers 95 % or more, whatever the truth.

    Source: Buonaccorsi 1987, A note on confidence intervals for proportions in finite populations."""
    low = _least(lambda total: _tail(rejected, drawn, total, population) > 0.025, 0, population)
    good = drawn - rejected
    high = population - _least(lambda total: _tail(good, drawn, total, population) > 0.025, 0, population)
    return Rate(rejected / drawn, low / population, high / population, "exact hypergeometric")


def weighted_rate(rejected: Sequence[bool], inclusion: Sequence[float], population: int) -> Rate:
    """Of a sample with unequal probabilities of `inclusion`: the sum of one over the probability of each rejected one,
    over the same sum of all (Hájek). Its standard error is of the linearized rate, by Hájek's approximation, which
    needs no probability of any pair: n/(n-1) sum c (d - D)^2, where c = 1 - p, d = (y - rate) / (p N^), D the mean of d
    by c. The interval is on the logit scale, so that it stays within 0 and 1; where all or none were rejected it is
    that of an exact binomial of as many as the weights are worth (Kish's n), since no variance was seen.

    Source: Särndal, Swensson & Wretman 1992, 5.7 and 5.10; Berger 2004 for the variance; Kish 1965; Clopper & Pearson
    1934. Differs: the normal, not Student's, quantile."""
    weights = [1 / p for p in inclusion]
    total, n = sum(weights), len(weights)
    rate = sum(weight for weight, bad in zip(weights, rejected, strict=True) if bad) / total
    if not 0 < rate < 1:
        worth = total**2 / sum(weight**2 for weight in weights)
        far = 0.0 if n >= population else 1 - 0.025 ** (1 / worth)
        low, high = (0.0, far) if rate == 0 else (1 - far, 1.0)
        return Rate(rate, low, high, "Hájek, exact binomial of the effective size")
    spread = [(bad - rate) * weight / total for bad, weight in zip(rejected, weights, strict=True)]
    chances = [1 - p for p in inclusion]
    free = sum(chances)
    middle = sum(c * d for c, d in zip(chances, spread, strict=True)) / free if free else 0.0
    variance = n / max(1, n - 1) * sum(c * (d - middle) ** 2 for c, d in zip(chances, spread, strict=True))
    wide = Z * math.sqrt(variance) / (rate * (1 - rate))
    odds = math.log(rate / (1 - rate))
    return Rate(rate, _expit(odds - wide), _expit(odds + wide), "Hájek, logit interval")


def horvitz_thompson(values: Sequence[float], inclusion: Sequence[float]) -> float:
    """The total over the population, unbiased: each value over its probability. Source: Horvitz & Thompson 1952."""
    return sum(value / p for value, p in zip(values, inclusion, strict=True))


def _tail(found: int, drawn: int, total: int, population: int) -> float:
    """The chance to find so many or more, if `total` of the population are rejected."""
    if found == 0:
        return 1.0
    most = min(drawn, total)
    if found > most:
        return 0.0
    lowest = max(found, drawn + total - population)
    whole = _log_choose(population, drawn)
    terms = (
        _log_choose(total, k) + _log_choose(population - total, drawn - k) - whole for k in range(lowest, most + 1)
    )
    return min(1.0, math.fsum(math.exp(term) for term in terms))


def _least(holds: Callable[[int], bool], low: int, high: int) -> int:
    """The least number from `low` to `high` for which it holds, as it does from there on."""
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def _expit(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))
