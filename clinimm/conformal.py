"""Sets of answers that hold the truth as often as they promise, for every pattern of inputs. n cases, k targets.

For a target the set is {no}, {yes}, both or neither: an answer is in it when its calibrated probability is no less than
a limit, which all but `alpha` of the calibration cases with that answer reach (split conformal prediction; Vovk,
Gammerman & Shafer 2005). Each answer has its own limit (Mondrian, by label), so that the few ill are covered as often
as the many well, and each pattern of inputs its own two, so that nobody's coverage is paid for by the others'. The
empty set is kept, not filled: it says that either answer would be odder than in nine of ten cases, and filling it would
make a promise of 90 % one of 95 %.

The promise is for cases drawn like the calibration cases. Those that came with the pattern are; those that had more,
with the rest hidden, are only if inputs are missing by chance. Where own cases are few the others join them, weighed so
that they look like them: see `tilt`. Each limit says what it stands on. No torch, no pickle."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import logit

from clinimm.errors import ArtifactError
from clinimm.platt import logistic
from clinimm.scores import Scores, members, subsets

ENOUGH_OWN = 100  # cases of one answer: their quantile is then good to 3 points, and needs no assumption
FEWEST = 20
SHIFT_HOLD = 5.0  # precision of the prior on a tilt: none without reason
SMALLEST = 1e-12

Numbers: TypeAlias = Float[np.ndarray, " n"]
Probabilities: TypeAlias = Mapping[str, Float[np.ndarray, "n k"]]
Sets: TypeAlias = Bool[np.ndarray, "n k 2"]


class Basis(StrEnum):
    """What a limit stands on, best first."""

    OWN = "own"  # cases that came with just this pattern
    TILTED = "tilted"  # these, and cases that have more, the rest hidden, weighed to look like these
    MASKED = "masked"  # none came with it: cases that have more, the rest hidden
    COUNT = "count"  # cases that came with as many inputs
    POOLED = "pooled"  # all cases, as they came
    NONE = "none"  # too few even so: the answer is in every set


@dataclass(frozen=True)
class Limit:
    """An answer is in the set when its probability is `value` or more. `cases` had this answer, `own` of them came with
    the pattern; `effective` is what they count for after weighing (Kish 1965)."""

    basis: Basis
    value: float
    cases: int
    own: int
    effective: float


@dataclass(frozen=True)
class Limits:
    no: Limit
    yes: Limit

    @property
    def basis(self) -> Basis:
        """The worse of the two."""
        return max(self.no.basis, self.yes.basis, key=list(Basis).index)


@dataclass(frozen=True)
class Conformal:
    """The limits of every pattern, per target in the model's order; the pattern "" is for one never heard of."""

    alpha: float
    targets: dict[str, dict[str, Limits]]

    @staticmethod
    def fit(scores: Scores, probabilities: Probabilities, *, alpha: float, by_label: bool = True) -> "Conformal":
        """Limits from cases that the model was not trained on; `probabilities` are calibrated, for every subset of
        `scores`. Without `by_label` both answers share one limit, and only the two together keep the promise."""
        answers = (False, True) if by_label else (None, None)

        def limits(target: str, pattern: str) -> Limits:
            no, yes = (_Cases.of(scores, probabilities, target, pattern, answer).limit(alpha) for answer in answers)
            return Limits(no, yes)

        patterns = ("", *subsets(scores.modalities))
        return Conformal(alpha, {name: {p: limits(name, p) for p in patterns} for name in scores.target_names})

    def sets(self, probabilities: Float[np.ndarray, "n k"], patterns: Sequence[str]) -> Sets:
        """Whether no, and whether yes, is in the set of each case and target. NaN is in no set."""
        names = np.asarray(patterns, dtype=object)
        result = np.zeros((*probabilities.shape, 2), bool)
        for pattern in set(patterns):
            rows = np.flatnonzero(names == pattern)
            for j, target in enumerate(self.targets):
                limits = self.limits(target, pattern)
                result[rows, j, 0] = 1 - probabilities[rows, j] >= limits.no.value
                result[rows, j, 1] = probabilities[rows, j] >= limits.yes.value
        return result

    def limits(self, target: str, pattern: str) -> Limits:
        patterns = self.targets[target]
        return patterns.get(pattern, patterns[""])

    def record(self) -> dict[str, Any]:
        """As plain JSON types. The order of the targets is told apart: that of a JSON object's names means nothing."""
        return asdict(self) | {"order": list(self.targets)}

    @staticmethod
    def from_record(values: Any) -> "Conformal":
        """The limits that `record` told, to the last bit. Raises ArtifactError."""
        try:
            targets = {
                name: {
                    pattern: Limits(_read(two["no"]), _read(two["yes"]))
                    for pattern, two in values["targets"][name].items()
                }
                for name in values["order"]
            }
            return Conformal(float(values["alpha"]), targets)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ArtifactError("the conformal limits cannot be read", mend="train the model again") from error


