"""A case on the wire, as it comes in. It is strict: unknown fields, other types and times without a zone are faults."""

import re
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

EXAMPLE_CASE: dict[str, Any] = {
    "reference": "order-2024-0117",
    "patient": {"id": "p-0031"},
    "index_time": "2026-01-17T09:40:00+01:00",
    "note": {"text": "Fever and cough for four days. No chest pain.", "acquired_at": "2026-01-17T09:12:00+01:00"},
    "labs": [{"name": "crp", "value": 84.5, "unit": "mg/L", "collected_at": "2026-01-17T08:55:00+01:00"}],
}
EXAMPLE_INPUTS: dict[str, Any] = {
    "labs": [
        {
            "id": "lab-77121",
            "code": {"system": "http://loinc.org", "code": "1988-5"},
            "value": 48.5,
            "unit": "mg/L",
            "collected_at": "2026-01-17T08:55:00+01:00",
            "issued_at": "2026-01-17T10:05:00+01:00",
            "status": "corrected",
        }
    ]
}

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def _moment(value: Any) -> datetime:
    try:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        pass  # Python's own error quotes what was sent
    raise PydanticCustomError("not_a_time", "is not an ISO 8601 time with its offset from UTC")


def _day(value: Any) -> date:
    try:
        if isinstance(value, str) and _DATE.fullmatch(value):
            return date.fromisoformat(value)
    except ValueError:
        pass
    raise PydanticCustomError("not_a_date", "is not a date, YYYY-MM-DD")


def _number(value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise PydanticCustomError("not_a_number", "is not a number")
    return Decimal(value)


Moment = Annotated[datetime, BeforeValidator(_moment, json_schema_input_type=datetime)]
Day = Annotated[date, BeforeValidator(_day, json_schema_input_type=date)]
Number = Annotated[Decimal, BeforeValidator(_number, json_schema_input_type=float)]
Word = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
ModalityName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
Status = Literal["preliminary", "final", "corrected", "cancelled", "entered-in-error"]


class Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class PersonIn(Strict):
    """Whose an input says it is. What is given is compared with what every other input of the case says; ids are
    compared unless two different issuers are named."""

    id: Word | None = None
    issuer: Word | None = None
    birth_date: Day | None = None
    sex: Literal["M", "F", "O"] | None = None
    name: Word | None = None


class PatientIn(PersonIn):
    """The patient of the case. `id` is that of the films and the laboratory, or the same pseudonym for all; an id of
    your own, which theirs are not to be compared with, needs an `issuer` of your own."""

    id: Word
    deceased_at: Moment | None = None


class NoteIn(Strict):
    """A note. `id` is the sender's own for it: a note that is `corrected` takes the place of the one with its id."""

    text: str
    id: Word | None = None
    acquired_at: Moment | None = None
    issued_at: Moment | None = None
    status: Status = "final"
    patient: PersonIn | None = None


class CodeIn(Strict):
    """`system` is http://loinc.org, or the sender's own."""

    system: Word
    code: Word


class RangeIn(Strict):
    low: Number | None = None
    high: Number | None = None


def _has(name: str, **of: Any) -> dict[str, Any]:
    return {"required": [name], "properties": {name: of or {"not": {"type": "null"}}}}


# What `door` asks of a lab beyond its fields, in the words of JSON Schema: it is named, it has a value or is withdrawn,
# a bound has its value, and what is withdrawn has its id.
_WITHDRAWN = _has("status", enum=["cancelled", "entered-in-error"])
_LAB_RULES: dict[str, Any] = {
    "allOf": [
        {"anyOf": [_has("name", minLength=1), _has("code")]},
        {"anyOf": [_has("value"), _has("coded"), _WITHDRAWN]},
        {"anyOf": [_has("value"), {"properties": {"comparator": {"const": ""}}}]},
        {"anyOf": [_has("id"), {"properties": {"status": {"enum": ["preliminary", "final", "corrected"]}}}]},
    ]
}


class LabIn(Strict):
    """A value, named by `name` or `code`. `unit` is UCUM; a value without one is kept and not used, unless it is a pure
    number. With a `comparator` the value is a bound. `id` is the laboratory's own for the value: one that is
    `corrected` takes its place, one that is `cancelled` or `entered-in-error` takes it away, in whatever order they
    arrive."""

    model_config = ConfigDict(json_schema_extra=_LAB_RULES)

    name: Annotated[str, Field(max_length=100, pattern=r"^[^\x00-\x1f\x7f]*$")] = ""
    code: CodeIn | None = None
    id: Word | None = None
    value: Number | None = None
    comparator: Literal["", "<", "<=", ">=", ">"] = ""
    coded: Word | None = None
    unit: Annotated[str, Field(max_length=64, pattern=r"^[^\x00-\x1f\x7f]*$")] = ""
    specimen: Word | None = None
    collected_at: Moment | None = None
    issued_at: Moment | None = None
    status: Status = "final"
    comments: tuple[Word, ...] = Field(default=(), strict=False, max_length=20)
    reference_range: RangeIn | None = None
    patient: PersonIn | None = None


class ImageRef(Strict):
    """A DICOM instance that is stored already, by its SOP Instance UID."""

    sop_instance_uid: Annotated[str, Field(pattern=r"^[0-9.]{1,64}$")]
    modality: ModalityName | None = None


class InputsIn(Strict):
    """What is added to a case: the `inputs` part. `images` are references; files come as parts of their own."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_INPUTS]})

    note: NoteIn | None = None
    labs: tuple[LabIn, ...] = Field(default=(), strict=False)
    images: tuple[ImageRef, ...] = Field(default=(), strict=False)


class CaseIn(InputsIn):
    """The `case` part. `reference` is the sender's own name for it, `index_time` the moment that is asked about."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_CASE]})

    reference: Word | None = None
    patient: PatientIn
    index_time: Moment | None = None


class ModalityIn(Strict):
    """`complete` says that nothing more of this modality will come, so that nobody waits for it; `absent_reason` why
    there is none of it, such as `not_ordered`."""

    complete: bool
    absent_reason: Annotated[str, Field(pattern=r"^[a-z0-9_]{1,64}$")] | None = None


class ReconciliationIn(Strict):
    """A person's decision on a case that is held. `same_patient`: what contradicts was looked at, and all parts are of
    one patient. `exclude`: the parts named are not of this patient, and are not used."""

    decision: Literal["same_patient", "exclude"]
    exclude: tuple[Annotated[str, Field(pattern=r"^(images|notes|labs)/[0-9]{1,5}$")], ...] = Field(
        (), strict=False, max_length=2000
    )
    reason: Annotated[str, Field(min_length=1, max_length=1000)]
