"""The nouns on disk and on paper: what a case is, and what is said of it. No torch: see batch.py for the device."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np


class Kind(StrEnum):
    """What sort of evidence a modality is."""

    IMAGE = "image"
    TEXT = "text"
    TABULAR = "tabular"


@dataclass(frozen=True)
class Analyte:
    """One laboratory value or vital sign as the model sees it, in UCUM `unit`.

    A value outside `plausible` is refused, never used; `reference` is the healthy range shown beside it."""

    name: str
    unit: str
    plausible: tuple[float, float] | None = None
    reference: tuple[float, float] | None = None


@dataclass(frozen=True)
class Modality:
    """An input stream, declared in the config and kept in the artifact; `shape` is without the batch axis:
    (c, h, w) or (c, h, w, d) for images, (n,) positions for text, (f,) analytes for tabular."""

    name: str
    kind: Kind
    shape: tuple[int, ...]
    analytes: tuple[Analyte, ...] = ()


class Status(StrEnum):
    """What became of one input of one case."""

    PRESENT = "present"
    ABSENT = "absent"
    STALE = "stale"
    UNREADABLE = "unreadable"
    REJECTED = "rejected"


@dataclass(frozen=True)
class InputState:
    """What became of one input of one case, and why. `reason` and `flags` are codes fit for machines,
    `detail` a sentence for people; none carries patient data. `quality` holds what was measured of an input that could
    be looked at, by the names in `data.quality.QUALITIES`, whether or not it was then used."""

    status: Status
    reason: str = ""
    detail: str = ""
    flags: tuple[str, ...] = ()
    quality: Mapping[str, float] = field(default_factory=dict, hash=False)

    @property
    def usable(self) -> bool:
        return self.status is Status.PRESENT

    def record(self) -> dict[str, Any]:
        """The state as plain JSON types."""
        told = {"status": self.status.value, "reason": self.reason, "detail": self.detail, "flags": list(self.flags)}
        return told | {"quality": {name: rounded(value) for name, value in self.quality.items()}}


class Abstention(StrEnum):
    """Every reason there is for giving no answer."""

    IDENTITY_CONFLICT = "identity_conflict"  # the inputs may be of two patients: held until a person has looked
    NO_USABLE_INPUT = "no_usable_input"
    IMAGE_REJECTED = "image_rejected"  # an image was refused, and without it nothing is left or allowed
    OOD = "ood"  # what is left is unlike anything that the model knows
    LOW_RELIABILITY = "low_reliability"  # nothing to calibrate by, or a set of answers that settles nothing
    MODALITY_DISAGREEMENT = "modality_disagreement"
    IMPLAUSIBLE_INPUT = "implausible_input"  # nothing is left but values that no living patient has
    MODEL_UNAVAILABLE = "model_unavailable"  # the model gave no number, or one that nothing can make a probability


@dataclass(frozen=True)
class Outlier:
    """How odd an input is among valid ones: `percentile` of them are less odd. `verdict` is ok, flag or block, and
    `reasons` are codes, the likeliest first."""

    percentile: float
    verdict: str
    reasons: tuple[str, ...] = ()

    def record(self) -> dict[str, Any]:
        return {"percentile": round(self.percentile, 1), "verdict": self.verdict, "reasons": list(self.reasons)}


@dataclass(frozen=True)
class Disagreement:
    """The pair of inputs that disagree most, for which target, by how much in [0, 1], and how rare that is: `chance` is
    the share of cases with two inputs or more whose inputs disagree as much."""

    inputs: tuple[str, str]
    target: str
    conflict: float
    chance: float

    def record(self) -> dict[str, Any]:
        told = {"inputs": list(self.inputs), "target": self.target}
        return told | {"conflict": rounded(self.conflict), "chance": rounded(self.chance)}


@dataclass(frozen=True)
class ImageFile:
    """One film (one path) or the files of one series. `crop` is (left, top, right, bottom), fractions of the film.
    `digests`, where the sender vouches for them, are the SHA-256 of what each path holds, in the same order."""

    paths: tuple[Path, ...]
    acquired_at: datetime | None = None
    crop: tuple[float, float, float, float] | None = None
    digests: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.digests and len(self.digests) != len(self.paths):
            raise ValueError(f"{len(self.digests)} digests of {len(self.paths)} paths")


@dataclass(frozen=True)
class Note:
    """Clean text, as `io.text` makes it; `flags` name what had to be mended on the way."""

    text: str
    acquired_at: datetime | None = None
    flags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Measurement:
    """A value in the UCUM unit it was reported in; the unit of one that is `settled` is not doubted in `io.labs`."""

    name: str
    value: float
    unit: str
    settled: bool = False


@dataclass(frozen=True)
class Measurements:
    values: tuple[Measurement, ...]
    acquired_at: datetime | None = None
    refused_before: int = 0  # of its analytes, by another door


Input = ImageFile | Note | Measurements


@dataclass(frozen=True)
class Case:
    """One diagnostic question about one patient. A missing modality is a missing key of `inputs`, with a reason in
    `absent` where one is known; an unknown target is None. `attributes` holds what is not fed in (site, sex, fold).
    `hold` is why a door wants no answer yet, such as inputs that name different patients."""

    case_id: str
    patient_id: str
    inputs: Mapping[str, Input] = field(default_factory=dict)
    targets: Mapping[str, bool | None] = field(default_factory=dict)
    index_time: datetime | None = None
    absent: Mapping[str, InputState] = field(default_factory=dict)
    attributes: Mapping[str, str] = field(default_factory=dict)
    hold: Abstention | None = None


@dataclass(frozen=True)
class TargetPrediction:
    """What is said of one target. An abstained target has `probability` None, never 0 or 0.5.

    `interval` is the 95 % interval of the calibrated probability under resampling of the validation patients: the
    uncertainty of the calibration, not of the diagnosis. `conformal_set` holds the answers (no, yes, both or neither)
    that cannot be ruled out: of cases like this one the share `coverage` has the true answer in the set;
    `conformal_level` says which cases these are."""

    target: str
    probability: float | None
    interval: tuple[float, float] | None
    threshold: float
    decision: bool | None
    logit: float | None
    abstained: Abstention | None = None
    conformal_set: tuple[bool, ...] | None = None
    coverage: float | None = None
    conformal_level: str | None = None

    def record(self) -> dict[str, Any]:
        """The answer as plain JSON types."""
        return {
            "target": self.target,
            "probability": rounded(self.probability),
            "interval": None if self.interval is None else [rounded(end) for end in self.interval],
            "threshold": rounded(self.threshold),
            "decision": self.decision,
            "logit": rounded(self.logit),
            "conformal_set": None if self.conformal_set is None else list(self.conformal_set),
            "coverage": rounded(self.coverage),
            "conformal_level": self.conformal_level,
            "abstained": None if self.abstained is None else str(self.abstained),
        }


@dataclass(frozen=True)
class NextInput:
    """What an absent input would be expected to do, by target: the mean change of the calibrated probability, either
    way, and the chance that the decision turns."""

    name: str
    expected_change: Mapping[str, float]
    flip_chance: Mapping[str, float]

    def record(self) -> dict[str, Any]:
        told = {"expected_change": self.expected_change, "flip_chance": self.flip_chance}
        return {"name": self.name} | {key: {t: rounded(v) for t, v in one.items()} for key, one in told.items()}


@dataclass(frozen=True)
class Prediction:
    """The answer for one case: per target, the gate's weight per modality (exactly 0 for an unused one), what became of
    every input, how odd each is (of those that could be looked at), how far they disagree, and which of the absent ones
    would change the answer most. `abstained` is why no target has an answer, or None."""

    case_id: str
    artifact: str
    targets: tuple[TargetPrediction, ...]
    weights: Mapping[str, float]
    inputs: Mapping[str, InputState]
    flags: tuple[str, ...] = ()
    abstained: Abstention | None = None
    conflict: Disagreement | None = None
    outliers: Mapping[str, Outlier] = field(default_factory=dict)
    next_inputs: tuple[NextInput, ...] = ()

    @property
    def used(self) -> tuple[str, ...]:
        return tuple(name for name, state in self.inputs.items() if state.usable)

    def record(self) -> dict[str, Any]:
        """The prediction as plain JSON types, numbers rounded to 6 places."""
        odd = {name: outlier.record() for name, outlier in self.outliers.items()}
        return {
            "case_id": self.case_id,
            "artifact": self.artifact,
            "targets": [target.record() for target in self.targets],
            "weights": {name: rounded(weight) for name, weight in self.weights.items()},
            "inputs": {name: state.record() | {"outlier": odd.get(name)} for name, state in self.inputs.items()},
            "used": list(self.used),
            "missing": [name for name, s in self.inputs.items() if s.status is Status.ABSENT],
            "rejected": [name for name, s in self.inputs.items() if not s.usable and s.status is not Status.ABSENT],
            "flags": list(self.flags),
            "next_inputs": [one.record() for one in self.next_inputs],
            "conflict": None if self.conflict is None else self.conflict.record(),
            "abstained": None if self.abstained is None else str(self.abstained),
        }


@dataclass(frozen=True)
class Check:
    """One test of an explanation's own trustworthiness: `passed` is `value <= limit`."""

    name: str
    value: float
    limit: float

    @property
    def passed(self) -> bool:
        return self.value <= self.limit