def holds(sets: Bool[np.ndarray, "n 2"], labels: Bool[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """Which sets of one target hold the true answer."""
    return np.asarray(np.where(labels, sets[:, 1], sets[:, 0]))


def lower_limit(values: Numbers, weights: Numbers, alpha: float) -> float:
    """The largest of the values that a new one, drawn like them, falls below with probability `alpha` at most; minus
    infinity where they are too few for any.

    Source: Papadopoulos et al. 2002 (the floor(alpha (n + 1))-th smallest of n alike); Tibshirani et al. 2019, eq. 7
    (weighed). Differs: the new case gets the weight that it has among `effective` equal ones, not its own, so that the
    limit of a pattern is one number that can be printed."""
    order = np.argsort(values)
    n = effective(weights)
    below = np.cumsum(weights[order]) / max(float(weights.sum()), SMALLEST) * n / (n + 1)
    reached = int(np.searchsorted(below, alpha + SMALLEST, side="right"))
    return float(values[order][reached - 1]) if reached else -np.inf


def effective(weights: Numbers) -> float:
    """How many equal cases these weighed ones are worth. Source: Kish 1965, Survey Sampling, 11.7."""
    total = float(weights.sum())
    return total**2 / float(weights @ weights) if total else 0.0


def tilt(own: Float[np.ndarray, " p"], others: Float[np.ndarray, " q"]) -> Numbers:
    """Weights of `own` and then of `others` under which all of them together are distributed as `own` are.

    The two are taken to differ by a factor exp(a + b z + c z^2) of their densities, which a logistic regression of
    whose a case is finds; both then carry the weight of that factor over their mixture. A prior holds the factor at
    one, so that few own cases change little. Source: Qin 1998, Inferences for case-control and semiparametric
    two-sample density ratio models; measured in benchmarks/conformal_coverage.py."""
    values = np.concatenate([own, others])
    if not len(own) or not len(others):
        return np.ones(len(values))
    z = (values - others.mean()) / (others.std() or 1.0)
    x = np.stack([np.ones_like(z), z, (z**2 - 1) / 2], axis=1)
    mine = np.arange(len(values)) < len(own)
    odds = np.full(len(values), np.log(len(own) / len(others)))
    once = np.ones((1, len(values)))
    found = logistic(
        x, odds, mine[None, :].astype(float), once, np.zeros((1, 3)), np.array([0, SHIFT_HOLD, SHIFT_HOLD])
    )
    factor = np.exp(np.clip(x @ found[0], -30, 30))
    return np.asarray(factor / (len(others) + len(own) * factor))


@dataclass(frozen=True)
class _Cases:
    """The probabilities that calibration cases gave an answer that was theirs, by how near they are to a pattern."""

    own: np.ndarray
    more: np.ndarray
    alike: np.ndarray
    came: np.ndarray

    @staticmethod
    def of(scores: Scores, probabilities: Probabilities, target: str, pattern: str, answer: bool | None) -> "_Cases":
        """Of the cases whose answer is `answer`, or of all."""
        j = scores.target_names.index(target)
        labels = scores.targets[:, j] > 0.5
        rows = scores.known(target) & scores.answered(scores.whole) & ((labels == answer) | (answer is None))

        def given(subset: str, chosen: Bool[np.ndarray, " n"]) -> Float[np.ndarray, " r"]:
            yes = probabilities[subset][rows & chosen, j]
            return np.asarray(np.where(labels[rows & chosen], yes, 1 - yes))

        own = scores.came(pattern)
        more = scores.has(pattern) & ~own & bool(pattern)
        alike = scores.present.sum(axis=1) == len(members(pattern))
        whole = scores.whole
        return _Cases(given(whole, own), given(pattern or whole, more), given(whole, alike), given(whole, rows))

    def limit(self, alpha: float) -> Limit:
        """From the nearest cases that are enough."""
        if len(self.own) >= ENOUGH_OWN:
            return _limit(Basis.OWN, self.own, np.ones(len(self.own)), len(self.own), alpha)
        near = np.concatenate([self.own, self.more])
        weights = tilt(_odds(self.own), _odds(self.more))
        if effective(weights) >= FEWEST:
            basis = Basis.MASKED if not len(self.own) else Basis.TILTED if len(self.more) else Basis.OWN
            return _limit(basis, near, weights, len(self.own), alpha)
        basis, values = (Basis.COUNT, self.alike) if len(self.alike) >= FEWEST else (Basis.POOLED, self.came)
        return _limit(basis, values, np.ones(len(values)), len(self.own), alpha)


def _limit(basis: Basis, values: Numbers, weights: Numbers, own: int, alpha: float) -> Limit:
    value = lower_limit(values, weights, alpha)
    if np.isinf(value):
        basis, value = Basis.NONE, 0.0
    return Limit(basis, value, len(values), own, effective(weights))


def _odds(probabilities: Numbers) -> Numbers:
    return np.asarray(logit(np.clip(probabilities, SMALLEST, 1 - SMALLEST)))


def _read(values: Mapping[str, Any]) -> Limit:
    return Limit(**{**values, "basis": Basis(values["basis"])})
