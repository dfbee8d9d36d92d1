"""Rows of reviews, in and out. The session, and its transaction, are the caller's."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session, aliased

from services.results.service import NEEDS_REVIEW
from services.tables import WITHDRAWN, CaseRow, FlagRow, ResultRow, ReviewRow, locking

SIGNED = "signed_off"
DISPUTED = "disputed"


@dataclass(frozen=True)
class StoredReview:
    """`findings` are plain: target, verdict, answer, reason, text, what the `model` answered and what then `stands`."""

    result_id: str
    verdict: str
    reason: str
    findings: tuple[dict[str, Any], ...]
    record_sha256: str
    client: str
    created_at: datetime


@dataclass(frozen=True)
class Reading:
    """A review, whose patient it is of, and whether its result is the latest of the case."""

    result_id: str
    client: str
    verdict: str
    findings: tuple[dict[str, Any], ...]
    patient_id: str
    is_latest: bool


def lock(session: Session, case_id: str) -> None:
    """From here on nobody else answers or reviews the case until the transaction ends."""
    session.execute(locking(case_id))


def add(session: Session, case_id: str, review: StoredReview) -> int:
    """The position of the next review of a case that the caller has locked."""
    position = session.scalar(sa.select(sa.func.count()).where(ReviewRow.case_id == case_id)) or 0
    values = {**vars(review), "findings": list(review.findings)}
    session.add(ReviewRow(case_id=case_id, position=position, **values))
    session.flush()
    return position


def of_case(session: Session, case_id: str) -> list[StoredReview]:
    """In the order they were given."""
    rows = session.scalars(sa.select(ReviewRow).where(ReviewRow.case_id == case_id).order_by(ReviewRow.position))
    return [_stored(row) for row in rows]


def signed(session: Session, case_id: str) -> str | None:
    """The result that was spoken of last, if it is still signed off by anybody."""
    reviews = words(of_case(session, case_id))
    return reviews[-1].result_id if SIGNED in _last_words(reviews) else None


def state(session: Session, case_id: str, reviews: Sequence[StoredReview]) -> str:
    """Where a case stands: the last word of each reader, unless its latest result asks for another, or the report of
    that was withdrawn."""
    latest = sa.select(ResultRow.id).where(ResultRow.case_id == case_id).order_by(ResultRow.version.desc()).limit(1)
    if any(one.verdict == WITHDRAWN and one.result_id == session.scalar(latest) for one in reviews):
        return WITHDRAWN
    reviews = words(reviews)
    asked = session.scalar(
        sa.select(FlagRow.flag).where(FlagRow.result_id == latest.scalar_subquery(), FlagRow.flag == NEEDS_REVIEW)
    )
    if asked is not None and (not reviews or reviews[-1].result_id != session.scalar(latest)):
        return NEEDS_REVIEW
    last = _last_words(reviews)
    return DISPUTED if len(last) > 1 else next(iter(last), "none")


def readings(session: Session) -> list[Reading]:
    """Every review there is, those of a result in the order they were given."""
    row, later = ReviewRow, aliased(ResultRow)
    superseded = sa.exists().where(later.supersedes == row.result_id)
    columns = (row.result_id, row.client, row.verdict, row.findings, CaseRow.patient_id, superseded)
    query = sa.select(*columns).join(CaseRow, CaseRow.id == row.case_id).where(row.verdict != WITHDRAWN)
    query = query.order_by(row.case_id, row.position)
    return [
        Reading(result_id, client, verdict, tuple(findings), patient_id, not is_superseded)
        for result_id, client, verdict, findings, patient_id, is_superseded in session.execute(query)
    ]


def words(reviews: Sequence[StoredReview]) -> list[StoredReview]:
    """Those that speak of an answer, and not of what is done with its report."""
    return [one for one in reviews if one.verdict != WITHDRAWN]


def _last_words(reviews: Sequence[StoredReview]) -> set[str]:
    """The verdicts that stand on the result that was spoken of last: of each reader the last."""
    return set({one.client: one.verdict for one in reviews if one.result_id == reviews[-1].result_id}.values())


def _stored(row: ReviewRow) -> StoredReview:
    values = {name: getattr(row, name) for name in StoredReview.__dataclass_fields__}
    return StoredReview(**values | {"findings": tuple(row.findings)})
