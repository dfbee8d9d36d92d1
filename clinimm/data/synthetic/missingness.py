"""Which inputs of a case are hidden, and what that depends on.

Source of the three kinds: Rubin 1976, "Inference and missing data"."""

import math
from collections.abc import Mapping
from enum import StrEnum
from functools import cache

import numpy as np

from clinimm.types import Kind

STRENGTH = 1.2
Leans = tuple[tuple[float, float], ...]
"""A population: each leaning toward being hidden, and its share."""


class Missing(StrEnum):
    """Completely at random; by site and age, which are observed; by what the hidden input itself would have shown."""

    MCAR = "mcar"
    MAR = "mar"
    MNAR = "mnar"


def hidden_probability(lean: float, rate: float, leans: Leans) -> float:
    """Chance that an input is hidden: logistic in `lean`, with the offset that makes its mean over the population
    equal `rate`."""
    if rate <= 0:
        return 0.0
    return _logistic(_offset(rate, leans) + STRENGTH * lean)


def draw_present(rng: np.random.Generator, hidden: Mapping[Kind, float], always_one: bool = True) -> frozenset[Kind]:
    """The inputs that a case keeps. With `always_one`, a case that would lose all keeps one at random."""
    draws = rng.random(len(hidden))
    spared = list(hidden)[int(rng.integers(len(hidden)))]
    present = frozenset(kind for kind, draw in zip(hidden, draws, strict=True) if draw >= hidden[kind])
    return present or (frozenset({spared}) if always_one else present)


@cache
def _offset(rate: float, leans: Leans) -> float:
    """Bisection: the mean is monotone in the offset."""
    low, high = -40.0, 40.0
    for _ in range(60):
        middle = (low + high) / 2
        mean = sum(share * _logistic(middle + STRENGTH * lean) for lean, share in leans)
        low, high = (middle, high) if mean < rate else (low, middle)
    return (low + high) / 2


def _logistic(value: float) -> float:
    return 1 / (1 + math.exp(-value))
