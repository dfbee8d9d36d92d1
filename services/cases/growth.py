"""What a case becomes by what arrives: a new version, or the same one where everything is there already."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from clinimm.types import Modality
from services.cases import hold
from services.cases.arrivals import Arrivals, Arrived, choose_modality
from services.cases.content import FILE_MISSING, FILE_RETURNED, STORED, image_key, inputs_hash, lab_key, note_key
from services.cases.stored import Instance, StoredCase, StoredImage, StoredLab, StoredNote
from services.errors import Conflict, Issue, Refused

Part = TypeVar("Part", StoredImage, StoredNote, StoredLab)

IMAGES, NOTES, LABS = "images", "notes", "labs"


@dataclass(frozen=True)
class Growth:
    """The case as it becomes; `parts` names what the request brought, in its order, each with whether it was there
    already. `cause` is empty where nothing is new. `returned` are the instances whose lost files came again."""

    case: StoredCase
    parts: tuple[tuple[str, bool], ...]
    cause: str
    returned: tuple[str, ...]


def grown(
    case: StoredCase, arrivals: Arrivals, known: Mapping[str, Instance], modalities: Sequence[Modality], secret: bytes
) -> Growth:
    """`known` are the instances that are kept already, of all that arrive or are referred to.

    Raises Conflict `instance_conflict` for an instance that is kept with other bytes, Refused `unknown_reference`."""
    check_conflicts(arrivals.images, known)
    version = case.version + 1
    referred = _referred(arrivals, known, modalities)
    there, returned = _returned(case.images, arrivals.images)
    images, image_parts = _joined(there, [*(one.image for one in arrivals.images), *referred], image_key, version)
    notes, note_parts = _joined(case.notes, arrivals.notes, note_key, version)
    labs, lab_parts = _joined(case.labs, arrivals.labs, lab_key, version)
    parts = {NOTES: note_parts, LABS: lab_parts, IMAGES: image_parts}
    named = tuple((f"{kind}/{position}", not new) for kind, found in parts.items() for position, new in found)
    fresh = [part for part, repeated in named if not repeated]
    after = replace(case, version=version, images=_known_marked(images, known, version), notes=notes, labs=labs)
    cause = ",".join(filter(None, [*returned, _cause(case, after, fresh)]))[:200]
    settled = hashed(after, secret) if cause else case
    return Growth(settled, named, cause, tuple(sorted(_came_again(arrivals, known))))


def _came_again(arrivals: Arrivals, known: Mapping[str, Instance]) -> set[str]:
    came = {one.image.instance.sop_uid for one in arrivals.images if one.image.instance is not None}
    return {uid for uid in came if uid in known and known[uid].lost}


def hashed(case: StoredCase, secret: bytes) -> StoredCase:
    """The case with the hash of what it holds, and held if its parts contradict each other."""
    return replace(case, inputs_hash=inputs_hash(case), held=hold.reason(case, secret))


def _joined(
    there: Sequence[Part], arriving: Sequence[Part], key: Callable[[Part], str], version: int
) -> tuple[tuple[Part, ...], list[tuple[int, bool]]]:
    """The parts that were there and the new ones, each at its position; and the (position, is new) of all arriving."""
    positions = {key(part): part.position for part in reversed(there)}
    joined, found = list(there), list[tuple[int, bool]]()
    for part in arriving:
        name = key(part)
        new = name not in positions
        if new:
            positions[name] = len(joined)
            joined.append(replace(part, position=len(joined), version=version))
        found.append((positions[name], new))
    return tuple(joined), found


def _returned(
    there: Sequence[StoredImage], arriving: Sequence[Arrived]
) -> tuple[tuple[StoredImage, ...], Sequence[str]]:
    """The images that were there, of which those whose file was lost and now came again are as it is; and words for
    them."""
    came = {image_key(one.image): one.image for one in arriving if one.image.sha256 is not None}
    back = {i.position: came[image_key(i)] for i in there if i.code == FILE_MISSING and image_key(i) in came}
    images = tuple(
        replace(image, outcome=again.outcome, code=again.code) if (again := back.get(image.position)) else image
        for image in there
    )
    return images, sorted({f"{FILE_RETURNED}:{image.modality or 'image'}" for image in back.values()})


def _referred(
    arrivals: Arrivals, known: Mapping[str, Instance], modalities: Sequence[Modality]
) -> Iterator[StoredImage]:
    """Images that are named and not sent. Raises Refused that names every one that is not kept or has no place."""
    issues: list[Issue] = []
    for index, one in enumerate(arrivals.references):
        modality, code = choose_modality(one.modality, modalities)
        instance = known.get(one.sop_instance_uid)
        if instance is None or instance.lost or code:
            issues.append(Issue(f"/images/{index}", code or "unknown_reference"))
            continue
        yield StoredImage(
            position=-1,
            version=0,
            modality=modality,
            outcome=STORED,
            code="",
            bytes=instance.bytes,
            original_sha256=instance.original_sha256,
            sha256=instance.sha256,
            preamble_nulled=instance.preamble_nulled,
            instance=instance,
        )
    if issues:
        raise Refused("unknown_reference", "An image is referred to that is not stored.", issues=issues)


def check_conflicts(images: Sequence[Arrived], known: Mapping[str, Instance]) -> None:
    """Raises Conflict that names every instance that is kept, or comes twice, with other bytes."""
    seen = {uid: instance.original_sha256 for uid, instance in known.items()}
    issues: list[Issue] = []
    for index, one in enumerate(images):
        instance = one.image.instance
        if instance is None:
            continue
        if seen.setdefault(instance.sop_uid, instance.original_sha256) != instance.original_sha256:
            issues.append(Issue(f"/images/{index}", "instance_conflict", f"SOP Instance UID {instance.sop_uid}"))
    if issues:
        raise Conflict(
            "instance_conflict", "An instance is stored already with other content; the first is kept.", issues=issues
        )


def _known_marked(
    images: Sequence[StoredImage], known: Mapping[str, Instance], version: int
) -> tuple[StoredImage, ...]:
    """A new part whose instance is kept already, by another case, says so."""
    return tuple(
        replace(image, outcome=STORED)
        if image.version == version and image.instance and image.instance.sop_uid in known
        else image
        for image in images
    )


def _cause(before: StoredCase, after: StoredCase, fresh: Sequence[str]) -> str:
    """Why there is this version: `created`, or by the modality or kind of input what was added or taken back; "" where
    nothing was."""
    if not before.version:
        return "created"
    words: dict[str, None] = {}
    for part in fresh:
        kind, _, position = part.partition("/")
        words[_word(kind, getattr(after, kind)[int(position)], before)] = None
    return ",".join(words)


def _word(kind: str, part: StoredImage | StoredNote | StoredLab, before: StoredCase) -> str:
    if isinstance(part, StoredImage):
        name = part.modality or "image"
        there = any(image.modality == part.modality for image in before.images)
        return f"images_added:{name}" if there else f"modality_added:{name}"
    status = part.status if isinstance(part, StoredNote) else str(part.original.get("status", "final"))
    if status in ("corrected", "cancelled", "entered-in-error"):
        return f"{kind}_{status.replace('-', '_')}"
    return f"{kind}_added" if getattr(before, kind) else f"modality_added:{kind}"
