"""Intervals by drawing patients, not cases, again and again. n cases, r resamples.

Cases of one patient are alike, so resampling cases would make every interval too narrow. Source: Efron & Tibshirani
1993, An Introduction to the Bootstrap, ch. 13 (percentile interval); Field & Welsh 2007 (whole clusters are drawn)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float

from clinimm.types import rounded

Weights: TypeAlias = Float[np.ndarray, "r n"]
Values: TypeAlias = Float[np.ndarray, " r"]
Statistic: TypeAlias = Callable[[Weights], Values]

BLOCK = 1 << 22  # numbers in one block of weights: 32 MB, whatever the size of the cohort
FEWEST_PATIENTS = 5


@dataclass(frozen=True)
class Estimate:
    """A number and its 95 % interval. `value` is None where it is undefined (one class only), `low` and `high` where
    fewer than 5 patients, or fewer than half of the resamples, could be used. `dropped` counts the resamples on which
    the number was undefined."""

    value: float | None
    low: float | None
    high: float | None
    resamples: int
    dropped: int

    @property
    def clear(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low is not None and self.high is not None and self.low * self.high > 0

    def record(self) -> dict[str, Any]:
        interval = None if self.low is None else [rounded(self.low), rounded(self.high)]
        return {"value": rounded(self.value), "interval": interval, "dropped": self.dropped}


def patient_weights(patient_ids: Sequence[str], *, resamples: int, seed: int) -> Iterator[Weights]:
    """How often each case counts in each resample, in blocks of resamples. All cases of a patient count alike.

    The same patients in the same order and the same seed give the same draws."""
    patients, patient = np.unique(np.asarray(patient_ids), return_inverse=True)
    rng = np.random.default_rng(seed)
    rows = max(1, BLOCK // max(1, len(patient)))
    for start in range(0, resamples, rows):
        shape = min(rows, resamples - start)
        draws = rng.multinomial(len(patients), np.full(len(patients), 1 / len(patients)), size=shape)
        yield draws[:, patient].astype(np.float64)


def patient_bootstrap(
    statistics: Mapping[str, Statistic], patient_ids: Sequence[str], *, resamples: int, seed: int
) -> dict[str, Estimate]:
    """Each statistic of the cases with its 95 % percentile interval, all on the same draws of patients.

    A statistic takes weights (r, n) and returns its value for each row, NaN where it is undefined."""
    if not patient_ids:
        return {name: Estimate(None, None, None, resamples, 0) for name in statistics}

    def together(weights: Weights) -> Float[np.ndarray, "r j"]:
        return np.stack([statistic(weights) for statistic in statistics.values()], axis=1)

    values, draws = resampled(together, patient_ids, resamples=resamples, seed=seed)
    patients = len(set(patient_ids))
    return {name: estimate(values[j], draws[:, j], patients) for j, name in enumerate(statistics)}


def resampled(
    statistics: Callable[[Weights], Float[np.ndarray, "r j"]], patient_ids: Sequence[str], *, resamples: int, seed: int
) -> tuple[Float[np.ndarray, " j"], Float[np.ndarray, "t j"]]:
    """What `statistics` (j numbers per row of weights) says of the cases, and of each of the t resamples: for numbers
    that are made of several others, each resample must be drawn for all of them at once."""
    blocks = patient_weights(patient_ids, resamples=resamples, seed=seed)
    draws = np.concatenate([statistics(weights) for weights in blocks])
    return statistics(np.ones((1, len(patient_ids))))[0], draws


def paired_bootstrap_difference(
    first: Statistic, second: Statistic, patient_ids: Sequence[str], *, resamples: int, seed: int
) -> Estimate:
    """`first - second` on the same cases, both taken on the same draws of patients."""

    def difference(weights: Weights) -> Values:
        return first(weights) - second(weights)

    return patient_bootstrap({"difference": difference}, patient_ids, resamples=resamples, seed=seed)["difference"]


def estimate(value: float, drawn: Values, patients: int, *, level: float = 0.95) -> Estimate:
    """A number with the percentile interval of its draws, NaN being a draw on which it was undefined."""
    kept = drawn[~np.isnan(drawn)]
    dropped = len(drawn) - len(kept)
    if np.isnan(value):
        return Estimate(None, None, None, len(drawn), dropped)
    if patients < FEWEST_PATIENTS or 2 * len(kept) < len(drawn):
        return Estimate(float(value), None, None, len(drawn), dropped)
    low, high = np.quantile(kept, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(float(value), float(low), float(high), len(drawn), dropped)
