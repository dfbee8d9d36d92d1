"""What a case comes to: of all its parts, which are used, which not and why. A pure function of what was sent, whatever
the order it came in: what the door tells, what the worker is given and the hash of the content are one."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from clinimm.io.lab_judgement import JudgedLab, LabItem, judge
from clinimm.types import Modality
from services.cases import contradicting, notes
from services.cases.stored import StoredCase, StoredImage, StoredLab, StoredNote

ACCEPTED, STORED, QUARANTINED, REJECTED = "accepted", "already_stored", "quarantined", "rejected"
KEPT = (ACCEPTED, STORED)
_NEVER = datetime.max.replace(tzinfo=UTC)
FILE_MISSING = "file_missing"  # the code of an image that was kept, and whose file is no longer there
FILE_RETURNED = "file_returned"  # why there is a version that has its file again


@dataclass(frozen=True)
class Verdict:
    """What becomes of a part: its outcome, why, and words for what else a reader should know; of a lab, its analyte."""

    outcome: str
    code: str = ""
    flags: tuple[str, ...] = ()
    analyte: str | None = None


@dataclass(frozen=True)
class UsedLab:
    """A value that a model is given, in the model's own unit."""

    analyte: str
    value: float
    unit: str
    collected_at: datetime | None


@dataclass(frozen=True)
class Content:
    """`verdicts` by part, such as "labs/3"; beside them what is used, and words that a result is found by."""

    verdicts: Mapping[str, Verdict] = field(default_factory=dict)
    films: tuple[StoredImage, ...] = ()
    note: StoredNote | None = None
    labs: tuple[UsedLab, ...] = ()
    flags: tuple[str, ...] = ()

    @property
    def unused(self) -> list[dict[str, str]]:
        """The parts that are kept and not used, with why."""
        return [
            {"part": part, "outcome": verdict.outcome, "code": verdict.code}
            for part, verdict in self.verdicts.items()
            if verdict.outcome not in KEPT or verdict.code == "unused_input"
        ]


def settled(case: StoredCase, modalities: Sequence[Modality]) -> Content:
    """The content of a case at its version, for a model of these modalities."""
    excluded = {part for act in case.acts for part in act.excluded}
    images = [image for image in case.images if f"images/{image.position}" not in excluded]
    texts = [note for note in case.notes if f"notes/{note.position}" not in excluded]
    labs = [lab for lab in case.labs if f"labs/{lab.position}" not in excluded]
    of_notes = notes.judged(texts, case.index_time)
    of_labs = _judged(labs, modalities, case.index_time, _taken_at(images))
    verdicts = {f"notes/{note.position}": Verdict(*of_notes[note.position]) for note in texts}
    for lab, one in zip(labs, of_labs, strict=True):
        verdicts[f"labs/{lab.position}"] = Verdict(one.outcome, one.code, one.flags, one.analyte)
    verdicts |= {
        f"images/{image.position}": Verdict(image.outcome, image.code, _header_flags(image)) for image in images
    }
    verdicts |= {part: Verdict(notes.WITHDRAWN, "other_patient") for part in sorted(excluded)}
    films = tuple(sorted((image for image in images if image.outcome in KEPT and image.sha256), key=image_key))
    note = next((note for note in texts if of_notes[note.position][0] == ACCEPTED), None)
    used = [found for lab, one in zip(labs, of_labs, strict=True) if (found := _used(lab, one)) is not None]
    doubts = contradicting.words(case, films, note, [lab for lab, one in zip(labs, of_labs, strict=True) if one.used])
    return Content(
        verdicts,
        films=films,
        note=note,
        labs=tuple(sorted(used, key=lambda one: one.analyte)),
        flags=tuple(sorted({*_image_words(images), *notes.flags_of(of_notes), *_lab_words(labs, of_labs), *doubts})),
    )


