"""A review on the wire: a person's word on a result, and on each of its findings."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

Verdict = Literal["signed_off", "rejected"]
Answer = Literal["true", "false", "unclear"]
Reason = Literal[
    "not_seen_on_image",
    "seen_on_image",
    "note_says_otherwise",
    "labs_say_otherwise",
    "input_unfit",
    "context_missing",
    "later_evidence",
    "other",
]
TEXT = 1000
EXAMPLE_REVIEW: dict[str, Any] = {
    "verdict": "signed_off",
    "findings": [
        {
            "target": "pneumonia",
            "verdict": "modify",
            "answer": "unclear",
            "reason": "not_seen_on_image",
            "text": "The opacity is a skin fold.",
        }
    ],
}
FINDINGS = 100

_SIGNED: dict[str, Any] = {"properties": {"verdict": {"const": "signed_off"}}}
_REASONED: dict[str, Any] = {"required": ["reason"], "properties": {"reason": {"minLength": 1}}}
_CODED: dict[str, Any] = {"properties": {"reason": {"not": {"const": "other"}}}}
_TOLD: dict[str, Any] = {"required": ["text"], "properties": {"text": {"minLength": 1}}}


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class AcceptedIn(_Strict):
    """The model's answer stands."""

    target: Annotated[str, Field(max_length=200)]
    verdict: Literal["accept"]


class RejectedIn(_Strict):
    """The model's answer does not stand, and no other takes its place. `reason` other needs a `text`."""

    model_config = ConfigDict(json_schema_extra={"anyOf": [_CODED, _TOLD]})

    target: Annotated[str, Field(max_length=200)]
    verdict: Literal["reject"]
    reason: Reason
    text: Annotated[str, Field(max_length=TEXT)] = ""


class ModifiedIn(_Strict):
    """Another answer takes the place of the model's. `reason` other needs a `text`."""

    model_config = ConfigDict(json_schema_extra={"anyOf": [_CODED, _TOLD]})

    target: Annotated[str, Field(max_length=200)]
    verdict: Literal["modify"]
    answer: Answer
    reason: Reason
    text: Annotated[str, Field(max_length=TEXT)] = ""


def _verdict(said: Any) -> str | None:
    verdict = said.get("verdict") if isinstance(said, dict) else getattr(said, "verdict", None)
    return verdict if isinstance(verdict, str) else None


FindingIn = Annotated[
    Annotated[AcceptedIn, Tag("accept")] | Annotated[RejectedIn, Tag("reject")] | Annotated[ModifiedIn, Tag("modify")],
    Discriminator(  # pydantic's own error would quote what was sent
        _verdict,
        custom_error_type="literal_error",
        custom_error_context={"expected": "'accept', 'reject' or 'modify'"},
    ),
]


class ReviewIn(_Strict):
    """A person's word on one result. `reason` is needed to reject it. `findings` are words on its targets, each once.
    `record_sha256` is of the report's record that was looked at, as `…/report` gives it: of another than is stored now,
    nothing can be said. Where none is named, the word is bound to what is stored, if there is a report."""

    model_config = ConfigDict(json_schema_extra={"anyOf": [_SIGNED, _REASONED]})

    verdict: Verdict
    reason: Annotated[str, Field(max_length=TEXT)] = ""
    findings: tuple[FindingIn, ...] = Field(default=(), strict=False, max_length=FINDINGS)
    record_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None


class WithdrawalIn(_Strict):
    """Takes a report out of use: what `reason` says, everybody is told. `record_sha256` is of the record that was
    looked at."""

    reason: Annotated[str, Field(min_length=1, max_length=TEXT)]
    record_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class FindingOut(BaseModel):
    """`model` is what the model answered (true, false, or none where it abstained), `stands` what stands after the
    review: true, false, unclear, or none."""

    target: str
    verdict: str
    answer: str | None
    reason: str
    text: str
    model: str
    stands: str


class ReviewOut(BaseModel):
    """`record_sha256` is of the report's record that it is bound to; empty where there was none. The verdict
    `withdrawn` is none on the answer: its report was taken out of use."""

    result_id: str
    verdict: str
    reason: str
    findings: list[FindingOut]
    record_sha256: str
    client: str
    created_at: datetime


class ReviewsOut(BaseModel):
    """`state` is none, signed_off, rejected, disputed between readers, withdrawn as the latest report is, or
    needs_re-review: a later result crosses a threshold that the signed one did not, or the other way. It is `withheld`,
    as are so many reviews, while others spoke of the latest result and the caller, who may speak of it too, has not: a
    second reader is not told what the first one said."""

    case_id: str
    state: str
    withheld: int
    reviews: list[ReviewOut]
