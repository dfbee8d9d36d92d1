"""From logits to probabilities that can be believed, per target and per pattern of inputs. n cases, k targets.

A net that lost an input is not as sure as it looks, and a patient who lacks one is not like a patient whose input was
hidden: who gets an X-ray is no accident. So each pattern of inputs gets a Platt line of its own, from the cases that
came with it and, where these are few, from the nearest others: first those that have more, the rest of it hidden, then
those with as many inputs, then all. A line says which. No torch, no pickle: a calibrator is a few numbers and lives in
an artifact as JSON."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import expit

from clinimm.bootstrap import patient_weights
from clinimm.errors import ArtifactError, TrainingError
from clinimm.platt import fit_offsets, fit_parted
from clinimm.scores import Scores, members, subsets

FEWEST_FOR_PATTERN, FEWEST_FOR_POOLED = 20, 2  # cases of the rarer class
FEWEST_RESAMPLES = 20
DEFAULT_THRESHOLD = 0.5


class Level(StrEnum):
    """What a probability was calibrated on, best first. Cases that came with the pattern count in all but the last,
    and may part from the others as far as they give reason to: see `platt.fit_parted`."""

    OWN = "own"  # cases that came with just this pattern: enough of them, and those below beside them
    PATTERN = "pattern"  # cases that have all inputs of this pattern, their others hidden
    COUNT = "count"  # cases that came with as many inputs
    POOLED = "pooled"  # all cases, as they came
    SHIFT = "shift"  # too few of a class for a slope: only the mean is set to the prevalence
    IDENTITY = "identity"  # no labeled case at all: the net's own word


_NEAR = (Level.OWN, Level.PATTERN, Level.COUNT)


@dataclass(frozen=True)
class Fit:
    """probability = sigmoid(slope * logit + offset). `resampled` holds (slope, offset) for draws of the patients; `own`
    of the `cases` came with just the pattern that it is for."""

    level: Level
    slope: float
    offset: float
    cases: int
    own: int
    positives: int
    resampled: tuple[tuple[float, float], ...]

    def probability(self, logits: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        return np.asarray(expit(self.slope * logits.astype(np.float64) + self.offset))

    def interval(self, logits: Float[np.ndarray, " n"]) -> Float[np.ndarray, "n 2"]:
        """95 % interval of the probability, NaN where fewer than 20 resamples were fit; widened to hold the
        probability itself."""
        if len(self.resampled) < FEWEST_RESAMPLES:
            return np.full((len(logits), 2), np.nan)
        slopes, offsets = np.array(self.resampled).T
        low, high = np.quantile(expit(np.outer(logits, slopes) + offsets), [0.025, 0.975], axis=1)
        p = self.probability(logits)
        return np.stack([np.minimum(low, p), np.maximum(high, p)], axis=1)


@dataclass(frozen=True)
class Threshold:
    """A case is flagged when its probability is `value` or more. `sensitivity` and `specificity` are what `value`
    reached on validation; both None says that no positive was there and `value` is a mere 0.5."""

    value: float
    sensitivity: float | None
    specificity: float | None


@dataclass(frozen=True)
class TargetCalibration:
    threshold: Threshold
    pooled: Fit
    patterns: dict[str, Fit]

    def fit_for(self, pattern: str) -> Fit:
        return self.patterns.get(pattern, self.pooled)


@dataclass(frozen=True)
class Calibrator:
    """Calibrated probabilities, their intervals, and a decision threshold for each target, in the model's order."""

    targets: dict[str, TargetCalibration]

    @staticmethod
    def fit(scores: Scores, *, sensitivity: float, bootstrap: int = 100, seed: int = 0) -> "Calibrator":
        """The calibrator of a model, from its scores of validation cases.

        The threshold of a target is the highest that reaches `sensitivity` there, each case with the inputs it came
        with. Raises TrainingError if a logit is not finite."""
        if not all(np.isfinite(logits).all() for logits in scores.logits.values()):
            raise TrainingError("validation logits are not finite", where="calibration", mend="lower optim.lr")
        names = scores.target_names
        return Calibrator({name: _fit_target(scores, name, sensitivity, bootstrap, seed) for name in names})

    def apply(self, logits: Float[np.ndarray, "n k"], patterns: Sequence[str]) -> Float[np.ndarray, "n k"]:
        """Probabilities; the order of cases of one pattern is that of their logits."""
        result = np.full(logits.shape, np.nan)
        for fit, rows, j in self._groups(patterns):
            result[rows, j] = fit.probability(logits[rows, j])
        return result

    def interval(self, logits: Float[np.ndarray, "n k"], patterns: Sequence[str]) -> Float[np.ndarray, "n k 2"]:
        """95 % intervals of the probabilities under resampling of the validation patients; NaN where there is none."""
        result = np.full((*logits.shape, 2), np.nan)
        for fit, rows, j in self._groups(patterns):
            result[rows, j] = fit.interval(logits[rows, j])
        return result

    def level(self, target: str, pattern: str) -> Level:
        """What the probability of `target` is calibrated on when a case has the inputs of `pattern`."""
        return self.targets[target].fit_for(pattern).level

    @property
    def thresholds(self) -> Float[np.ndarray, " k"]:
        return np.array([calibration.threshold.value for calibration in self.targets.values()])

    def to_json(self) -> str:
        return json.dumps({name: asdict(target) for name, target in self.targets.items()}, separators=(",", ":"))

    @staticmethod
    def from_json(text: str) -> "Calibrator":
        """The calibrator that `to_json` wrote, to the last bit. Raises ArtifactError."""
        try:
            return Calibrator({name: _target(values) for name, values in json.loads(text).items()})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ArtifactError("the calibration cannot be read", mend="train the model again") from error

    def _groups(self, patterns: Sequence[str]) -> list[tuple[Fit, Bool[np.ndarray, " n"], int]]:
        names = np.asarray(patterns, dtype=object)
        targets = list(self.targets.values())
        return [
            (target.fit_for(str(pattern)), names == pattern, j)
            for pattern in sorted(set(patterns))
            for j, target in enumerate(targets)
        ]


