"""How likely a result is to hold a fault that a person would find, by what is known of it: only so much that those with
more reasons to look are drawn more often. It is a size to draw by and no probability; rates are not biased by it, since
each result is then weighted by one over its probability of being drawn."""

from dataclasses import dataclass

BASE = 1.0
"""Of every result: none has no chance to be drawn, without which no rate could be estimated."""
WEIGHTS = {
    "abstained": 2.0,
    "not_reliable": 2.0,
    "again": 3.0,
    "conflict": 2.0,
    "missing": 1.0,
    "undecided": 1.0,
    "close": 1.0,
}
SAID = {
    "abstained": "a target was abstained from",
    "not_reliable": "its explanations are not reliable",
    "again": "it asks to be reviewed again",
    "conflict": "its inputs disagree, or contradict each other",
    "missing": "an input is missing or was refused",
    "undecided": "the answers that cannot be ruled out are not just one",
    "close": "a probability is within 0.1 of its threshold",
}
CLOSE = 0.1


@dataclass(frozen=True)
class Signs:
    """What is known of a result that makes a fault likelier."""

    abstained: bool = False
    not_reliable: bool = False
    again: bool = False
    conflict: bool = False
    missing: bool = False
    undecided: bool = False
    close: bool = False


def risk(signs: Signs) -> float:
    """One, and the weight of each sign: from 1 to 13."""
    return BASE + sum(weight for name, weight in WEIGHTS.items() if getattr(signs, name))
