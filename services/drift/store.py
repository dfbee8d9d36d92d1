"""Reads what answers saw and said. The session is the caller's."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from services.findings import AnswerRow, FindingRow, ReadingRow
from services.tables import CaseRow

MOST = 10_000


@dataclass(frozen=True)
class Said:
    """What was said of one target; `abstained` is why nothing was, or empty."""

    probability: float | None
    decision: bool | None
    abstained: str


@dataclass(frozen=True)
class Seen:
    """What became of one input: its status, its gate weight, its share of the explanation, None without a report."""

    status: str
    weight: float
    share: float | None


@dataclass
class Answer:
    """The current answer of a case."""

    at: datetime
    patient_id: str
    targets: dict[str, Said] = field(default_factory=dict)
    inputs: dict[str, Seen] = field(default_factory=dict)


def answers(session: Session, model: str) -> list[Answer]:
    """The current answers that a model gave to cases that are not held, oldest first; of more than `MOST` the latest.
    One for each case: what it was answered before would count it twice."""
    conditions = [AnswerRow.model == model, AnswerRow.current, CaseRow.held == ""]
    query = sa.select(AnswerRow.result_id, AnswerRow.created_at, CaseRow.patient_id).where(*conditions)
    query = query.join(CaseRow, CaseRow.id == AnswerRow.case_id)
    rows = session.execute(query.order_by(AnswerRow.created_at.desc(), AnswerRow.result_id).limit(MOST)).all()
    found = {row.result_id: Answer(row.created_at, row.patient_id) for row in reversed(rows)}
    for some in _parts(list(found)):
        for finding in session.execute(sa.select(FindingRow.__table__).where(FindingRow.result_id.in_(some))):
            said = Said(finding.probability, finding.decision, finding.abstained)
            found[finding.result_id].targets[finding.target] = said
        for reading in session.execute(sa.select(ReadingRow.__table__).where(ReadingRow.result_id.in_(some))):
            found[reading.result_id].inputs[reading.input] = Seen(reading.status, reading.weight, reading.share)
    return list(found.values())


def _parts(ids: Sequence[str], size: int = 900) -> list[Sequence[str]]:
    return [ids[start : start + size] for start in range(0, len(ids), size)]
