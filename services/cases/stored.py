"""A case as it is stored: what was sent and when, nothing judged. What it all comes to is `cases.content`."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

LOST = "lost"  # a fact of an instance whose file is gone


@dataclass(frozen=True)
class Instance:
    """A DICOM instance that is kept. `facts` are its header's; `identity` is whose it claims to be, as a record."""

    sop_uid: str
    study_uid: str
    series_uid: str
    sha256: str
    original_sha256: str
    bytes: int
    preamble_nulled: bool
    facts: Mapping[str, Any] = field(default_factory=dict)
    identity: Mapping[str, Any] = field(default_factory=dict)

    @property
    def lost(self) -> bool:
        """Whether its file is known to be gone."""
        return bool(self.facts.get(LOST))


@dataclass(frozen=True)
class StoredImage:
    """An image part; `instance` is what it brought, None where it could not be read that far."""

    position: int
    version: int
    modality: str | None
    outcome: str
    code: str
    bytes: int
    original_sha256: str
    sha256: str | None
    preamble_nulled: bool
    instance: Instance | None = None


@dataclass(frozen=True)
class StoredNote:
    position: int
    version: int
    text: str
    source_id: str | None = None
    status: str = "final"
    acquired_at: datetime | None = None
    issued_at: datetime | None = None
    identity: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class StoredLab:
    """`original` is what was sent, verbatim; the fields beside it are its own. `series` is of the values that its
    sender calls the same, and `usual_unit` what all but a few of these were in before it, if that is not its own."""

    position: int
    version: int
    name: str
    value: str | None
    unit: str
    collected_at: datetime | None
    received_at: datetime
    original: Mapping[str, Any] = field(default_factory=dict)
    series: str = ""
    usual_unit: str = ""


@dataclass(frozen=True)
class StoredAct:
    """What a person decided of the contradictions between the parts."""

    position: int
    version: int
    decision: str
    reason: str
    settled: tuple[str, ...]
    excluded: tuple[str, ...]
    client: str
    created_at: datetime


@dataclass(frozen=True)
class StoredCase:
    """`patient` is whose the request said it is, as a record; `complete` maps a modality of which nothing more will
    come to why there is none, or to ""."""

    id: str
    client: str
    reference: str | None
    patient_id: str
    patient: Mapping[str, Any]
    index_time: datetime | None
    version: int
    inputs_hash: str
    created_hash: str
    held: str
    complete: Mapping[str, str]
    created_at: datetime
    images: tuple[StoredImage, ...] = ()
    notes: tuple[StoredNote, ...] = ()
    labs: tuple[StoredLab, ...] = ()
    acts: tuple[StoredAct, ...] = ()


@dataclass(frozen=True)
class Line:
    """A case in a list; `flags` are those of its latest result."""

    seq: int
    id: str
    version: int
    reference: str | None
    held: str
    created_at: datetime
    flags: tuple[str, ...]


def at_version(case: StoredCase, version: int) -> StoredCase:
    """What the case held at an earlier version: a result is explained by what it was given."""
    if version == case.version:
        return case
    return replace(
        case,
        version=version,
        images=tuple(image for image in case.images if image.version <= version),
        notes=tuple(note for note in case.notes if note.version <= version),
        labs=tuple(lab for lab in case.labs if lab.version <= version),
        acts=tuple(act for act in case.acts if act.version <= version),
    )
