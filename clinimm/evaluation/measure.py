"""One row of an evaluation: how some probabilities fared on some cases, each number with its interval."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from clinimm import metrics
from clinimm.bootstrap import Estimate, Statistic, Values, Weights, patient_bootstrap

METRICS = ("auroc", "auprc", "brier", "ece", "sensitivity", "specificity")
COVERAGE = "coverage"
"""The share of cases whose conformal set holds the truth: measured where a model gives sets."""


@dataclass(frozen=True)
class Row:
    """`estimates` has every one of METRICS, and COVERAGE where the model gives sets; sensitivity and specificity are at
    the threshold set on validation."""

    name: str
    cases: int
    patients: int
    positives: int
    estimates: dict[str, Estimate]

    def record(self) -> dict[str, Any]:
        counts = {"name": self.name, "cases": self.cases, "patients": self.patients, "positives": self.positives}
        return {**counts, "metrics": {name: estimate.record() for name, estimate in self.estimates.items()}}


def measure(
    name: str,
    labels: Bool[np.ndarray, " n"],
    probabilities: Float[np.ndarray, " n"],
    flagged: Bool[np.ndarray, " n"],
    patient_ids: Sequence[str],
    *,
    covered: Bool[np.ndarray, " n"] | None = None,
    bootstrap: int,
    seed: int,
) -> Row:
    """Every metric of these answers, all intervals on the same draws of patients. `covered` says whose conformal set
    holds the truth."""
    measured = statistics(labels, probabilities, flagged, covered)
    estimates = patient_bootstrap(measured, patient_ids, resamples=bootstrap, seed=seed)
    return Row(name, len(labels), len(set(patient_ids)), int(labels.sum()), estimates)


def statistics(
    labels: Bool[np.ndarray, " n"],
    probabilities: Float[np.ndarray, " n"],
    flagged: Bool[np.ndarray, " n"],
    covered: Bool[np.ndarray, " n"] | None = None,
) -> dict[str, Statistic]:
    """Each metric of these answers, still open to the weights of the cases."""
    found: dict[str, Statistic] = {
        "auroc": partial(metrics.weighted_auroc, labels, probabilities),
        "auprc": partial(metrics.weighted_auprc, labels, probabilities),
        "brier": partial(metrics.weighted_brier, labels, probabilities),
        "ece": partial(metrics.weighted_ece, labels, probabilities),
        "sensitivity": partial(metrics.weighted_sensitivity, labels, flagged),
        "specificity": partial(metrics.weighted_specificity, labels, flagged),
    }
    return found if covered is None else found | {COVERAGE: partial(weighted_share, covered)}


def weighted_share(held: Bool[np.ndarray, " n"], weights: Weights) -> Values:
    """The share of cases of which something holds; NaN where no case has weight."""
    total = weights.sum(axis=1)
    return np.divide(weights @ held, total, out=np.full(len(weights), np.nan), where=total > 0)


@dataclass(frozen=True)
class Gain:
    """By how much one AUROC exceeds another on the cases that both answer."""

    name: str
    over: str
    cases: int
    auroc: Estimate

    def record(self) -> dict[str, Any]:
        return {"name": self.name, "over": self.over, "cases": self.cases, "auroc": self.auroc.record()}

    @property
    def clear(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.auroc.clear