def inputs_hash(case: StoredCase) -> str:
    """The identity of what a case holds: the same parts are the same content, whatever the order they came in."""
    excluded = {part for act in case.acts for part in act.excluded}
    facts = {
        "patient": dict(case.patient),
        "index_time": _iso(case.index_time),
        "complete": dict(case.complete),
        "images": sorted({_held_of(image) for image in case.images if f"images/{image.position}" not in excluded}),
        "notes": sorted({note_key(note) for note in case.notes if f"notes/{note.position}" not in excluded}),
        "labs": sorted({lab_key(lab) for lab in case.labs if f"labs/{lab.position}" not in excluded}),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def image_key(image: StoredImage) -> str:
    """What makes an image part the same as another, of the same case."""
    return f"{image.modality or ''} {image.original_sha256}"


def _held_of(image: StoredImage) -> str:
    """What a case holds of an image: one whose file was lost is another content."""
    return image_key(image) + (f" {FILE_MISSING}" if image.code == FILE_MISSING else "")


def note_key(note: StoredNote) -> str:
    moments = _iso(note.acquired_at), _iso(note.issued_at)
    return json.dumps([note.source_id, note.status, *moments, dict(note.identity), note.text], sort_keys=True)


def lab_key(lab: StoredLab) -> str:
    return json.dumps(dict(lab.original), sort_keys=True)


def lab_item(lab: StoredLab) -> LabItem:
    """The value as the judge takes it: from what was sent, verbatim."""
    told = dict(lab.original)
    code = told.get("code") or {}
    return LabItem(
        name=lab.name,
        source_id=told.get("id"),
        code=code.get("code"),
        system=code.get("system"),
        value=None if lab.value is None else Decimal(lab.value),
        comparator=told.get("comparator", ""),
        coded=told.get("coded"),
        unit=lab.unit,
        usual_unit=lab.usual_unit,
        limits=_limits(told.get("reference_range")),
        specimen=told.get("specimen"),
        collected_at=lab.collected_at,
        issued_at=_moment(told.get("issued_at")),
        received_at=lab.received_at,
        status=told.get("status", "final"),
        comment_codes=tuple(told.get("comments", ())),
    )


def _limits(told: Mapping[str, Any] | None) -> tuple[Decimal | None, Decimal | None]:
    ends = ((told or {}).get(end) for end in ("low", "high"))
    low, high = (None if end is None else Decimal(end) for end in ends)
    return low, high


def _judged(
    labs: Sequence[StoredLab], modalities: Sequence[Modality], index_time: datetime | None, image_time: datetime | None
) -> tuple[JudgedLab, ...]:
    analytes = [analyte for modality in modalities for analyte in modality.analytes]
    items = [lab_item(lab) for lab in labs]
    # Each value is judged by when it came in, so that a case says the same of it for ever.
    return judge(items, analytes, index_time=index_time, image_time=image_time, now=_NEVER)


def _used(lab: StoredLab, one: JudgedLab) -> UsedLab | None:
    if not one.used or one.analyte is None or one.value is None:
        return None
    return UsedLab(one.analyte, one.value, one.unit, lab.collected_at)


def _taken_at(images: Sequence[StoredImage]) -> datetime | None:
    """When the last of the films was taken, of those that say so with their offset from UTC."""
    told = (image.instance.facts.get("acquired_at") for image in images if image.instance is not None)
    moments = [moment for text in told if (moment := _moment(text)) is not None and moment.tzinfo is not None]
    return max(moments, default=None)


def _header_flags(image: StoredImage) -> tuple[str, ...]:
    return tuple(image.instance.facts.get("flags", ())) if image.instance is not None else ()


def _image_words(images: Sequence[StoredImage]) -> list[str]:
    return [f"{image.outcome}:{image.modality or 'image'}" for image in images if image.outcome not in KEPT]


def _lab_words(labs: Sequence[StoredLab], judged: Sequence[JudgedLab]) -> list[str]:
    words: list[str] = []
    for lab, one in zip(labs, judged, strict=True):
        name = one.analyte or f"labs/{lab.position}"  # not what the sender calls it: flags are told everywhere
        codes = [one.code] if one.code and one.code not in ("duplicate", "unused_input") else []
        words += [f"{code}:{name}" for code in [*codes, *one.flags]]
    return words


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _moment(text: Any) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
