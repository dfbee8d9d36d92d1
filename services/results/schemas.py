"""A result on the wire: numbers finite and to six places, an abstained target null and never 0 or 0.5."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Probability = Annotated[float, Field(ge=0, le=1)]


class Finite(BaseModel):
    model_config = ConfigDict(allow_inf_nan=False)


class TargetOut(Finite):
    """`interval` is the calibration's, of 95 %; `decision` is probability >= threshold; `abstained` says why not."""

    target: str
    probability: Probability | None
    interval: tuple[Probability, Probability] | None
    threshold: Probability
    decision: bool | None
    logit: float | None
    abstained: str | None


class InputOut(Finite):
    """What became of an input: `status` is present, absent, stale, unreadable or rejected; `quality` is what was
    measured of one that could be looked at."""

    status: str
    reason: str
    detail: str
    flags: list[str]
    quality: dict[str, float] = Field(default_factory=dict)


class ResultOut(Finite):
    """One answer. `weights` are the gate's, exactly 0 for what was not used; `model` is the artifact's digest."""

    id: str
    case_id: str
    version: int
    inputs_hash: str
    model: str
    created_at: datetime
    targets: list[TargetOut]
    weights: dict[str, Probability]
    inputs: dict[str, InputOut]
    used: list[str]
    missing: list[str]
    rejected: list[str]
    flags: list[str]
    abstained: str | None
    links: dict[str, str]


class ResultsOut(Finite):
    """The answers to a case, newest first; `state` is pending, done or failed, `reason` the code of why it failed."""

    case_id: str
    state: str
    reason: str
    results: list[ResultOut]
