"""The points of the curves on an evaluation's page: ROC, reliability, risk against coverage. n cases, r resamples."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from clinimm.bootstrap import FEWEST_PATIENTS, Weights, resampled
from clinimm.evaluation.answers import Answers
from clinimm.metrics import NORMAL_95
from clinimm.selective import Selection, judge_selection
from clinimm.types import rounded

GRID = tuple(i / 40 for i in range(41))  # false-positive rates at which the ROC's band is told
BINS, FEWEST_IN_BIN = 10, 10


@dataclass(frozen=True)
class Roc:
    """Sensitivity at each false-positive rate of GRID, and the 95 % band by drawing patients, rate by rate; no band
    where patients are too few."""

    name: str
    rates: tuple[float, ...]
    sensitivity: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True)
class Bin:
    """Cases of like probability: the mean of what was said, the share that came true, and its 95 % interval."""

    cases: int
    patients: int
    said: float
    came: float
    low: float
    high: float


@dataclass(frozen=True)
class Reliability:
    name: str
    bins: tuple[Bin, ...]


@dataclass(frozen=True)
class Curves:
    """`rocs` and `reliabilities` have all inputs first, then each alone; nothing where a class is missing. `selection`
    is of decisions at one half, with all inputs."""

    target: str
    rocs: tuple[Roc, ...]
    reliabilities: tuple[Reliability, ...]
    selection: Selection | None

    def record(self) -> dict[str, Any]:
        """Plain JSON types, numbers to 6 places."""
        return {
            "target": self.target,
            "roc": [_rounded(asdict(one)) for one in self.rocs],
            "reliability": [_rounded(asdict(one)) for one in self.reliabilities],
            "selection": None if self.selection is None else self.selection.record(),
        }


def curves(answers: Answers, *, bootstrap: int = 1000, seed: int = 0) -> tuple[Curves, ...]:
    """One per target: all inputs, and each input alone on the cases that have it."""
    return tuple(_of_target(answers, target, bootstrap, seed) for target in answers.scores.target_names)


def _of_target(answers: Answers, target: str, bootstrap: int, seed: int) -> Curves:
    scores, j = answers.scores, answers.scores.target_names.index(target)
    rocs, reliabilities, selection = [], [], None
    for subset in dict.fromkeys((scores.whole, *scores.modalities)):
        rows = scores.known(target) & scores.answered(subset)
        labels, p = answers.labels(target)[rows], answers.probabilities[subset][rows, j]
        patients = [patient for patient, row in zip(scores.patient_ids, rows, strict=True) if row]
        if len(np.unique(labels)) < 2:
            continue
        rocs.append(roc(subset, labels, p, patients, bootstrap=bootstrap, seed=seed))
        reliabilities.append(reliability(subset, labels, p, patients))
        if subset == scores.whole:
            selection = judge_selection(labels, p, patients, bootstrap=bootstrap, seed=seed)
    return Curves(target, tuple(rocs), tuple(reliabilities), selection)


def roc(
    name: str,
    labels: Bool[np.ndarray, " n"],
    scores: Float[np.ndarray, " n"],
    patient_ids: Sequence[str],
    *,
    bootstrap: int,
    seed: int,
) -> Roc:
    """The curve on GRID, straight between its corners as the area under it is."""

    def heights(weights: Weights) -> Float[np.ndarray, "r g"]:
        return np.stack([_roc_at(labels, scores, one) for one in weights])

    value, draws = resampled(heights, patient_ids, resamples=bootstrap, seed=seed)
    kept = draws[~np.isnan(draws).any(axis=1)]
    if len(set(patient_ids)) < FEWEST_PATIENTS or 2 * len(kept) < len(draws):
        return Roc(name, GRID, tuple(value.tolist()), (), ())
    low, high = np.quantile(kept, [0.025, 0.975], axis=0)
    return Roc(name, GRID, tuple(value.tolist()), tuple(low.tolist()), tuple(high.tolist()))


def _roc_at(
    labels: Bool[np.ndarray, " n"], scores: Float[np.ndarray, " n"], weights: Float[np.ndarray, " n"]
) -> Float[np.ndarray, " g"]:
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.r_[np.diff(scores[order]) != 0, True])
    yes = np.r_[0, np.cumsum((weights * labels)[order])[ends]]
    no = np.r_[0, np.cumsum((weights * ~labels)[order])[ends]]
    if not yes[-1] or not no[-1]:
        return np.full(len(GRID), np.nan)
    # At one false-positive rate the curve may climb: its top is what can be had there.
    last = np.flatnonzero(np.r_[np.diff(no) != 0, True])
    heights = np.interp(np.array(GRID), (no / no[-1])[last], (yes / yes[-1])[last])
    return np.asarray(heights)


def reliability(
    name: str, labels: Bool[np.ndarray, " n"], probabilities: Float[np.ndarray, " n"], patient_ids: Sequence[str]
) -> Reliability:
    """Bins of equal counts, ten of them or as many as hold ten cases each; equal probabilities stay together. The
    interval is Wilson's (1927) with a patient counted once: a bin of ten cases that all came true is not sure of it,
    where drawing them again and again would say so."""
    order = np.argsort(probabilities, kind="stable")
    wanted = max(1, min(BINS, len(labels) // FEWEST_IN_BIN))
    ordered = probabilities[order]
    cuts = {int(np.searchsorted(ordered, ordered[len(ordered) * i // wanted])) for i in range(1, wanted)} - {0}
    patients = np.asarray(patient_ids, dtype=object)[order]
    parts = np.split(np.arange(len(labels)), sorted(cuts))
    return Reliability(name, tuple(_bin(labels[order][rows], ordered[rows], patients[rows]) for rows in parts))


def _bin(labels: np.ndarray, probabilities: np.ndarray, patients: np.ndarray) -> Bin:
    count, share = len(set(patients)), float(labels.mean())
    low, high = wilson(share, count)
    return Bin(len(labels), count, float(probabilities.mean()), share, low, high)


def wilson(share: float, n: int) -> tuple[float, float]:
    """The 95 % interval of a share of `n`. Source: Wilson 1927."""
    z2 = NORMAL_95**2
    center = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = NORMAL_95 / (1 + z2 / n) * np.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return max(0.0, float(center - half)), min(1.0, float(center + half))


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(one) for one in value]
    return rounded(value) if isinstance(value, float) else value
