"""Rows of reviews, in and out. The session, and its transaction, are the caller's."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from services.db import now
from services.results.service import NEEDS_REVIEW
from services.tables import FlagRow, ResultRow, ReviewRow, locking

SIGNED = "signed_off"


@dataclass(frozen=True)
class StoredReview:
    result_id: str
    verdict: str
    client: str
    created_at: datetime


def add(session: Session, case_id: str, result_id: str, verdict: str, reason: str, client: str) -> None:
    """The next review of the case, which nobody else reviews until the transaction ends."""
    session.execute(locking(case_id))
    position = session.scalar(sa.select(sa.func.count()).where(ReviewRow.case_id == case_id)) or 0
    session.add(
        ReviewRow(
            case_id=case_id,
            position=position,
            result_id=result_id,
            verdict=verdict,
            reason=reason,
            client=client,
            created_at=now(),
        )
    )
    session.flush()


def of_case(session: Session, case_id: str) -> list[StoredReview]:
    """In the order they were given."""
    rows = session.scalars(sa.select(ReviewRow).where(ReviewRow.case_id == case_id).order_by(ReviewRow.position))
    return [StoredReview(row.result_id, row.verdict, row.client, row.created_at) for row in rows]


def signed(session: Session, case_id: str) -> str | None:
    """The result that was signed off last, if that is the last word."""
    reviews = of_case(session, case_id)
    return reviews[-1].result_id if reviews and reviews[-1].verdict == SIGNED else None


def state(session: Session, case_id: str, reviews: list[StoredReview]) -> str:
    """Where a case stands: the last word, unless its latest result asks for another."""
    latest = sa.select(ResultRow.id).where(ResultRow.case_id == case_id).order_by(ResultRow.version.desc()).limit(1)
    asked = session.scalar(
        sa.select(FlagRow.flag).where(FlagRow.result_id == latest.scalar_subquery(), FlagRow.flag == NEEDS_REVIEW)
    )
    last = reviews[-1] if reviews else None
    if asked is not None and (last is None or last.result_id != session.scalar(latest)):
        return NEEDS_REVIEW
    return last.verdict if last is not None else "none"
