"""What a request brings, looked at and not yet stored. Each DICOM file is opened by a child process with limits, which
checks its header, geometry and lengths; not a pixel is decoded here."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from clinimm.errors import InputError, ResourceLimit, UnsupportedInput
from clinimm.identity import Identity
from clinimm.io.inspection import Inspection
from clinimm.io.sandbox import Sandbox
from clinimm.types import Kind, Modality
from services.blobs import Staged
from services.cases.content import ACCEPTED, QUARANTINED, REJECTED
from services.cases.receive import Image, Submission
from services.cases.schemas import ImageRef, InputsIn, LabIn, NoteIn, PersonIn
from services.cases.stored import Instance, StoredImage, StoredLab, StoredNote
from services.errors import TooLarge

OVERSIZED = ("too_many_pixels", "too_many_frames")


@dataclass(frozen=True)
class Arrived:
    """An image part: what will be stored of it, and the file that holds it."""

    image: StoredImage
    staged: Staged


@dataclass(frozen=True)
class Arrivals:
    """The parts in the order they were sent. Their positions and versions are those of nothing yet."""

    images: tuple[Arrived, ...]
    references: tuple[ImageRef, ...]
    notes: tuple[StoredNote, ...]
    labs: tuple[StoredLab, ...]


def look(
    submission: Submission, inputs: InputsIn, modalities: Sequence[Modality], sandbox: Sandbox, received_at: datetime
) -> Arrivals:
    """Raises TooLarge for an image that declares more pixels or frames than any may have; whatever else is wrong with
    one is its own outcome, and hides no other."""
    readable = [image for image in submission.images if image.staged.is_dicom]
    found = dict(zip(map(id, readable), sandbox.inspect_all([image.staged.path for image in readable]), strict=True))
    images = [_image(image, found.get(id(image)), modalities) for image in submission.images]
    notes = [inputs.note] if inputs.note is not None else []
    if submission.note is not None:
        notes.append(NoteIn(text=submission.note))
    return Arrivals(
        tuple(images),
        inputs.images,
        tuple(_note(note) for note in notes),
        tuple(_lab(lab, received_at) for lab in inputs.labs),
    )


def person_record(person: PersonIn | None, source: str) -> dict[str, Any]:
    """Whom a request says an input is of, as an identity's record; {} where it says nothing."""
    if person is None:
        return {}
    return Identity(
        source=source,
        patient_id=person.id,
        issuer=person.issuer,
        birth_date=person.birth_date,
        sex=person.sex,
        name=person.name,
    ).record()


def choose_modality(named: str | None, modalities: Sequence[Modality]) -> tuple[str | None, str]:
    """(modality, code) of an image that its sender calls so, or not at all; the code is "" where all is well."""
    names = [modality.name for modality in modalities if modality.kind is Kind.IMAGE]
    modality = named or (names[0] if len(names) == 1 else None)
    code = "modality_needed" if modality is None else "" if modality in names else "unknown_modality"
    return modality, code


def _image(image: Image, found: Inspection | InputError | None, modalities: Sequence[Modality]) -> Arrived:
    staged = image.staged
    modality, code = choose_modality(image.modality, modalities)
    if found is None:
        code, outcome = "not_dicom", REJECTED
    elif isinstance(found, ResourceLimit) and found.code in OVERSIZED and found.limit is not None:
        raise TooLarge(found.code, "An image declares too much.", limit=found.limit, actual=found.actual)
    elif isinstance(found, UnsupportedInput | ResourceLimit):
        code, outcome = found.code, REJECTED
    elif code:
        outcome = REJECTED
    elif isinstance(found, InputError):
        code, outcome = found.code, QUARANTINED
    else:
        outcome = ACCEPTED
    kept = outcome != REJECTED
    stored = StoredImage(
        position=-1,
        version=0,
        modality=modality,
        outcome=outcome,
        code=code,
        bytes=staged.size,
        original_sha256=staged.original_sha256,
        sha256=staged.sha256 if kept else None,
        preamble_nulled=staged.nulled and kept,
        instance=_instance(found, staged) if kept and isinstance(found, Inspection) else None,
    )
    return Arrived(stored, staged)


def _instance(found: Inspection, staged: Staged) -> Instance:
    """A file that gives itself no UID is named by its bytes."""
    facts = {
        "transfer_syntax": found.transfer_syntax,
        "sop_class_uid": found.sop_class_uid,
        "dicom_modality": found.dicom_modality,
        "rows": found.rows,
        "columns": found.columns,
        "frames": found.frames,
        "acquired_at": found.acquired_at,
        "body_part": found.body_part,
        "laterality": found.laterality,
        "age_years": found.age_years,
        "flags": list(found.flags),
    }
    who = found.identity
    identity = Identity(
        source="image",
        patient_id=who.patient_id,
        issuer=who.issuer,
        birth_date=None if who.birth_date is None else datetime.fromisoformat(who.birth_date).date(),
        sex=who.sex,
        name=who.name,
        removed=who.removed,
    )
    return Instance(
        sop_uid=found.sop_instance_uid or f"sha256-{staged.sha256[:57]}",
        study_uid=found.study_instance_uid or "",
        series_uid=found.series_instance_uid or "",
        sha256=staged.sha256,
        original_sha256=staged.original_sha256,
        bytes=staged.size,
        preamble_nulled=staged.nulled,
        facts=facts,
        identity=identity.record(),
    )


def _note(note: NoteIn) -> StoredNote:
    return StoredNote(
        position=-1,
        version=0,
        text=note.text,
        source_id=note.id,
        status=note.status,
        acquired_at=note.acquired_at,
        issued_at=note.issued_at,
        identity=person_record(note.patient, "note"),
    )


def _lab(lab: LabIn, received_at: datetime) -> StoredLab:
    return StoredLab(
        position=-1,
        version=0,
        name=lab.name,
        value=None if lab.value is None else str(lab.value),
        unit=lab.unit,
        collected_at=lab.collected_at,
        received_at=received_at,
        original=lab.model_dump(mode="json", exclude_unset=True),
    )


def fingerprint_of(submission: Submission) -> list[str]:
    """What identifies a submission's files and its note part, whatever the order the files came in."""
    files = sorted(f"{image.modality or ''} {image.staged.original_sha256}" for image in submission.images)
    note = hashlib.sha256(submission.note.encode()).hexdigest() if submission.note is not None else ""
    return [*files, note]
