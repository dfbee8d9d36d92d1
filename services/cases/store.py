"""Rows of cases, in and out. The session, and its transaction, are the caller's."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session, selectinload

from services.cases.stored import LOST, Instance, Line, StoredAct, StoredCase, StoredImage, StoredLab, StoredNote
from services.db import now
from services.tables import (
    CaseRow,
    DueRow,
    FlagRow,
    ImageRow,
    InstanceRow,
    LabRow,
    NoteRow,
    ReconciliationRow,
    ResultRow,
    VersionRow,
    locking,
)


def grow(session: Session, case: StoredCase, cause: str, client: str) -> None:
    """Brings the rows to the version that `case` is at, the first or a later one: the case, what is new of its parts,
    and the version itself."""
    new = {"images": ImageRow, "notes": NoteRow, "labs": LabRow, "acts": ReconciliationRow}
    _keep_case(session, case)
    _keep_instances(session, (image.instance for image in case.images if image.version == case.version))
    for name, row in new.items():
        parts = [part for part in getattr(case, name) if part.version == case.version]
        session.add_all(row(case_id=case.id, **_row_values(part)) for part in parts)
    session.add(
        VersionRow(
            case_id=case.id,
            version=case.version,
            inputs_hash=case.inputs_hash,
            cause=cause,
            client=client,
            created_at=now(),
        )
    )
    session.flush()


def judge_images(session: Session, case_id: str, images: Iterable[StoredImage]) -> None:
    """Says anew what became of some images of a case."""
    for image in images:
        session.execute(
            sa.update(ImageRow)
            .where(ImageRow.case_id == case_id, ImageRow.position == image.position)
            .values(outcome=image.outcome, code=image.code)
            .execution_options(synchronize_session=False)
        )


def mark_lost(session: Session, sop_uids: Collection[str], *, lost: bool) -> None:
    """Notes of instances that their files are gone, or that they are there again."""
    for uid in sorted(sop_uids):
        row = session.get_one(InstanceRow, uid)
        row.facts = {name: fact for name, fact in row.facts.items() if name != LOST} | ({LOST: True} if lost else {})
    session.flush()


def get(session: Session, case_id: str, *, lock: bool = False) -> StoredCase | None:
    """With `lock`, nobody else changes the case until the transaction ends."""
    if lock:  # before anything is read: on PostgreSQL a plain read would see what was there before the wait
        session.execute(locking(case_id))
    return _case(session, CaseRow.id == case_id)


def several(session: Session, case_ids: Collection[str]) -> list[StoredCase]:
    """Those of the cases that are there."""
    return _cases(session, CaseRow.id.in_(case_ids))


def created_of(session: Session, created_hash: str) -> StoredCase | None:
    return _case(session, CaseRow.created_hash == created_hash)


def exists(session: Session, case_id: str) -> bool:
    return session.scalar(sa.select(CaseRow.seq).where(CaseRow.id == case_id)) is not None


def held(session: Session, case_id: str) -> str | None:
    """Why no answer may be given, "" if one may, None if there is no such case."""
    return session.scalar(sa.select(CaseRow.held).where(CaseRow.id == case_id))


def instances(session: Session, sop_uids: Collection[str]) -> dict[str, Instance]:
    """Those of the instances that are kept, by their UID."""
    found: dict[str, Instance] = {}
    wanted = sorted(set(sop_uids))
    for start in range(0, len(wanted), 500):
        query = sa.select(InstanceRow).where(InstanceRow.sop_uid.in_(wanted[start : start + 500]))
        found |= {row.sop_uid: _instance(row) for row in session.scalars(query)}
    return found


def causes(session: Session, case_id: str, after: int, until: int | None = None) -> list[str]:
    """Why the case has each version after one, until another or the last."""
    query = sa.select(VersionRow.cause).where(VersionRow.case_id == case_id, VersionRow.version > after)
    if until is not None:
        query = query.where(VersionRow.version <= until)
    return list(session.scalars(query.order_by(VersionRow.version)))


def page(session: Session, *, flag: str | None, reference: str | None, before: int | None, limit: int) -> list[Line]:
    """Newest first, so that cases that arrive meanwhile shift nothing. `flag` is one of the latest result."""
    query = sa.select(CaseRow).order_by(CaseRow.seq.desc()).limit(limit)
    if before is not None:
        query = query.where(CaseRow.seq < before)
    if reference is not None:
        query = query.where(CaseRow.reference == reference)
    if flag is not None:
        query = query.where(CaseRow.id.in_(_latest_flags().where(FlagRow.flag == flag)), CaseRow.held == "")
    rows = session.scalars(query).all()
    flags = _flags(session, [row.id for row in rows if not row.held])
    return [
        Line(row.seq, row.id, row.version, row.reference, row.held, row.created_at, tuple(flags.get(row.id, ())))
        for row in rows
    ]


def wait(session: Session, case_id: str, version: int) -> None:
    """Notes that the case changed, and is to be diagnosed once it is quiet."""
    row = session.get(DueRow, case_id)
    if row is None:
        session.add(DueRow(case_id=case_id, version=version, since=now()))
    else:
        row.version = version
    session.flush()


def stop_waiting(session: Session, case_id: str) -> None:
    session.execute(sa.delete(DueRow).where(DueRow.case_id == case_id))


def waiting(session: Session, case_ids: Collection[str] | None = None) -> dict[str, int]:
    """The cases that wait until they are quiet, with their versions; of some, or all."""
    query = sa.select(DueRow.case_id, DueRow.version)
    if case_ids is not None:
        query = query.where(DueRow.case_id.in_(case_ids))
    return {row.case_id: row.version for row in session.execute(query)}


def known(session: Session, sha256s: Collection[str]) -> set[str]:
    """Those of the names that an image or an instance has."""
    found: set[str] = set()
    for column in (ImageRow.sha256, InstanceRow.sha256):
        found |= {name for name in session.scalars(sa.select(column).where(column.in_(sha256s)).distinct()) if name}
    return found


def _keep_case(session: Session, case: StoredCase) -> None:
    if case.version == 1:
        session.add(CaseRow(**_values(case, "images", "notes", "labs", "acts")))
        session.flush()
        return
    session.execute(
        sa.update(CaseRow)
        .where(CaseRow.id == case.id)
        .values(version=case.version, inputs_hash=case.inputs_hash, held=case.held, complete=dict(case.complete))
        .execution_options(synchronize_session=False)
    )


def _keep_instances(session: Session, wanted: Iterable[Instance | None]) -> None:
    """In the order of their UIDs, so that two requests with the same ones never wait for each other in a circle."""
    named = {instance.sop_uid: instance for instance in wanted if instance is not None}
    there = instances(session, named)
    new = [named[uid] for uid in sorted(named.keys() - there.keys())]
    session.add_all(InstanceRow(**_values(instance), created_at=now()) for instance in new)
    session.flush()


def _case(session: Session, condition: sa.ColumnElement[bool]) -> StoredCase | None:
    return next(iter(_cases(session, condition)), None)


def _cases(session: Session, condition: sa.ColumnElement[bool]) -> list[StoredCase]:
    loaded = [selectinload(part) for part in (CaseRow.images, CaseRow.notes, CaseRow.labs, CaseRow.acts)]
    query = sa.select(CaseRow).where(condition).options(*loaded).execution_options(populate_existing=True)
    rows = session.scalars(query).all()
    known = instances(session, [image.sop_uid for row in rows for image in row.images if image.sop_uid])
    return [_stored(row, known) for row in rows]


def _stored(row: CaseRow, known: Mapping[str, Instance]) -> StoredCase:
    return StoredCase(
        **_fields(row, StoredCase, "images", "notes", "labs", "acts"),
        images=tuple(
            StoredImage(**_fields(image, StoredImage, "instance"), instance=known.get(image.sop_uid or ""))
            for image in row.images
        ),
        notes=tuple(StoredNote(**_fields(note, StoredNote)) for note in row.notes),
        labs=tuple(StoredLab(**_fields(lab, StoredLab)) for lab in row.labs),
        acts=tuple(
            StoredAct(
                **_fields(act, StoredAct, "settled", "excluded"),
                settled=tuple(act.settled),
                excluded=tuple(act.excluded),
            )
            for act in row.acts
        ),
    )


def _latest_flags() -> sa.Select[str]:
    """The cases of flags that belong to a result which none supersedes."""
    later = sa.select(ResultRow.id).where(ResultRow.supersedes == FlagRow.result_id)
    return sa.select(FlagRow.case_id).where(~later.exists())


def _flags(session: Session, case_ids: Sequence[str]) -> dict[str, list[str]]:
    query = _latest_flags().add_columns(FlagRow.flag).where(FlagRow.case_id.in_(case_ids)).order_by(FlagRow.flag)
    flags: dict[str, list[str]] = {}
    for case_id, flag in session.execute(query.distinct()):
        flags.setdefault(case_id, []).append(flag)
    return flags


def _instance(row: InstanceRow) -> Instance:
    return Instance(**_fields(row, Instance))


def _fields(row: object, noun: type[Any], *without: str) -> dict[str, Any]:
    return {one.name: getattr(row, one.name) for one in fields(noun) if one.name not in without}


def _values(noun: Any, *without: str) -> dict[str, Any]:
    return {name: _plain(value) for name, value in vars(noun).items() if name not in without}


def _row_values(part: Any) -> dict[str, Any]:
    values = _values(part, "instance")
    if isinstance(part, StoredImage):
        values["sop_uid"] = part.instance.sop_uid if part.instance else None
    return values


def _plain(value: Any) -> Any:
    """JSON columns hold lists and dicts."""
    return list(value) if isinstance(value, tuple) else value
