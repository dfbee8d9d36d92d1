"""Images whose files were lost, and those whose files came back: the next version of a case says so, and is diagnosed
by what there is."""

from collections.abc import Callable, Collection
from dataclasses import replace

from sqlalchemy.orm import Session

from services.cases import growth, store, versions
from services.cases.content import ACCEPTED, FILE_MISSING, FILE_RETURNED, QUARANTINED
from services.cases.stored import StoredImage


def lose(session: Session, case_id: str, names: Collection[str], client: str, secret: bytes) -> None:
    """Quarantines the images of a case that are kept in files of these names, in the caller's transaction."""
    _change(session, case_id, lambda image: image.sha256 in names, FILE_MISSING, client, secret)


def regain(session: Session, case_id: str, names: Collection[str], client: str, secret: bytes) -> None:
    """Takes the images back that `lose` had quarantined."""
    _change(session, case_id, lambda i: i.sha256 in names and i.instance is not None, FILE_RETURNED, client, secret)


def _change(
    session: Session, case_id: str, concerns: Callable[[StoredImage], bool], cause: str, client: str, secret: bytes
) -> None:
    before = store.get(session, case_id, lock=True)
    if before is None:
        return
    lost = cause == FILE_MISSING
    outcome, code = (QUARANTINED, FILE_MISSING) if lost else (ACCEPTED, "")
    concerned = [i for i in before.images if concerns(i) and (i.code == FILE_MISSING) != lost]
    if not concerned:
        return
    images = [replace(i, outcome=outcome, code=code) if i in concerned else i for i in before.images]
    after = growth.hashed(replace(before, version=before.version + 1, images=tuple(images)), secret)
    named = sorted({f"{cause}:{image.modality or 'image'}" for image in concerned})
    versions.keep(session, before, after, ",".join(named)[:200], client, secret)
    if after.held:
        store.stop_waiting(session, case_id)
    else:
        store.wait(session, case_id, after.version)
