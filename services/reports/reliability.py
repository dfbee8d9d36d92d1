"""What a report says of its own explanations, in short: whether to rely on them, and each input's part in them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

TRUSTED, NOT_RELIABLE, UNEXPLAINED = "trusted", "not_reliable", "unexplained"


@dataclass(frozen=True)
class Reliability:
    """`word` is trusted, not_reliable, unexplained or unknown; `shares` sum to 1 over the inputs, or there are none."""

    word: str
    shares: Mapping[str, float] = field(default_factory=dict)


UNKNOWN = Reliability("unknown")


def reliability_of(record: Mapping[str, Any]) -> Reliability:
    """Trusted only where every explanation passed all of its checks. The share of an input is its absolute Shapley
    value over the sum of all inputs', the mean over the targets that are explained."""
    explanations: Sequence[Mapping[str, Any]] = record["explanations"]
    if not explanations:
        return Reliability(UNEXPLAINED)
    word = TRUSTED if all(one["trusted"] for one in explanations) else NOT_RELIABLE
    shares = [found for one in explanations if (found := _shares(one["shapley"]))]
    names = shares[0] if shares else {}
    return Reliability(word, {name: round(fmean(one[name] for one in shares), 6) for name in names})


def _shares(shapley: Mapping[str, float | None]) -> dict[str, float]:
    sizes = {name: abs(value or 0.0) for name, value in shapley.items()}
    total = sum(sizes.values())
    return {name: size / total for name, size in sizes.items()} if total else {}
