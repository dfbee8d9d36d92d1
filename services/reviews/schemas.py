"""A review on the wire."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Verdict = Literal["signed_off", "rejected"]


_SIGNED: dict[str, Any] = {"properties": {"verdict": {"const": "signed_off"}}}
_REASONED: dict[str, Any] = {"required": ["reason"], "properties": {"reason": {"minLength": 1}}}


class ReviewIn(BaseModel):
    """A person's word on one result. `reason` is needed to reject it."""

    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, json_schema_extra={"anyOf": [_SIGNED, _REASONED]}
    )

    verdict: Verdict
    reason: Annotated[str, Field(max_length=1000)] = ""


class ReviewOut(BaseModel):
    result_id: str
    verdict: str
    client: str
    created_at: datetime


class ReviewsOut(BaseModel):
    """`state` is none, signed_off, rejected, or needs_re-review: a later result crosses a threshold that the signed one
    did not, or the other way."""

    case_id: str
    state: str
    reviews: list[ReviewOut]
