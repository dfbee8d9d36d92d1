"""What is said of each part as it comes in: cheap checks only. Whether an image can be read shows in the worker, where
a child process with limits decodes it."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime

from pydantic import ValidationError

from clinimm.errors import InputError
from clinimm.io.labs import canonical
from clinimm.io.text import clean_note
from clinimm.types import Analyte, Kind, Measurement, Modality
from services.cases.receive import Image
from services.cases.schemas import CaseIn, LabIn, NoteIn, PatientIn
from services.errors import Issue, Refused, TooLarge
from services.http import strict_json
from services.settings import Limits

ACCEPTED, STORED, QUARANTINED, REJECTED = "accepted", "already_stored", "quarantined", "rejected"
_FIELDS = frozenset(name for schema in (CaseIn, PatientIn, NoteIn, LabIn) for name in schema.model_fields)


def parse_case(data: bytes, limits: Limits) -> CaseIn:
    """The case that a JSON part describes. Raises BadRequest, TooLarge, or Refused that lists every fault."""
    value = strict_json.parse(data, depth=limits.json_depth)
    try:
        case = CaseIn.model_validate(value)
    except ValidationError as error:
        issues = [Issue(pointer(fault["loc"]), fault["type"], fault["msg"]) for fault in error.errors()]
        raise Refused("bad_case", "The case breaks its schema.", issues=issues) from None
    _check("note_too_long", len(case.note.text) if case.note else 0, limits.note_chars)
    _check("too_many_labs", len(case.labs), limits.labs)
    return case


def pointer(path: Sequence[str | int]) -> str:
    """A JSON pointer of the schema's names and of indexes; a name that the sender made up is left out."""
    return "".join(f"/{step}" for step in path if isinstance(step, int) or step in _FIELDS)


def inputs_hash(case: CaseIn, images: Sequence[Image]) -> str:
    """The identity of a case: two posts of the same content are the same case, in whatever order its images came."""
    pictures = sorted({(image.modality or "", image.staged.original_sha256) for image in images})
    facts = {"case": case.model_dump(mode="json"), "images": pictures}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def judge_image(image: Image, modalities: Sequence[Modality], stored: bool) -> tuple[str | None, str, str]:
    """(modality, outcome, code) of an image part; `stored` says that its bytes are kept already."""
    names = [modality.name for modality in modalities if modality.kind is Kind.IMAGE]
    modality = image.modality or (names[0] if len(names) == 1 else None)
    if not image.staged.is_dicom:
        return modality, REJECTED, "not_dicom"
    if modality is None:
        return None, REJECTED, "modality_needed"
    if modality not in names:
        return modality, REJECTED, "unknown_modality"
    return modality, STORED if stored else ACCEPTED, ""


def judge_note(text: str) -> tuple[str, str]:
    """(outcome, code) of a note."""
    try:
        flags = clean_note(text).flags
    except InputError as error:
        return QUARANTINED, error.code
    return ACCEPTED, flags[0] if flags else ""


def judge_labs(
    labs: Sequence[LabIn], modalities: Sequence[Modality], index_time: datetime | None
) -> list[tuple[str, str]]:
    """(outcome, code) of each lab. Of one analyte the last before the index time is used; the others are kept."""
    analytes = [analyte for modality in modalities for analyte in modality.analytes]
    latest = latest_times(labs, index_time)
    return [_judge_lab(lab, analytes, latest.get(lab.name), index_time) for lab in labs]


def latest_times(labs: Sequence[LabIn], index_time: datetime | None) -> Mapping[str, datetime | None]:
    """When each analyte was last collected, not after the index time; None where no value of it has a time."""
    latest: dict[str, datetime | None] = {}
    for lab in labs:
        if lab.collected_at is not None and index_time is not None and lab.collected_at > index_time:
            continue
        known = latest.setdefault(lab.name, lab.collected_at)
        if lab.collected_at is not None and (known is None or lab.collected_at > known):
            latest[lab.name] = lab.collected_at
    return latest


def _judge_lab(
    lab: LabIn, analytes: Sequence[Analyte], latest: datetime | None, index_time: datetime | None
) -> tuple[str, str]:
    if lab.collected_at is not None and index_time is not None and lab.collected_at > index_time:
        return QUARANTINED, "after_index_time"
    if lab.collected_at != latest:
        return ACCEPTED, "superseded"
    flags = canonical([Measurement(lab.name, float(lab.value), lab.unit)], analytes).flags
    codes = [flag.partition(":")[0] for flag in flags]
    faults = [code for code in codes if code not in ("unit_alias", "unused_input")]
    return (QUARANTINED, faults[0]) if faults else (ACCEPTED, codes[0] if codes else "")


def _check(code: str, actual: int, limit: int) -> None:
    if actual > limit:
        raise TooLarge(code, "The case is too large.", limit=limit, actual=actual)
