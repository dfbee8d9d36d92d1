"""A new version of a case, kept with its events: whatever made it, by this one way."""

from sqlalchemy.orm import Session

from services import audit
from services.cases import hold, store
from services.cases.stored import StoredCase

CREATED, ADDED = "case.created", "case.added"


def keep(session: Session, before: StoredCase, after: StoredCase, cause: str, client: str, secret: bytes) -> None:
    """In the caller's transaction. What is owed for it is the caller's to say."""
    known = {image.position: image for image in before.images}
    judged_anew = [image for image in after.images if image != known.get(image.position, image)]
    store.judge_images(session, after.id, judged_anew)
    store.grow(session, after, cause, client)
    facts = {"version": after.version, "inputs_hash": after.inputs_hash, "cause": cause, "parts": _new_parts(after)}
    audit.record(session, client, ADDED if before.version else CREATED, after.id, of_case=after.id, **facts)
    if after.held and not before.held:
        fields = sorted({one.field for one in hold.contradictions(after, secret) if not one.settled})
        audit.record(session, client, "case.held", after.id, of_case=after.id, reason=after.held, fields=fields)
    if before.held and not after.held:
        audit.record(session, client, "case.released", after.id, of_case=after.id)


def _new_parts(case: StoredCase) -> list[str]:
    """What its version brought to a case."""
    found = [f"images/{image.position}" for image in case.images if image.version == case.version]
    found += [f"notes/{note.position}" for note in case.notes if note.version == case.version]
    return found + [f"labs/{lab.position}" for lab in case.labs if lab.version == case.version]
