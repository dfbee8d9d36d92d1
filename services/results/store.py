"""Rows of results, in and out. The session, and its transaction, are the caller's."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from services.db import now
from services.tables import FlagRow, ResultRow


@dataclass(frozen=True)
class StoredResult:
    id: str
    case_id: str
    version: int
    inputs_hash: str
    model: str
    record: dict[str, Any]
    created_at: datetime
    flags: tuple[str, ...]


def find(session: Session, inputs_hash: str, model: str) -> str | None:
    """The id of the one result of these inputs and this model."""
    return session.scalar(sa.select(ResultRow.id).where(ResultRow.inputs_hash == inputs_hash, ResultRow.model == model))


def add(
    session: Session, case_id: str, inputs_hash: str, model: str, record: dict[str, Any], flags: Sequence[str]
) -> str:
    """The id of a new result, whose version is the case's next."""
    latest = session.scalar(sa.select(sa.func.max(ResultRow.version)).where(ResultRow.case_id == case_id)) or 0
    result_id = f"{case_id}-{latest + 1}"
    session.add(
        ResultRow(
            id=result_id,
            case_id=case_id,
            version=latest + 1,
            inputs_hash=inputs_hash,
            model=model,
            record=record,
            created_at=now(),
        )
    )
    session.flush()
    words = dict.fromkeys(flag[:120] for flag in flags)
    session.add_all(FlagRow(result_id=result_id, flag=word, case_id=case_id) for word in words)
    session.flush()
    return result_id


def of_case(session: Session, case_id: str) -> list[StoredResult]:
    """Newest first."""
    rows = session.scalars(
        sa.select(ResultRow).where(ResultRow.case_id == case_id).order_by(ResultRow.version.desc())
    ).all()
    return [_stored(session, row) for row in rows]


def get(session: Session, result_id: str) -> StoredResult | None:
    row = session.get(ResultRow, result_id)
    return None if row is None else _stored(session, row)


def _stored(session: Session, row: ResultRow) -> StoredResult:
    flags = session.scalars(sa.select(FlagRow.flag).where(FlagRow.result_id == row.id).order_by(FlagRow.flag)).all()
    return StoredResult(
        id=row.id,
        case_id=row.case_id,
        version=row.version,
        inputs_hash=row.inputs_hash,
        model=row.model,
        record=row.record,
        created_at=row.created_at,
        flags=tuple(flags),
    )
