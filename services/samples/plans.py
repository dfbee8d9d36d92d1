"""How a sample is drawn: each unit's probability of being in it is known beforehand, whatever the draw then gives."""

import random
from collections.abc import Sequence
from itertools import accumulate

RANDOM, RISK_WEIGHTED = PLANS = ("random", "risk_weighted")


def inclusions(sizes: Sequence[float], n: int) -> list[float]:
    """The probability of each unit to be among `n`: in proportion to its size, and 1 where that would be more, the
    others then sharing what is left; they sum to `n`. Equal sizes give n/N. `sizes` are positive.

    Source: Särndal, Swensson & Wretman 1992, Model Assisted Survey Sampling, section 3.6.2."""
    found = [0.0] * len(sizes)
    left, open_units = min(n, len(sizes)), sorted(range(len(sizes)), key=lambda unit: -sizes[unit])
    total, certain = sum(sizes), 0
    for unit in open_units:  # the largest first: once one is not certain, no smaller one is
        if left - certain <= 0 or sizes[unit] * (left - certain) < total:
            break
        found[unit], total, certain = 1.0, total - sizes[unit], certain + 1
    rest = open_units[certain:]
    total = sum(sizes[unit] for unit in rest)
    for unit in rest:
        found[unit] = sizes[unit] * (left - certain) / total
    return found


def draw(inclusion: Sequence[float], seed: int) -> list[int]:
    """The places of the units drawn, in their order: just as many as the probabilities sum to, each unit with its own.

    Systematic sampling over units in random order: the line of all probabilities end to end is met at one random start
    and at each whole step after it. Equal probabilities make it simple random sampling without replacement, since then
    every set of n is as likely. Source: Madow 1949, On the theory of systematic sampling, II."""
    rng = random.Random(seed)
    order = list(range(len(inclusion)))
    rng.shuffle(order)
    start = rng.random()
    ends = list(accumulate((inclusion[unit] for unit in order), initial=0.0))
    ends[-1] = float(round(ends[-1]))  # what rounding left over must not lose the last unit
    met = (unit for unit, low, high in zip(order, ends, ends[1:], strict=False) if _steps(low, high, start))
    return sorted(met)


def _steps(low: float, high: float, start: float) -> bool:
    """Whether a whole step after the start lies in [low, high), which is at most 1 long."""
    step = -((start - low) // 1)  # the first k with start + k >= low
    return start + step < high
