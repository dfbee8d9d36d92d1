"""Rows of results, in and out. The session, and its transaction, are the caller's."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from services.findings import AnswerRow, FindingRow, ReadingRow
from services.tables import Base, CaseRow, FlagRow, ResultRow, locking


@dataclass(frozen=True)
class StoredResult:
    id: str
    case_id: str
    version: int
    inputs_hash: str
    model: str
    case_version: int
    cause: str
    supersedes: str | None
    changes: dict[str, Any]
    record: dict[str, Any]
    created_at: datetime
    flags: tuple[str, ...]


def find(session: Session, case_id: str, inputs_hash: str, model: str) -> str | None:
    """The id of the one result of this content of the case and this model."""
    row = ResultRow
    query = sa.select(row.id).where(row.case_id == case_id, row.inputs_hash == inputs_hash, row.model == model)
    return session.scalar(query)


def latest(session: Session, case_id: str) -> str | None:
    """The id of the result that none supersedes."""
    row = ResultRow
    return session.scalar(sa.select(row.id).where(row.case_id == case_id).order_by(row.version.desc()).limit(1))


def lock(session: Session, case_id: str) -> tuple[int, str, str]:
    """(version, inputs hash, why it is held) of a case that nobody else changes until the transaction ends."""
    row = CaseRow
    found = session.execute(locking(case_id).returning(row.version, row.inputs_hash, row.held))
    version, inputs_hash, held = found.one()
    return version, inputs_hash, held


def add(session: Session, result: StoredResult) -> None:
    """Keeps a new result with its flags, and in short beside it."""
    values = {name: value for name, value in vars(result).items() if name != "flags"}
    session.add(ResultRow(**values))
    session.flush()
    words = dict.fromkeys(flag[:120] for flag in result.flags)
    session.add_all(FlagRow(result_id=result.id, flag=word, case_id=result.case_id) for word in words)
    _add_in_short(session, result)
    session.flush()


def of_case(session: Session, case_id: str) -> list[StoredResult]:
    """Newest first."""
    rows = session.scalars(
        sa.select(ResultRow).where(ResultRow.case_id == case_id).order_by(ResultRow.version.desc())
    ).all()
    return [_stored(session, row) for row in rows]


def get(session: Session, result_id: str) -> StoredResult | None:
    row = session.get(ResultRow, result_id)
    return None if row is None else _stored(session, row)


def _add_in_short(session: Session, result: StoredResult) -> None:
    session.execute(
        sa.update(AnswerRow)
        .where(AnswerRow.result_id == result.supersedes)
        .values(current=False)
        .execution_options(synchronize_session=False)
    )
    session.add_all(row(**values) for row, values in in_short(vars(result)))


def in_short(result: Mapping[str, Any]) -> list[tuple[type[Base], dict[str, Any]]]:
    """The rows that are kept beside a result, given by its columns, as long as none supersedes it and it has no report:
    of each the table and its columns."""
    told = {name: result[name] for name in ("case_id", "model", "created_at")}
    record, of_result = result["record"], {"result_id": result["id"]}
    weights = record["weights"]
    readings = [
        {"input": name, "status": state["status"], "weight": weights.get(name, 0.0), "share": None}
        for name, state in record["inputs"].items()
    ]
    return [
        (AnswerRow, of_result | told | {"current": True, "reliability": ""}),
        *((FindingRow, of_result | _finding(target)) for target in record["targets"]),
        *((ReadingRow, of_result | reading) for reading in readings),
    ]


def _finding(target: Mapping[str, Any]) -> dict[str, Any]:
    possible = target.get("conformal_set")
    told = {name: target[name] for name in ("target", "probability", "threshold", "decision")}
    undecided = possible is not None and len(possible) != 1
    return told | {"undecided": undecided, "abstained": target["abstained"] or ""}


def _stored(session: Session, row: ResultRow) -> StoredResult:
    flags = session.scalars(sa.select(FlagRow.flag).where(FlagRow.result_id == row.id).order_by(FlagRow.flag)).all()
    return StoredResult(**{name: getattr(row, name) for name in _FIELDS}, flags=tuple(flags))


_FIELDS = tuple(name for name in StoredResult.__dataclass_fields__ if name != "flags")
