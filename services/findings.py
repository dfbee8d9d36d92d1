"""More tables: answers in short, which lists, samples and charts are read from, so that none of them parses a record.

Each row of an answer is written in the transaction that keeps its result, and could be made again from it; the samples
are drawn once and kept."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from services.tables import Base


class AnswerRow(Base):
    """A result in short. `current` is the one of its case that none supersedes. `reliability` is what its report says
    of its explanations: empty while there is none, then trusted, not_reliable, unexplained (nothing was answered, so
    there is nothing to explain), or unknown, of reports that were kept before this was noted."""

    __tablename__ = "answers"
    __table_args__ = (
        Index("ix_answers_case_id", "case_id", "current"),
        Index("ix_answers_model", "model", "created_at"),
    )
    result_id: Mapped[str] = mapped_column(ForeignKey("results.id"), primary_key=True)
    case_id: Mapped[str] = mapped_column(ForeignKey("cases.id"))
    model: Mapped[str] = mapped_column(String(64))
    current: Mapped[bool]
    reliability: Mapped[str] = mapped_column(String(16), index=True)
    created_at: Mapped[datetime]


class FindingRow(Base):
    """What an answer says of one target. `undecided`: its conformal set does not leave just one answer."""

    __tablename__ = "findings"
    __table_args__ = (Index("ix_findings_target", "target", "decision", "undecided"),)
    result_id: Mapped[str] = mapped_column(ForeignKey("results.id"), primary_key=True)
    target: Mapped[str] = mapped_column(String, primary_key=True)
    probability: Mapped[float | None]
    threshold: Mapped[float]
    decision: Mapped[bool | None]
    undecided: Mapped[bool]
    abstained: Mapped[str] = mapped_column(String(32))


class ReadingRow(Base):
    """What an answer made of one input: its status, the gate's weight, and once there is a report the input's mean
    share of the sum of absolute Shapley values."""

    __tablename__ = "readings"
    result_id: Mapped[str] = mapped_column(ForeignKey("results.id"), primary_key=True)
    input: Mapped[str] = mapped_column(String, primary_key=True)
    status: Mapped[str] = mapped_column(String(16))
    weight: Mapped[float]
    share: Mapped[float | None]


class SampleRow(Base):
    """A sample of results to audit: how it was drawn, from what, by whom. `filters` are those of the worklist."""

    __tablename__ = "samples"
    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(String(36), unique=True)
    plan: Mapped[str] = mapped_column(String(16))
    seed: Mapped[int]
    size: Mapped[int]
    population: Mapped[int]
    filters: Mapped[dict[str, Any]]
    client: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime]


class SampledRow(Base):
    """A result that was drawn, and with which probability."""

    __tablename__ = "sample_results"
    sample_id: Mapped[str] = mapped_column(ForeignKey("samples.id"), primary_key=True)
    result_id: Mapped[str] = mapped_column(ForeignKey("results.id"), primary_key=True)
    position: Mapped[int]
    inclusion: Mapped[float]
