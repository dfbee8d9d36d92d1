"""A new version of a case, kept with its events: whatever made it, by this one way; and a case as it was at an earlier
one."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy.orm import Session

from services import audit
from services.cases import hold, store
from services.cases.content import ACCEPTED, FILE_MISSING, QUARANTINED
from services.cases.stored import StoredCase, StoredImage, at_version

CREATED, ADDED = "case.created", "case.added"


def keep(session: Session, before: StoredCase, after: StoredCase, cause: str, client: str, secret: bytes) -> None:
    """In the caller's transaction. What is owed for it is the caller's to say."""
    known = {image.position: image for image in before.images}
    judged_anew = [image for image in after.images if image != known.get(image.position, image)]
    store.judge_images(session, after.id, judged_anew)
    store.grow(session, after, cause, client)
    facts: dict[str, Any] = {"version": after.version, "inputs_hash": after.inputs_hash, "cause": cause}
    facts |= {"parts": _new_parts(after), "complete": dict(after.complete), "lost": _lost(after)}
    wrote, action = _rows(after, judged_anew), ADDED if before.version else CREATED
    audit.record(session, client, action, after.id, of_case=after.id, wrote=wrote, **facts)
    if after.held and not before.held:
        fields = sorted({one.field for one in hold.contradictions(after, secret) if not one.settled})
        audit.record(session, client, "case.held", after.id, of_case=after.id, reason=after.held, fields=fields)
    if before.held and not after.held:
        audit.record(session, client, "case.released", after.id, of_case=after.id)


def at(session: Session, case: StoredCase, version: int) -> StoredCase:
    """What the case held at one of its versions."""
    made = (e.facts for e in audit.timeline(session, case.id) if e.action in (CREATED, ADDED))
    return as_told(case, version, next((facts for facts in made if facts.get("version") == version), {}))


def as_told(case: StoredCase, version: int, facts: Mapping[str, Any]) -> StoredCase:
    """What the case held at the version whose event has these facts. Its parts say when they came; the event says what
    had been said of its modalities, and which files were lost, unless it is of a service that did not tell."""
    then = at_version(case, version)
    if "lost" not in facts:
        return then
    images = tuple(_as_it_was(image, lost=image.position in facts["lost"]) for image in then.images)
    return replace(then, complete=facts["complete"], images=images)


def _as_it_was(image: StoredImage, *, lost: bool) -> StoredImage:
    """The image when its file was lost, or was not."""
    if (image.code == FILE_MISSING) == lost:
        return image
    if lost:
        return replace(image, outcome=QUARANTINED, code=FILE_MISSING)
    return replace(image, outcome=ACCEPTED if image.instance else QUARANTINED, code="")


def _lost(case: StoredCase) -> list[int]:
    """The positions of the images whose files are gone."""
    return [image.position for image in case.images if image.code == FILE_MISSING]


def _rows(case: StoredCase, judged_anew: Sequence[StoredImage]) -> list[str]:
    """The rows that its version wrote, by their names in `audit.seals`."""
    images = [*(image for image in case.images if image.version == case.version), *judged_anew]
    found = ["case", f"versions/{case.version}", *_new_parts(case), *(f"images/{i.position}" for i in judged_anew)]
    found += [f"acts/{act.position}" for act in case.acts if act.version == case.version]
    return found + [f"instances/{image.instance.sop_uid}" for image in images if image.instance is not None]


def _new_parts(case: StoredCase) -> list[str]:
    """What its version brought to a case."""
    found = [f"images/{image.position}" for image in case.images if image.version == case.version]
    found += [f"notes/{note.position}" for note in case.notes if note.version == case.version]
    return found + [f"labs/{lab.position}" for lab in case.labs if lab.version == case.version]