def _fit_target(scores: Scores, target: str, sensitivity: float, bootstrap: int, seed: int) -> TargetCalibration:
    came = _Sample.came(scores, target)
    pooled = came.fit(came.best_level(), bootstrap, seed)
    fits = {}
    for pattern in subsets(scores.modalities):
        level, sample = _nearest(scores, target, pattern, came)
        if level in _NEAR or (level is Level.POOLED and sample.own.any()):
            fits[pattern] = sample.fit(level, bootstrap, seed)
    calibration = TargetCalibration(Threshold(DEFAULT_THRESHOLD, None, None), pooled, fits)
    usable = scores.known(target) & scores.answered(scores.whole)
    names = np.asarray(scores.patterns(scores.whole), dtype=object)[usable]
    probabilities = Calibrator({target: calibration}).apply(came.logits[:, None], tuple(names))[:, 0]
    return TargetCalibration(highest_threshold(came.labels, probabilities, sensitivity), calibration.pooled, fits)


def _nearest(scores: Scores, target: str, pattern: str, came: "_Sample") -> tuple[Level, "_Sample"]:
    """The best level that has enough cases, and its sample; the level of all cases where none has."""
    masked = _Sample.masked(scores, target, pattern)
    if masked.fewest >= FEWEST_FOR_PATTERN:
        return (Level.OWN if masked.fewest_own >= FEWEST_FOR_PATTERN else Level.PATTERN), masked
    alike = _Sample.came(scores, target, pattern, size=len(members(pattern)))
    if alike.fewest >= FEWEST_FOR_PATTERN:
        return Level.COUNT, alike
    return came.best_level(), _Sample.came(scores, target, pattern)


