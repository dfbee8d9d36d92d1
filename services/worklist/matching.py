"""The cases that filters leave, as queries. Two find the same, and which is quick hangs on how many they find.

`rare` begins at what is asked for and then looks at its cases; `frequent` goes through the cases, the newest first, and
asks of each. Neither makes a list of all that matches before it gives the first, so that whoever wants few waits for
few."""

from collections.abc import Iterator, Mapping

import sqlalchemy as sa

from services.findings import AnswerRow, FindingRow
from services.results.service import NEEDS_REVIEW
from services.tables import CaseRow, FlagRow, ReviewRow
from services.worklist.filters import ABSTAINED, FLAGGED, NOT_FLAGGED, REVIEWED, UNDECIDED, YES, Filters

WORDS = ("signed_off", "rejected")
"""What a person can have said of a result that counts as its review."""


def rare(filters: Filters) -> sa.Select[int, str]:
    """(seq, id) of the cases, in no order. What is asked of answers is asked of each case's current one, and finds no
    case that is held. No join gives a case twice: each is by the whole key of its table."""
    query = sa.select(CaseRow.seq, CaseRow.id).where(*_of_case(filters))
    if not filters.asks_answers:
        return query
    query = query.join(AnswerRow, AnswerRow.case_id == CaseRow.id).where(CaseRow.held == "", AnswerRow.current)
    query = query.where(*(AnswerRow.__table__.c[name] == value for name, value in _of_answer(filters)))
    for word in _flags(filters):
        flag = sa.orm.aliased(FlagRow)
        query = query.join(flag, sa.and_(flag.result_id == AnswerRow.result_id, flag.flag == word))
    if filters.target:
        query = query.join(FindingRow, FindingRow.result_id == AnswerRow.result_id).where(*_of_finding(filters))
    elif filters.answer:
        query = query.where(AnswerRow.result_id.in_(sa.select(FindingRow.result_id).where(*_of_finding(filters))))
    return query.where(*_of_review(filters, AnswerRow.result_id))


def frequent(filters: Filters) -> sa.Select[int, str]:
    """The same. All that is asked of an answer is asked by its id, so that no database begins anywhere else."""
    query = sa.select(CaseRow.seq, CaseRow.id).where(*_of_case(filters))
    if not filters.asks_answers:
        return query
    its = sa.select(AnswerRow).where(AnswerRow.case_id == CaseRow.id, AnswerRow.current).correlate(CaseRow)
    result_id = its.with_only_columns(AnswerRow.result_id).scalar_subquery()
    query = query.where(CaseRow.held == "", its.exists())
    for name, value in _of_answer(filters):
        query = query.where(its.with_only_columns(AnswerRow.__table__.c[name]).scalar_subquery() == value)
    for word in _flags(filters):
        query = query.where(sa.exists().where(FlagRow.result_id == result_id, FlagRow.flag == word))
    if filters.target or filters.answer:
        query = query.where(sa.exists().where(FindingRow.result_id == result_id, *_of_finding(filters)))
    return query.where(*_of_review(filters, result_id))


def _of_case(filters: Filters) -> Iterator[sa.ColumnElement[bool]]:
    if filters.sender:
        yield CaseRow.client == filters.sender
    if filters.begins:
        yield CaseRow.created_at >= filters.begins
    if filters.ends:
        yield CaseRow.created_at < filters.ends
    if filters.held:
        yield CaseRow.held != "" if filters.held == YES else CaseRow.held == ""


def _flags(filters: Filters) -> tuple[str, ...]:
    return (*filters.flags, *((f"missing:{filters.missing}",) if filters.missing else ()))


def _of_answer(filters: Filters) -> Iterator[tuple[str, str]]:
    """(column, value)"""
    if filters.model:
        yield "model", filters.model
    if filters.reliability:
        yield "reliability", "" if filters.reliability == "none" else filters.reliability


def _of_finding(filters: Filters) -> Iterator[sa.ColumnElement[bool]]:
    meant: Mapping[str, tuple[sa.ColumnElement[bool], ...]] = {
        FLAGGED: (FindingRow.decision == sa.true(),),
        NOT_FLAGGED: (FindingRow.decision == sa.false(),),
        ABSTAINED: (FindingRow.decision.is_(None), FindingRow.abstained != ""),
        UNDECIDED: (FindingRow.undecided == sa.true(),),
    }
    if filters.target:
        yield FindingRow.target == filters.target
    if filters.answer:
        yield from meant[filters.answer]


def _of_review(filters: Filters, result_id: sa.SQLColumnExpression[str]) -> Iterator[sa.ColumnElement[bool]]:
    if filters.review:
        spoken = sa.exists().where(ReviewRow.case_id == CaseRow.id, ReviewRow.verdict.in_(WORDS))
        yield spoken if filters.review == REVIEWED else ~spoken
    if filters.again:
        seen = sa.exists().where(ReviewRow.result_id == result_id, ReviewRow.verdict.in_(WORDS))
        asked = sa.and_(result_id.in_(sa.select(FlagRow.result_id).where(FlagRow.flag == NEEDS_REVIEW)), ~seen)
        yield asked if filters.again == YES else ~asked
