"""Tests of an explanation's own arithmetic; one that fails makes its picture not reliable."""

from clinimm.types import Check

FLOOR = 1e-3
"""A gap of this many logits is always good enough: below it float32 rounding is all there is to see."""

EFFICIENCY_LIMIT = 1e-3
AGREEMENT_LIMIT = 1e-3


def allowed(change: float, tolerance: float) -> float:
    """The greatest gap, in logits, of maps that explain this change of the logit."""
    return max(tolerance * abs(change), FLOOR)


def completeness(total: float, change: float, tolerance: float) -> Check:
    """The relative gap between what the maps sum to and the `change` of the logit from baseline to case.

    The change is taken as `FLOOR / tolerance` at least, so that the check passes exactly if the gap is `allowed`."""
    return Check("completeness", abs(total - change) / max(abs(change), FLOOR / tolerance), tolerance)


def efficiency(total: float, logit: float, prior: float) -> Check:
    """The distance in logits between what the Shapley values sum to and the case's logit above the prior."""
    return Check("efficiency", abs(total - (logit - prior)), EFFICIENCY_LIMIT)


def agreement(explained: float, served: float) -> Check:
    """The distance in logits between the answer that is explained and the one that was given."""
    return Check("agreement", abs(explained - served), AGREEMENT_LIMIT)