def highest_threshold(
    labels: Bool[np.ndarray, " n"], probabilities: Float[np.ndarray, " n"], sensitivity: float
) -> Threshold:
    """The highest threshold at which at least `sensitivity` of the positives is flagged."""
    positives = np.sort(probabilities[labels])[::-1]
    if not len(positives):
        return Threshold(DEFAULT_THRESHOLD, None, None)
    wanted = int(np.ceil(sensitivity * len(positives) - 1e-9))
    value = float(positives[max(wanted, 1) - 1])
    negatives = probabilities[~labels]
    specificity = float((negatives < value).mean()) if len(negatives) else None
    return Threshold(value, float((positives >= value).mean()), specificity)


@dataclass(frozen=True)
class _Sample:
    """The labeled cases that one line is fit on; `own` are those that came with just the pattern it is for."""

    logits: Float[np.ndarray, " n"]
    labels: Bool[np.ndarray, " n"]
    own: Bool[np.ndarray, " n"]
    patient_ids: tuple[str, ...]

    @staticmethod
    def came(scores: Scores, target: str, pattern: str = "", size: int | None = None) -> "_Sample":
        """Cases as they came: those with `size` inputs, or all."""
        inputs = scores.present.sum(axis=1)
        rows = np.asarray(inputs > 0 if size is None else inputs == size)
        return _Sample._of(scores, target, scores.whole, pattern, rows)

    @staticmethod
    def masked(scores: Scores, target: str, pattern: str) -> "_Sample":
        """Cases that have all inputs of `pattern`, their others hidden."""
        return _Sample._of(scores, target, pattern, pattern, scores.has(pattern))

    @staticmethod
    def _of(scores: Scores, target: str, subset: str, pattern: str, rows: Bool[np.ndarray, " n"]) -> "_Sample":
        chosen = np.flatnonzero(rows & scores.known(target))
        j = scores.target_names.index(target)
        logits = scores.logits[subset][chosen, j].astype(np.float64)
        ids = tuple(scores.patient_ids[i] for i in chosen)
        return _Sample(logits, scores.targets[chosen, j] > 0.5, scores.came(pattern)[chosen], ids)

    @property
    def fewest(self) -> int:
        """Cases of the rarer class."""
        return int(min(self.labels.sum(), (~self.labels).sum()))

    @property
    def fewest_own(self) -> int:
        return int(min((self.labels & self.own).sum(), (~self.labels & self.own).sum()))

    def best_level(self) -> Level:
        if self.fewest >= FEWEST_FOR_POOLED:
            return Level.POOLED
        return Level.SHIFT if len(self.labels) else Level.IDENTITY

    def fit(self, level: Level, bootstrap: int, seed: int) -> Fit:
        counts = len(self.labels), int(self.own.sum()), int(self.labels.sum())
        if level is Level.IDENTITY:
            return Fit(level, 1.0, 0.0, *counts, ())
        slope, offset = self._lines(level, np.ones((1, len(self.labels))))[0]
        draws = np.concatenate(list(patient_weights(self.patient_ids, resamples=bootstrap, seed=seed)))
        yes, total = draws @ self.labels, draws.sum(axis=1)
        lines = self._lines(level, draws[(yes > 0) & (yes < total)])
        return Fit(level, float(slope), float(offset), *counts, tuple(_short(a, b) for a, b in lines))

    def _lines(self, level: Level, weights: Float[np.ndarray, "r n"]) -> Float[np.ndarray, "r 2"]:
        if level is Level.SHIFT:
            return fit_offsets(self.logits, self.labels, weights)
        return fit_parted(self.logits, self.labels, weights, self.own)


def _short(slope: float, offset: float) -> tuple[float, float]:
    """Five digits: an interval needs no more, and an artifact stays small."""
    return float(f"{slope:.5g}"), float(f"{offset:.5g}")


def _target(values: Mapping[str, Any]) -> TargetCalibration:
    threshold, pooled, patterns = values["threshold"], values["pooled"], values["patterns"]
    return TargetCalibration(Threshold(**threshold), _fit(pooled), {name: _fit(fit) for name, fit in patterns.items()})


def _fit(values: Mapping[str, Any]) -> Fit:
    resampled = tuple((float(slope), float(offset)) for slope, offset in values["resampled"])
    return Fit(**{**values, "level": Level(values["level"]), "resampled": resampled})
