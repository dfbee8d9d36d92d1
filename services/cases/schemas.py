"""A case on the wire. What comes in is strict: unknown fields, other types and times without a zone are faults."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

EXAMPLE_CASE: dict[str, Any] = {
    "reference": "order-2024-0117",
    "patient": {"id": "p-0031"},
    "index_time": "2026-01-17T09:40:00+01:00",
    "note": {"text": "Fever and cough for four days. No chest pain.", "acquired_at": "2026-01-17T09:12:00+01:00"},
    "labs": [{"name": "crp", "value": 84.5, "unit": "mg/L", "collected_at": "2026-01-17T08:55:00+01:00"}],
}


def _moment(value: Any) -> datetime:
    try:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        pass  # Python's own error quotes what was sent
    raise PydanticCustomError("not_a_time", "is not an ISO 8601 time with its offset from UTC")


def _number(value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise PydanticCustomError("not_a_number", "is not a number")
    return Decimal(value)


Moment = Annotated[datetime, BeforeValidator(_moment, json_schema_input_type=datetime)]
Number = Annotated[Decimal, BeforeValidator(_number, json_schema_input_type=float)]
Word = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]


class Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class PatientIn(Strict):
    """`id` is a pseudonym."""

    id: Word


class NoteIn(Strict):
    text: str
    acquired_at: Moment | None = None


class LabIn(Strict):
    """`unit` is UCUM; a value without one is kept and not used, unless it is a pure number."""

    name: Annotated[Word, Field(max_length=100)]
    value: Number
    unit: Annotated[str, Field(max_length=64, pattern=r"^[^\x00-\x1f\x7f]*$")] = ""
    collected_at: Moment | None = None


class CaseIn(Strict):
    """The `case` part. `reference` is the sender's own name for it, `index_time` the moment that is asked about."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_CASE]})

    reference: Word | None = None
    patient: PatientIn
    index_time: Moment | None = None
    note: NoteIn | None = None
    labs: tuple[LabIn, ...] = Field(default=(), strict=False)


class PartOut(BaseModel):
    """What became of a part at the door: `accepted`, `already_stored`, `quarantined` (kept, not used) or `rejected`."""

    part: str
    modality: str | None = None
    outcome: str
    code: str = ""
    sha256: str | None = None
    original_sha256: str | None = None


class CaseOut(BaseModel):
    """A case; `state` is pending, done or failed, `reason` the code of why it failed."""

    id: str
    reference: str | None
    patient: PatientIn
    state: str
    reason: str
    index_time: datetime | None
    created_at: datetime
    inputs_hash: str
    parts: list[PartOut]
    links: dict[str, str]


class CaseLine(BaseModel):
    """A case in a list."""

    id: str
    reference: str | None
    state: str
    created_at: datetime
    flags: list[str]
    links: dict[str, str]


class CasePage(BaseModel):
    """Newest first. `next` is the cursor of the page after, null on the last."""

    cases: list[CaseLine]
    next: str | None


def links(case_id: str) -> dict[str, str]:
    base = f"/v1/cases/{case_id}"
    return {name: f"{base}/{name}" for name in ("results", "report", "similar")} | {"self": base}
