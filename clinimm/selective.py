"""What is gained by answering only the cases one is sure of. n cases, r resamples, g levels of confidence, c coverages.

Sorted from the surest case down, the risk of the first so many is the mean loss among them; the share that is answered
is the coverage. A confidence is worth something if the risk falls as the coverage does. Each number comes for every row
of case weights (r, n), as in `metrics`; a whole weight counts as that many copies, and cases of equal confidence come
in any order alike: every number is the mean over these orders."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import digamma, logit

from clinimm.bootstrap import Estimate, Values, Weights, patient_bootstrap

Numbers: TypeAlias = Float[np.ndarray, " n"]
COVERAGES = tuple(i / 10 for i in range(1, 11))
RISKS = (0.05, 0.1, 0.2)
SMALLEST = 1e-12


def confidence(probabilities: Numbers, threshold: float = 0.5) -> Numbers:
    """Log odds between a calibrated probability and the threshold of its decision: at 0.5 this sorts cases as the
    larger of p and 1 - p does; elsewhere a case is unsure where its decision could go either way, not at one half."""
    return np.asarray(np.abs(_odds(probabilities) - _odds(np.array([threshold]))))


def aurc(losses: Numbers, sure: Numbers) -> float:
    """Mean risk over all coverages: the area under the risk-coverage curve; 0 is perfect.

    Source: Geifman & El-Yaniv 2017, Selective classification for deep neural networks; Geifman et al. 2019, eq. 3."""
    return float(weighted_aurc(losses, sure, np.ones((1, len(losses))))[0])


def excess_aurc(losses: Numbers, sure: Numbers) -> float:
    """How much of the area is the confidence's fault: less that of an order that knows the losses.

    Source: Geifman et al. 2019, Bias-reduced uncertainty estimation for deep neural classifiers, section 4."""
    return float(weighted_excess_aurc(losses, sure, np.ones((1, len(losses))))[0])


def weighted_aurc(losses: Numbers, sure: Numbers, weights: Weights) -> Values:
    """Within a level the expected loss of the first i is a line in i, so that its sum of risks is one of 1 / i."""
    mass, loss = _curve(losses, sure, weights)
    width, gained = np.diff(mass, axis=1), np.diff(loss, axis=1)
    slope = np.divide(gained, width, out=np.zeros_like(width), where=width > 0)
    harmonic = np.diff(digamma(mass + 1), axis=1)
    area = (gained + (loss[:, :-1] - slope * mass[:, :-1]) * harmonic).sum(axis=1)
    return _ratio(area, mass[:, -1])


def weighted_excess_aurc(losses: Numbers, sure: Numbers, weights: Weights) -> Values:
    return weighted_aurc(losses, sure, weights) - weighted_aurc(losses, -losses, weights)


def risks_at(losses: Numbers, sure: Numbers, weights: Weights, coverages: Sequence[float]) -> Float[np.ndarray, "r c"]:
    """The risk of the surest share of the cases, for each share."""
    mass, loss = _curve(losses, sure, weights)
    wanted = mass[:, -1:] * np.asarray(coverages, dtype=np.float64)
    reached = [np.interp(at, m, c) for at, m, c in zip(wanted, mass, loss, strict=True)]
    return np.divide(reached, wanted, out=np.full_like(wanted, np.nan), where=wanted > 0)


def weighted_coverage_at(losses: Numbers, sure: Numbers, weights: Weights, risk: float) -> Values:
    """The largest share of the cases that can be answered at this risk or less, by a limit on the confidence."""
    mass, loss = _curve(losses, sure, weights)
    within = (mass > 0) & (loss <= risk * mass + SMALLEST)
    return _ratio(np.where(within, mass, 0).max(axis=1), mass[:, -1])


def weighted_rise(losses: Numbers, sure: Numbers, weights: Weights, coverages: Sequence[float] = COVERAGES) -> Values:
    """The most by which the risk of a smaller coverage exceeds that of a larger one; 0 where it only falls."""
    risks = risks_at(losses, sure, weights, sorted(coverages))
    least = np.minimum.accumulate(risks[:, ::-1], axis=1)[:, ::-1]
    return np.asarray((risks - least).max(axis=1))


@dataclass(frozen=True)
class Selection:
    """How far the confidence of one target can be used to choose whom to answer. `risks` is by coverage, `coverages`
    by risk; a risk is a share of wrong decisions."""

    cases: int
    aurc: Estimate
    excess: Estimate
    risks: dict[float, Estimate]
    coverages: dict[float, Estimate]
    rise: Estimate
    steps: dict[float, Estimate]

    @property
    def monotone(self) -> bool:
        """Whether no tenth of the cases that is given up was clearly better than those that were kept."""
        return all(step.low is None or step.low <= 0 for step in self.steps.values())

    def record(self) -> dict[str, Any]:
        def told(by: dict[float, Estimate]) -> dict[str, Any]:
            return {f"{at:g}": estimate.record() for at, estimate in by.items()}

        areas = {"cases": self.cases, "aurc": self.aurc.record(), "excess_aurc": self.excess.record()}
        risks = {"risk_at_coverage": told(self.risks), "coverage_at_risk": told(self.coverages)}
        return areas | risks | {"largest_rise": self.rise.record(), "monotone": self.monotone}


def judge_selection(
    labels: Bool[np.ndarray, " n"],
    probabilities: Numbers,
    patient_ids: Sequence[str],
    *,
    threshold: float = 0.5,
    bootstrap: int,
    seed: int,
) -> Selection:
    """The selection by `confidence` among decisions at `threshold`, all intervals on the same draws of patients."""
    wrong = ((probabilities >= threshold) != labels).astype(np.float64)
    sure = confidence(probabilities, threshold)

    def risk(coverage: float, weights: Weights) -> Values:
        return np.asarray(risks_at(wrong, sure, weights, [coverage])[:, 0])

    def step(coverage: float, weights: Weights) -> Values:
        risks = risks_at(wrong, sure, weights, [coverage, coverage + 0.1])
        return np.asarray(risks[:, 0] - risks[:, 1])

    statistics = {
        "aurc": partial(weighted_aurc, wrong, sure),
        "excess": partial(weighted_excess_aurc, wrong, sure),
        "rise": partial(weighted_rise, wrong, sure),
        **{f"risk {at}": partial(risk, at) for at in COVERAGES},
        **{f"step {at}": partial(step, at) for at in COVERAGES[:-1]},
        **{f"coverage {at}": partial(weighted_coverage_at, wrong, sure, risk=at) for at in RISKS},
    }
    found = patient_bootstrap(statistics, patient_ids, resamples=bootstrap, seed=seed)
    return Selection(
        cases=len(labels),
        aurc=found["aurc"],
        excess=found["excess"],
        risks={at: found[f"risk {at}"] for at in COVERAGES},
        coverages={at: found[f"coverage {at}"] for at in RISKS},
        rise=found["rise"],
        steps={at: found[f"step {at}"] for at in COVERAGES[:-1]},
    )


def _curve(
    losses: Numbers, sure: Numbers, weights: Weights
) -> tuple[Float[np.ndarray, "r h"], Float[np.ndarray, "r h"]]:
    """Weight and loss of all cases down to each level of confidence, the surest first, both from zero."""
    order = np.argsort(-sure, kind="stable")
    ordered = sure[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]][: len(ordered)])
    mass = np.add.reduceat(weights[:, order], starts, axis=1)
    loss = np.add.reduceat(weights[:, order] * losses[order], starts, axis=1)
    return _from_zero(mass), _from_zero(loss)


def _from_zero(counts: Float[np.ndarray, "r g"]) -> Float[np.ndarray, "r h"]:
    return np.pad(np.cumsum(counts, axis=1), ((0, 0), (1, 0)))


def _ratio(above: Values, below: Values) -> Values:
    return np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0)


def _odds(probabilities: Float[np.ndarray, " _"]) -> Float[np.ndarray, " _"]:
    return np.asarray(logit(np.clip(probabilities, SMALLEST, 1 - SMALLEST)))
