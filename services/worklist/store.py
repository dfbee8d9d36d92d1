"""Reads what a worklist shows. The session is the caller's."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import InstrumentedAttribute, Session

from services.cases import store as cases
from services.findings import AnswerRow, FindingRow, ReadingRow
from services.jobs import state
from services.jobs.state import Standing
from services.results.service import HELD, NEEDS_REVIEW
from services.tables import CaseRow, FlagRow, Moment, ReviewRow
from services.worklist.filters import Filters
from services.worklist.matching import WORDS, frequent, rare

COUNTED = 2000
MOST_CHOICES = 300


@dataclass(frozen=True)
class Finding:
    """An answer about one target; `abstained` is why there is none, or empty."""

    target: str
    probability: float | None
    threshold: float
    decision: bool | None
    undecided: bool
    abstained: str


@dataclass(frozen=True)
class Answered:
    """The current answer of a case. `inputs` tells the status of each; `reliability` is empty while there is no report;
    `reviewed` says that a person spoke of the case, `again` that one must look once more."""

    result_id: str
    model: str
    reliability: str
    findings: tuple[Finding, ...]
    inputs: dict[str, str]
    flags: tuple[str, ...]
    reviewed: bool
    again: bool


@dataclass(frozen=True)
class Line:
    """A case in the list. `answer` is None where there is none yet, and where the case is held, whatever was answered
    before."""

    seq: int
    id: str
    reference: str | None
    sender: str
    created_at: datetime
    state: str
    reason: str
    answer: Answered | None


def count(session: Session, filters: Filters) -> int:
    """How many there are; one more than `COUNTED` for all that is over it, since to count on would take long."""
    some = rare(filters).limit(COUNTED + 1).subquery()
    return session.scalar(sa.select(sa.func.count()).select_from(some)) or 0


def page(session: Session, filters: Filters, before: int | None, limit: int, *, are_many: bool) -> list[Line]:
    """Newest first, so that cases that arrive meanwhile shift nothing. `are_many`: more than `COUNTED` match."""
    query = (frequent if are_many else rare)(filters).order_by(CaseRow.seq.desc()).limit(limit)
    if before is not None:
        query = query.where(CaseRow.seq < before)
    return _lines(session, [row.id for row in session.execute(query)])


@dataclass(frozen=True)
class Answering:
    """How many results a model gave here, and when the first and the last."""

    model: str
    results: int
    first: datetime
    last: datetime


def answered(session: Session) -> list[Answering]:
    """Every model that answered here, the latest first."""
    at = AnswerRow.created_at
    last = sa.func.max(at, type_=Moment)
    query = sa.select(AnswerRow.model, sa.func.count(), sa.func.min(at, type_=Moment), last).group_by(AnswerRow.model)
    return [Answering(*row) for row in session.execute(query.order_by(last.desc()))]


def distinct(session: Session, column: InstrumentedAttribute[str]) -> list[str]:
    """The values of a column that begins an index, each found by one jump from that before it: as many as there are
    values, not rows. Source: the PostgreSQL wiki, Loose indexscan."""
    values = sa.select(sa.func.min(column).label("value")).cte("value_by_value", recursive=True)
    after = sa.select(sa.func.min(column)).where(column > values.c.value).scalar_subquery()
    values = values.union_all(sa.select(after).where(values.c.value.is_not(None)))
    found = session.scalars(sa.select(values.c.value).where(values.c.value.is_not(None)).limit(MOST_CHOICES))
    return list(found)


def _lines(session: Session, case_ids: Sequence[str]) -> list[Line]:
    rows = session.scalars(sa.select(CaseRow).where(CaseRow.id.in_(case_ids)).order_by(CaseRow.seq.desc())).all()
    answers = dict(_answers(session, [row.id for row in rows if not row.held]))
    jobs, waiting = state.of(session, "diagnose", case_ids), cases.waiting(session, case_ids)
    return [_line(row, Standing(jobs.get(row.id), row.id in waiting), answers.get(row.id)) for row in rows]


def _line(row: CaseRow, standing: Standing, answer: Answered | None) -> Line:
    word, reason = (HELD, row.held) if row.held else (standing.word, standing.reason)
    return Line(row.seq, row.id, row.reference, row.client, row.created_at, word, reason, answer)


def _answers(session: Session, case_ids: Sequence[str]) -> Iterator[tuple[str, Answered]]:
    rows = session.scalars(sa.select(AnswerRow).where(AnswerRow.case_id.in_(case_ids), AnswerRow.current)).all()
    ids = [row.result_id for row in rows]
    findings = _by_result(session, FindingRow, ids, FindingRow.target)
    readings = _by_result(session, ReadingRow, ids, ReadingRow.input)
    flags = _by_result(session, FlagRow, ids, FlagRow.flag)
    spoken = sa.select(ReviewRow.case_id, ReviewRow.result_id).where(ReviewRow.verdict.in_(WORDS))
    said = {tuple(one) for one in session.execute(spoken.where(ReviewRow.case_id.in_(case_ids)))}
    reviewed = {case_id for case_id, _ in said}
    for row in rows:
        names = tuple(one.flag for one in flags.get(row.result_id, ()))
        yield (
            row.case_id,
            Answered(
                result_id=row.result_id,
                model=row.model,
                reliability=row.reliability,
                findings=tuple(_finding(one) for one in findings.get(row.result_id, ())),
                inputs={one.input: one.status for one in readings.get(row.result_id, ())},
                flags=tuple(name for name in names if name != NEEDS_REVIEW),
                reviewed=row.case_id in reviewed,
                again=NEEDS_REVIEW in names and (row.case_id, row.result_id) not in said,
            ),
        )


def _by_result(
    session: Session, row: type[Any], result_ids: Sequence[str], order: InstrumentedAttribute[str]
) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for one in session.scalars(sa.select(row).where(row.result_id.in_(result_ids)).order_by(order)):
        found.setdefault(one.result_id, []).append(one)
    return found


def _finding(row: FindingRow) -> Finding:
    return Finding(**{name: getattr(row, name) for name in Finding.__dataclass_fields__})
