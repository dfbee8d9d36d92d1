"""A result on the wire: numbers finite and to six places, an abstained target null and never 0 or 0.5."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from clinimm.types import Abstention

Probability = Annotated[float, Field(ge=0, le=1)]


class Finite(BaseModel):
    model_config = ConfigDict(allow_inf_nan=False)


class TargetOut(Finite):
    """`interval` is the calibration's, of 95 %; `decision` is probability >= threshold; `abstained` says why not.
    `conformal_set` holds the answers (false, true, both or neither) that cannot be ruled out: the share `coverage` of
    cases like this one, and `conformal_level` says which these are, has its true answer in the set."""

    target: str
    probability: Probability | None
    interval: tuple[Probability, Probability] | None
    threshold: Probability
    decision: bool | None
    logit: float | None
    abstained: Abstention | None
    conformal_set: list[bool] | None = None
    coverage: Probability | None = None
    conformal_level: str | None = None


class OutlierOut(Finite):
    """How odd an input is: `percentile` of valid ones are less odd; `verdict` is ok, flag or block."""

    percentile: float
    verdict: str
    reasons: list[str]


class ConflictOut(Finite):
    """The two inputs that disagree most, about which target; the share `chance` of cases disagrees as much."""

    inputs: list[str]
    target: str
    conflict: Probability
    chance: Probability


class InputOut(Finite):
    """What became of an input: `status` is present, absent, stale, unreadable or rejected; `quality` is what was
    measured of one that could be looked at."""

    status: str
    reason: str
    detail: str
    flags: list[str]
    quality: dict[str, float] = Field(default_factory=dict)
    outlier: OutlierOut | None = None


class NextInputOut(Finite):
    """What an absent input would be expected to do, by target: the mean change of the probability, either way, and the
    chance that the decision turns."""

    name: str
    expected_change: dict[str, Probability]
    flip_chance: dict[str, Probability]


class ChangeOut(Finite):
    """What a result changes of a target against the one it supersedes; `crossed` says that the decision is another. A
    null is an answer that was abstained from."""

    before: Probability | None
    after: Probability | None
    delta: Annotated[float, Field(ge=-1, le=1)] | None
    crossed: bool


class UnusedOut(Finite):
    """A part of the case that is kept and not used, and why."""

    part: str
    outcome: str
    code: str


class ResultOut(Finite):
    """One answer, to what the case held at `case_version`. `supersedes` is the version before it and `superseded_by` the
    one after; `cause` says why there is another, such as `modality_added:labs`, and `changes` what it changes by target. `weights` are the gate's, exactly 0 for what was not used; `model` is the artifact's digest; `status` is
    current or superseded;
    `next_inputs` ranks what is absent by how far it would be expected to change the answer."""

    id: str
    case_id: str
    version: int
    case_version: int
    supersedes: int | None
    superseded_by: int | None
    status: str
    cause: str
    changes: dict[str, ChangeOut]
    inputs_hash: str
    model: str
    created_at: datetime
    targets: list[TargetOut]
    weights: dict[str, Probability]
    inputs: dict[str, InputOut]
    used: list[str]
    missing: list[str]
    rejected: list[str]
    unused_inputs: list[UnusedOut]
    flags: list[str]
    conflict: ConflictOut | None = None
    next_inputs: list[NextInputOut] = []
    abstained: Abstention | None
    links: dict[str, str]


class ResultsOut(Finite):
    """The answers to a case, newest first; `state` is pending, done, failed or held, `reason` the code of why it failed
    or is held. While it is held no answer is given out, not those of before either."""

    case_id: str
    state: str
    reason: str
    results: list[ResultOut]


class AskedOut(BaseModel):
    """Where the answer can be waited for, or is."""

    location: str
