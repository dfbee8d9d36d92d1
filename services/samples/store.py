"""Rows of samples, in and out, and the population they are drawn from. The session is the caller's."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from services.findings import AnswerRow, FindingRow, ReadingRow, SampledRow, SampleRow
from services.results.service import NEEDS_REVIEW
from services.samples.risk import CLOSE, Signs
from services.tables import CaseRow, FlagRow, ReviewRow
from services.worklist.filters import Filters
from services.worklist.matching import WORDS, rare

CONFLICTING = sa.or_(
    FlagRow.flag.startswith("conflict:"), FlagRow.flag.contains("contradicts"), FlagRow.flag == "collected_after_death"
)
"""The flags of a disagreement of the inputs, or of a contradiction between them."""


@dataclass(frozen=True)
class Unit:
    """A result that could be drawn."""

    result_id: str
    signs: Signs


@dataclass(frozen=True)
class StoredSample:
    id: str
    plan: str
    seed: int
    size: int
    population: int
    filters: dict[str, Any]
    client: str
    created_at: datetime


@dataclass(frozen=True)
class Drawn:
    """A result of a sample. `verdict` is the last that was said of it, or empty; `is_held`: nothing more is told of its
    case; `is_current`: no later result took its place."""

    result_id: str
    case_id: str
    reference: str | None
    inclusion: float
    verdict: str
    is_held: bool
    is_current: bool


@dataclass(frozen=True)
class Progress:
    sample: StoredSample
    drawn: int
    reviewed: int


def population(session: Session, filters: Filters) -> list[Unit]:
    """The current results of the cases that match and are not held, in the order of their cases: the same as long as
    they are."""
    rows = session.execute(_drawable(filters).order_by(CaseRow.seq)).all()
    near = sa.func.abs(FindingRow.probability - FindingRow.threshold) <= CLOSE
    found = {
        "abstained": _having(session, FindingRow, FindingRow.abstained != ""),
        "undecided": _having(session, FindingRow, FindingRow.undecided == sa.true()),
        "close": _having(session, FindingRow, near),
        "missing": _having(session, ReadingRow, ReadingRow.status != "present"),
        "again": _having(session, FlagRow, FlagRow.flag == NEEDS_REVIEW),
        "conflict": _having(session, FlagRow, CONFLICTING),
    }
    return [
        Unit(row.result_id, Signs(**{name: row.result_id in ids for name, ids in found.items()},
                                  not_reliable=row.reliability == "not_reliable"))
        for row in rows
    ]  # fmt: skip


def size(session: Session, filters: Filters) -> int:
    """How many there are in the population."""
    return session.scalar(sa.select(sa.func.count()).select_from(_drawable(filters).subquery())) or 0


def add(session: Session, sample: StoredSample, drawn: Sequence[tuple[str, float]]) -> None:
    """Keeps a sample with its results, in the order they are to be looked at, and the probability of each."""
    session.add(SampleRow(**vars(sample)))
    session.flush()
    session.add_all(
        SampledRow(sample_id=sample.id, result_id=result_id, position=position, inclusion=inclusion)
        for position, (result_id, inclusion) in enumerate(drawn)
    )
    session.flush()


def get(session: Session, sample_id: str) -> StoredSample | None:
    row = session.scalars(sa.select(SampleRow).where(SampleRow.id == sample_id)).one_or_none()
    return None if row is None else _stored(row)


def listed(session: Session, limit: int = 200) -> list[Progress]:
    """The last that were drawn, newest first, and how far they are."""
    rows = session.scalars(sa.select(SampleRow).order_by(SampleRow.seq.desc()).limit(limit)).all()
    is_reviewed = sa.case((_said().exists(), 1), else_=0)
    query = sa.select(SampledRow.sample_id, sa.func.count(), sa.func.sum(is_reviewed)).group_by(SampledRow.sample_id)
    counts = {row[0]: row for row in session.execute(query.where(SampledRow.sample_id.in_([row.id for row in rows])))}
    return [Progress(_stored(row), counts[row.id][1], counts[row.id][2]) for row in rows]


def drawn(session: Session, sample_id: str) -> list[Drawn]:
    """The results of a sample, in the order they are to be looked at."""
    last = _said().order_by(ReviewRow.position.desc()).limit(1).correlate(SampledRow).scalar_subquery()
    query = (
        sa.select(SampledRow, AnswerRow.case_id, AnswerRow.current, CaseRow.reference, CaseRow.held, last)
        .join(AnswerRow, AnswerRow.result_id == SampledRow.result_id)
        .join(CaseRow, CaseRow.id == AnswerRow.case_id)
        .where(SampledRow.sample_id == sample_id)
        .order_by(SampledRow.position)
    )
    return [
        Drawn(row.result_id, case_id, reference, row.inclusion, verdict or "", bool(held), current)
        for row, case_id, current, reference, held, verdict in session.execute(query).all()
    ]


def _drawable(filters: Filters) -> sa.Select[str, str]:
    """(result, reliability)"""
    matched = rare(filters).subquery()
    query = sa.select(AnswerRow.result_id, AnswerRow.reliability).join(CaseRow, CaseRow.id == AnswerRow.case_id)
    return query.join(matched, matched.c.seq == CaseRow.seq).where(AnswerRow.current, CaseRow.held == "")


def _said() -> sa.Select[str]:
    """What was said of the results of samples."""
    return sa.select(ReviewRow.verdict).where(
        ReviewRow.case_id == sa.func.substr(SampledRow.result_id, 1, 36),  # a result's id begins with its case's
        ReviewRow.result_id == SampledRow.result_id,
        ReviewRow.verdict.in_(WORDS),
    )


def _having(session: Session, row: Any, condition: sa.ColumnElement[bool]) -> set[str]:
    """Of all results, superseded ones too: to ask which are current takes longer than to pass them over."""
    return set(session.scalars(sa.select(row.result_id).where(condition)))


def _stored(row: SampleRow) -> StoredSample:
    return StoredSample(**{name: getattr(row, name) for name in StoredSample.__dataclass_fields__})
