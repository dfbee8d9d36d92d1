"""Rows of cases, in and out. The session, and its transaction, are the caller's."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session, selectinload

from services.db import now
from services.tables import CaseRow, FlagRow, ImageRow, KeyRow, LabRow


@dataclass(frozen=True)
class StoredImage:
    modality: str | None
    outcome: str
    code: str
    bytes: int
    original_sha256: str
    sha256: str | None
    preamble_nulled: bool


@dataclass(frozen=True)
class StoredLab:
    name: str
    value: str
    unit: str
    collected_at: datetime | None
    outcome: str
    code: str


@dataclass(frozen=True)
class StoredCase:
    id: str
    client: str
    reference: str | None
    patient_id: str
    index_time: datetime | None
    note: str | None
    note_acquired_at: datetime | None
    inputs_hash: str
    created_at: datetime
    images: tuple[StoredImage, ...]
    labs: tuple[StoredLab, ...]


@dataclass(frozen=True)
class Line:
    """A case in a list; `flags` are those of its results."""

    seq: int
    id: str
    reference: str | None
    created_at: datetime
    flags: tuple[str, ...]


def add(session: Session, case: StoredCase) -> None:
    scalars = {name: getattr(case, name) for name in _CASE_FIELDS}
    images = [ImageRow(position=i, **vars(image)) for i, image in enumerate(case.images)]
    labs = [LabRow(position=i, **vars(lab)) for i, lab in enumerate(case.labs)]
    session.add(CaseRow(**scalars, images=images, labs=labs))
    session.flush()


def get(session: Session, case_id: str) -> StoredCase | None:
    return _case(session, CaseRow.id == case_id)


def with_hash(session: Session, inputs_hash: str) -> StoredCase | None:
    return _case(session, CaseRow.inputs_hash == inputs_hash)


def page(session: Session, *, flag: str | None, before: int | None, limit: int) -> list[Line]:
    """Newest first, so that cases that arrive meanwhile shift nothing."""
    query = sa.select(CaseRow).order_by(CaseRow.seq.desc()).limit(limit)
    if before is not None:
        query = query.where(CaseRow.seq < before)
    if flag is not None:
        query = query.where(CaseRow.id.in_(sa.select(FlagRow.case_id).where(FlagRow.flag == flag)))
    rows = session.scalars(query).all()
    flags = _flags(session, [row.id for row in rows])
    return [Line(row.seq, row.id, row.reference, row.created_at, tuple(flags.get(row.id, ()))) for row in rows]


def answered(session: Session, client: str, key: str) -> tuple[str, str] | None:
    """(case id, body) of the first answer that this key of this client got."""
    row = session.get(KeyRow, (client, key))
    return None if row is None else (row.case_id, row.body)


def remember(session: Session, client: str, key: str, case_id: str, body: str) -> None:
    session.add(KeyRow(client=client, key=key, case_id=case_id, body=body, created_at=now()))
    session.flush()


def known(session: Session, sha256s: Collection[str]) -> set[str]:
    """Those of the names that an image row has."""
    query = sa.select(ImageRow.sha256).where(ImageRow.sha256.in_(sha256s)).distinct()
    return {name for name in session.scalars(query) if name}


def _case(session: Session, condition: sa.ColumnElement[bool]) -> StoredCase | None:
    loaded = selectinload(CaseRow.images), selectinload(CaseRow.labs)
    row = session.scalars(sa.select(CaseRow).where(condition).options(*loaded)).one_or_none()
    if row is None:
        return None
    images = tuple(StoredImage(**{name: getattr(image, name) for name in _IMAGE_FIELDS}) for image in row.images)
    labs = tuple(StoredLab(**{name: getattr(lab, name) for name in _LAB_FIELDS}) for lab in row.labs)
    return StoredCase(**{name: getattr(row, name) for name in _CASE_FIELDS}, images=images, labs=labs)


def _flags(session: Session, case_ids: Sequence[str]) -> dict[str, list[str]]:
    rows = session.execute(
        sa.select(FlagRow.case_id, FlagRow.flag).where(FlagRow.case_id.in_(case_ids)).order_by(FlagRow.flag).distinct()
    )
    flags: dict[str, list[str]] = {}
    for case_id, flag in rows:
        flags.setdefault(case_id, []).append(flag)
    return flags


_IMAGE_FIELDS = tuple(StoredImage.__dataclass_fields__)
_LAB_FIELDS = tuple(StoredLab.__dataclass_fields__)
_CASE_FIELDS = tuple(name for name in StoredCase.__dataclass_fields__ if name not in ("images", "labs"))
