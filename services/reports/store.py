"""Rows of reports, in and out. The session, and its transaction, are the caller's."""

from collections.abc import Collection
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

from services.db import now
from services.findings import AnswerRow, ReadingRow
from services.reports.reliability import Reliability
from services.tables import WITHDRAWN, ReportRow, ResultRow, ReviewRow


@dataclass(frozen=True)
class StoredReport:
    result_id: str
    record_sha256: str
    page_sha256: str


def result(session: Session, case_id: str, version: int | None = None) -> str | None:
    """The id of a result of a case, by default its latest."""
    query = sa.select(ResultRow.id).where(ResultRow.case_id == case_id)
    if version is not None:
        query = query.where(ResultRow.version == version)
    return session.scalar(query.order_by(ResultRow.version.desc()).limit(1))


def get(session: Session, result_id: str) -> StoredReport | None:
    row = session.get(ReportRow, result_id)
    return None if row is None else StoredReport(row.result_id, row.record_sha256, row.page_sha256)


def is_withdrawn(session: Session, result_id: str) -> bool:
    """Whether a person took the report of a result out of use."""
    case_id = result_id.rpartition("-")[0]
    word = sa.select(ReviewRow.position).where(
        ReviewRow.case_id == case_id, ReviewRow.result_id == result_id, ReviewRow.verdict == WITHDRAWN
    )
    return session.scalar(word.limit(1)) is not None


def add(session: Session, report: StoredReport, reliability: Reliability) -> dict[str, float]:
    """Keeps a report, and what it says of its explanations beside the result in short: the shares that are kept."""
    session.add(ReportRow(**vars(report), created_at=now()))
    answer = sa.update(AnswerRow).where(AnswerRow.result_id == report.result_id)
    session.execute(answer.values(reliability=reliability.word).execution_options(synchronize_session=False))
    shares = {name: float(share) for name, share in reliability.shares.items()}
    reading = sa.update(ReadingRow).where(ReadingRow.result_id == report.result_id).returning(ReadingRow.input)
    reading = reading.execution_options(synchronize_session=False)
    kept = {
        name: share
        for name, share in shares.items()
        if session.scalar(reading.where(ReadingRow.input == name).values(share=share)) is not None
    }
    session.flush()
    return kept


def known(session: Session, sha256s: Collection[str]) -> set[str]:
    """Those of the names that a report has."""
    query = sa.select(ReportRow.record_sha256, ReportRow.page_sha256).where(
        ReportRow.record_sha256.in_(sha256s) | ReportRow.page_sha256.in_(sha256s)
    )
    return {name for row in session.execute(query) for name in row}