@dataclass(frozen=True)
class Attribution:
    """Why one target of one case got its logit, in logit units.

    `maps` are signed and have the modality's shape ((n,) positions for text); exactly 0 for an absent modality. `net`
    sums a map with its signs, `gross` without. `shapley` are the exact Shapley values of the modalities against
    `prior_logit`, the answer with no input at all; they sum to `logit - prior_logit`. `interactions` holds the Shapley
    interaction index of each pair. `subsets` has the logit of each set of inputs, joined by "+". `baseline_logit` is
    the answer at the baselines that `baselines` names. `smoothing` of pictures' maps is a share of each side, or 0."""

    case_id: str
    target: str
    method: str
    baselines: Mapping[str, str]
    maps: Mapping[str, np.ndarray]
    net: Mapping[str, float]
    gross: Mapping[str, float]
    shapley: Mapping[str, float]
    interactions: Mapping[str, float]
    subsets: Mapping[str, float]
    logit: float
    prior_logit: float
    baseline_logit: float
    steps: int
    forward_passes: int
    checks: tuple[Check, ...]
    smoothing: float = 0.0

    @property
    def failed(self) -> tuple[str, ...]:
        """The checks that it did not pass: where there are any, it is not reliable."""
        return tuple(check.name for check in self.checks if not check.passed)

    @property
    def trusted(self) -> bool:
        return not self.failed


def rounded(value: float | None) -> float | None:
    """`value` to 6 decimals, the precision that leaves this system; None stays None."""
    return None if value is None else round(float(value), 6)
