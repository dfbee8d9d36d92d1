"""The tables. Stores read and write them; nothing else sees a row. Times are UTC.

A case is what was asked, whole, in one transaction; a result is bound to the hash of its inputs and never changes."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    LargeBinary,
    MetaData,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

NAMES = {
    "pk": "pk_%(table_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "ix": "ix_%(table_name)s_%(column_0_name)s",
}


class Moment(TypeDecorator[datetime]):
    """A time in UTC, aware on both databases: SQLite forgets the zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMES)
    type_annotation_map = {datetime: Moment, dict[str, Any]: JSON}  # noqa: RUF012


class CaseRow(Base):
    """`seq` orders the lists. `inputs_hash` is of everything that was sent: the same question is one case."""

    __tablename__ = "cases"
    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(String(36), unique=True)
    client: Mapped[str] = mapped_column(String(64))
    reference: Mapped[str | None] = mapped_column(String(200))
    patient_id: Mapped[str] = mapped_column(String(200))
    index_time: Mapped[datetime | None]
    note: Mapped[str | None] = mapped_column(Text)
    note_acquired_at: Mapped[datetime | None]
    inputs_hash: Mapped[str] = mapped_column(String(64), unique=True)
    created_at: Mapped[datetime]
    images: Mapped[list["ImageRow"]] = relationship(order_by="ImageRow.position", lazy="raise")
    labs: Mapped[list["LabRow"]] = relationship(order_by="LabRow.position", lazy="raise")


class ImageRow(Base):
    """One image part and what became of it at the door. `sha256` is of the stored bytes, whose preamble is nulled."""

    __tablename__ = "images"
    case_id: Mapped[str] = mapped_column(ForeignKey("cases.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    modality: Mapped[str | None] = mapped_column(String(64))
    outcome: Mapped[str] = mapped_column(String(16))
    code: Mapped[str] = mapped_column(String(64))
    bytes: Mapped[int]
    original_sha256: Mapped[str] = mapped_column(String(64))
    sha256: Mapped[str | None] = mapped_column(String(64), index=True)
    preamble_nulled: Mapped[bool]


class LabRow(Base):
    """One laboratory value, its number kept digit by digit as it was sent."""

    __tablename__ = "labs"
    case_id: Mapped[str] = mapped_column(ForeignKey("cases.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    value: Mapped[str] = mapped_column(String(64))
    unit: Mapped[str] = mapped_column(String(64))
    collected_at: Mapped[datetime | None]
    outcome: Mapped[str] = mapped_column(String(16))
    code: Mapped[str] = mapped_column(String(64))


class KeyRow(Base):
    """The first answer that an Idempotency-Key got, sent again to whoever repeats it."""

    __tablename__ = "idempotency_keys"
    client: Mapped[str] = mapped_column(String(64), primary_key=True)
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    case_id: Mapped[str] = mapped_column(ForeignKey("cases.id"))
    body: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime]


class ResultRow(Base):
    """An answer, immutable: one for each set of inputs and model."""

    __tablename__ = "results"
    __table_args__ = (UniqueConstraint("inputs_hash", "model"), UniqueConstraint("case_id", "version"))
    id: Mapped[str] = mapped_column(String(48), primary_key=True)
    case_id: Mapped[str] = mapped_column(ForeignKey("cases.id"))
    version: Mapped[int]
    inputs_hash: Mapped[str] = mapped_column(String(64))
    model: Mapped[str] = mapped_column(String(64))
    record: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]


class FlagRow(Base):
    """A word about a result that cases can be found by, such as `missing:labs`."""

    __tablename__ = "flags"
    __table_args__ = (Index("ix_flags_flag", "flag", "case_id"),)
    result_id: Mapped[str] = mapped_column(ForeignKey("results.id"), primary_key=True)
    flag: Mapped[str] = mapped_column(String(120), primary_key=True)
    case_id: Mapped[str] = mapped_column(ForeignKey("cases.id"))


class ReportRow(Base):
    """The report of a result: the record, and the page drawn from it, as blobs."""

    __tablename__ = "reports"
    result_id: Mapped[str] = mapped_column(ForeignKey("results.id"), primary_key=True)
    record_sha256: Mapped[str] = mapped_column(String(64), index=True)
    page_sha256: Mapped[str] = mapped_column(String(64), index=True)
    created_at: Mapped[datetime]


class EmbeddingRow(Base):
    """Where the latest result that a model gave of a case lies in that model's space: a unit vector of little-endian
    float32. Vectors of two models cannot be compared."""

    __tablename__ = "embeddings"
    __table_args__ = (Index("ix_embeddings_model", "model"),)
    case_id: Mapped[str] = mapped_column(ForeignKey("cases.id"), primary_key=True)
    model: Mapped[str] = mapped_column(String(64), primary_key=True)
    result_id: Mapped[str] = mapped_column(ForeignKey("results.id"), unique=True)
    patient_id: Mapped[str] = mapped_column(String(200))
    vector: Mapped[bytes] = mapped_column(LargeBinary)


class JobRow(Base):
    """Work owed: `attempts` counts the times it was begun, `state` is queued, done or dead, `reason` says why dead."""

    __tablename__ = "jobs"
    __table_args__ = (Index("ix_jobs_state", "state", "kind"),)
    id: Mapped[str] = mapped_column(String(160), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    subject: Mapped[str] = mapped_column(String(48), index=True)
    state: Mapped[str] = mapped_column(String(8))
    attempts: Mapped[int]
    reason: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime]


class WorkerRow(Base):
    """A worker that lives: `beats` goes up while it does, whatever the clocks say. `seen_at` is for people."""

    __tablename__ = "workers"
    id: Mapped[str] = mapped_column(String(120), primary_key=True)
    model: Mapped[str] = mapped_column(String(64))
    beats: Mapped[int]
    seen_at: Mapped[datetime]


class EventRow(Base):
    """Who did what to what, written in the transaction that did it. Ids and hashes only; rows are never changed."""

    __tablename__ = "events"
    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    time: Mapped[datetime]
    actor: Mapped[str] = mapped_column(String(120))
    action: Mapped[str] = mapped_column(String(48))
    object_id: Mapped[str] = mapped_column(String(160), index=True)
    request_id: Mapped[str] = mapped_column(String(64))
    facts: Mapped[dict[str, Any]]
