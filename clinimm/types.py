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

    A value outside `plausible` is refused, never used; `reference` is the healthy range shown beside it.
    """

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


@dataclass(frozen=True)
class ImageFile:
    """One film (one path) or the files of one series. `crop` is (left, top, right, bottom), fractions of the film."""

    paths: tuple[Path, ...]
    acquired_at: datetime | None = None
    crop: tuple[float, float, float, float] | None = None


@dataclass(frozen=True)
class Note:
    """Clean text, as `io.text` makes it; `flags` name what had to be mended on the way."""

    text: str
    acquired_at: datetime | None = None
    flags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Measurement:
    """A value in the UCUM unit it was reported in; conversion happens in `io.labs`."""

    name: str
    value: float
    unit: str


@dataclass(frozen=True)
class Measurements:
    values: tuple[Measurement, ...]
    acquired_at: datetime | None = None


Input = ImageFile | Note | Measurements


@dataclass(frozen=True)
class Case:
    """One diagnostic question about one patient. A missing modality is a missing key of `inputs`, with a reason in
    `absent` where one is known; an unknown target is None. `attributes` holds what is not fed in (site, sex, fold)."""

    case_id: str
    patient_id: str
    inputs: Mapping[str, Input] = field(default_factory=dict)
    targets: Mapping[str, bool | None] = field(default_factory=dict)
    index_time: datetime | None = None
    absent: Mapping[str, InputState] = field(default_factory=dict)
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class TargetPrediction:
    """What is said of one target. An abstained target has `probability` None, never 0 or 0.5.

    `interval` is the 95 % interval of the calibrated probability under resampling of the validation patients: the
    uncertainty of the calibration, not of the diagnosis."""

    target: str
    probability: float | None
    interval: tuple[float, float] | None
    threshold: float
    decision: bool | None
    logit: float | None
    abstained: str | None = None


@dataclass(frozen=True)
class Prediction:
    """The answer for one case: per target, the gate's weight per modality (exactly 0 for an unused one), and what
    became of every input. `abstained` is a reason from a closed list, or None."""

    case_id: str
    artifact: str
    targets: tuple[TargetPrediction, ...]
    weights: Mapping[str, float]
    inputs: Mapping[str, InputState]
    flags: tuple[str, ...] = ()
    abstained: str | None = None

    @property
    def used(self) -> tuple[str, ...]:
        return tuple(name for name, state in self.inputs.items() if state.usable)

    def record(self) -> dict[str, Any]:
        """The prediction as plain JSON types, numbers rounded to 6 places."""
        return {
            "case_id": self.case_id,
            "artifact": self.artifact,
            "targets": [
                {
                    "target": t.target,
                    "probability": rounded(t.probability),
                    "interval": None if t.interval is None else [rounded(end) for end in t.interval],
                    "threshold": rounded(t.threshold),
                    "decision": t.decision,
                    "logit": rounded(t.logit),
                    "abstained": t.abstained,
                }
                for t in self.targets
            ],
            "weights": {name: rounded(weight) for name, weight in self.weights.items()},
            "inputs": {name: state.record() for name, state in self.inputs.items()},
            "used": list(self.used),
            "missing": [name for name, s in self.inputs.items() if s.status is Status.ABSENT],
            "rejected": [name for name, s in self.inputs.items() if not s.usable and s.status is not Status.ABSENT],
            "flags": list(self.flags),
            "abstained": self.abstained,
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

    `maps` are signed and have the modality's shape ((n,) positions for text); exactly 0 for an absent modality.
    `net` sums a map with its signs, `gross` without. `shapley` are the exact Shapley values of the modalities against
    `prior_logit`, the answer with no input at all; they sum to `logit - prior_logit`. `interactions` holds the Shapley
    interaction index of each pair. `subsets` gives the logit of every subset of the inputs, joined by "+".
    `baseline_logit` is the answer at the integrated gradients' baselines; `baselines` names them."""

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

    @property
    def trusted(self) -> bool:
        return all(check.passed for check in self.checks)


def rounded(value: float | None) -> float | None:
    """`value` to 6 decimals, the precision that leaves this system; None stays None."""
    return None if value is None else round(float(value), 6)
