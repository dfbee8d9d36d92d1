"""A case on the wire, as it is told."""

from datetime import datetime

from pydantic import BaseModel


class PartOut(BaseModel):
    """What became of a part: `accepted`, `already_stored`, `quarantined` (kept, not used), `superseded`, `withdrawn` or
    `rejected` (not kept). `code` says why, `flags` what else is worth knowing."""

    part: str
    modality: str | None = None
    outcome: str
    code: str = ""
    flags: list[str] = []
    sha256: str | None = None
    original_sha256: str | None = None
    sop_instance_uid: str | None = None


class StudyOut(BaseModel):
    """A study that the case has instances of: how many, in how many series, of how many bytes in all."""

    study_instance_uid: str
    series: int
    instances: int
    bytes: int


class PatientOut(BaseModel):
    id: str


class CaseOut(BaseModel):
    """A case; `state` is pending, done, failed or held, `reason` the code of why it failed or is held. `version` counts
    what was added to it; `complete` names the modalities of which nothing more will come."""

    id: str
    version: int
    reference: str | None
    patient: PatientOut
    state: str
    reason: str
    index_time: datetime | None
    created_at: datetime
    inputs_hash: str
    complete: list[str]
    studies: list[StudyOut]
    parts: list[PartOut]
    links: dict[str, str]


class CaseLine(BaseModel):
    """A case in a list."""

    id: str
    version: int
    reference: str | None
    state: str
    created_at: datetime
    flags: list[str]
    links: dict[str, str]


class CasePage(BaseModel):
    """Newest first. `next` is the cursor of the page after, null on the last."""

    cases: list[CaseLine]
    next: str | None


class ValidationOut(BaseModel):
    """What a post of the same would be answered: its status, and what would become of every part."""

    status: int
    parts: list[PartOut]


class MismatchOut(BaseModel):
    """Two parts or more that name different patients: in which field, and what each says."""

    field: str
    sources: dict[str, str]
    settled: bool


class IdentityOut(BaseModel):
    """Whether all parts of a case are of one patient, and where they are not, what each says: for who may decide."""

    case_id: str
    held: bool
    mismatches: list[MismatchOut]


class EventOut(BaseModel):
    """One entry of the timeline: the audit event itself. `facts` are ids, hashes, counts and codes."""

    seq: int
    time: datetime
    actor: str
    action: str
    object_id: str
    request_id: str
    facts: dict[str, object]


class TimelineOut(BaseModel):
    case_id: str
    events: list[EventOut]


def links(case_id: str) -> dict[str, str]:
    base = f"/v1/cases/{case_id}"
    return {name: f"{base}/{name}" for name in ("inputs", "results", "report", "similar", "timeline")} | {"self": base}
