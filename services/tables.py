"""The tables. Stores read and write them; nothing else sees a row. Times are UTC.

A case is a set of inputs that only grows, each addition a version, whole, in one transaction; a result is bound to the
hash of what the case held and never changes."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    ForeignKey,
    Index,
    LargeBinary,
    String,
    Text,
    UniqueConstraint,
    Update,
    update,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from services.db.base import Base, Moment

__all__ = ["Base", "Moment"]


class CaseRow(Base):
    """`seq` orders the lists. `created_hash` is of everything that was sent first: the same question is one case.
    `version` counts what was added since; `inputs_hash` is of all that the case holds at that version. `held` is why no
    answer may be given, or empty; `complete` says of a modality that nothing more will come, and why it has none."""

    __tablename__ = "cases"
    __table_args__ = (Index("ix_cases_client", "client", "seq"),)
    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(String(36), unique=True)
    client: Mapped[str] = mapped_column(String(64))
    reference: Mapped[str | None] = mapped_column(String(200), index=True)
    patient_id: Mapped[str] = mapped_column(String(200))
    patient: Mapped[dict[str, Any]]
    index_time: Mapped[datetime | None]
    version: Mapped[int]
    inputs_hash: Mapped[str] = mapped_column(String(64))
    created_hash: Mapped[str] = mapped_column(String(64), unique=True)
    held: Mapped[str] = mapped_column(String(32))
    complete: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(index=True)
    images: Mapped[list["ImageRow"]] = relationship(order_by="ImageRow.position", lazy="raise")
    notes: Mapped[list["NoteRow"]] = relationship(order_by="NoteRow.position", lazy="raise")
    labs: Mapped[list["LabRow"]] = relationship(order_by="LabRow.position", lazy="raise")
    acts: Mapped[list["ReconciliationRow"]] = relationship(order_by="ReconciliationRow.position", lazy="raise")


def locking(case_id: str) -> Update:
    """The statement that keeps every other process from changing a case until the transaction ends. It is a write that
    changes nothing: SQLite has no lock for a row that is only read, and would begin its transaction too late."""
    row = CaseRow
    found = update(row).where(row.id == case_id).values(version=row.version)
    return found.execution_options(synchronize_session=False)


class VersionRow(Base):
    """One version of a case: what made it, and what it then held."""

    __tablename__ = "case_versions"
    case_id: Mapped[str] = mapped_column(ForeignKey("cases.id"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    inputs_hash: Mapped[str] = mapped_column(String(64))
    cause: Mapped[str] = mapped_column(String(200))
    client: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime]


class DueRow(Base):
    """A case that changed and waits until it is quiet, to be diagnosed once for a whole burst of changes."""

    __tablename__ = "due"
    case_id: Mapped[str] = mapped_column(ForeignKey("cases.id"), primary_key=True)
    version: Mapped[int]
    since: Mapped[datetime]


class InstanceRow(Base):
    """A DICOM instance, kept once whoever sends it and however often. `sha256` is of the stored bytes, whose preamble
    is nulled; `facts` are its header's, `identity` says whose it claims to be."""

    __tablename__ = "instances"
    sop_uid: Mapped[str] = mapped_column(String(64), primary_key=True)
    study_uid: Mapped[str] = mapped_column(String(64), index=True)
    series_uid: Mapped[str] = mapped_column(String(64))
    sha256: Mapped[str] = mapped_column(String(64), index=True)
    original_sha256: Mapped[str] = mapped_column(String(64))
    bytes: Mapped[int]
    preamble_nulled: Mapped[bool]
    facts: Mapped[dict[str, Any]]
    identity: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]


class ImageRow(Base):
    """One image part and what became of it at the door; `version` is that of the case that brought it."""

    __tablename__ = "images"
    case_id: Mapped[str] = mapped_column(ForeignKey("cases.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    version: Mapped[int]
    modality: Mapped[str | None] = mapped_column(String(64))
    outcome: Mapped[str] = mapped_column(String(16))
    code: Mapped[str] = mapped_column(String(64))
    bytes: Mapped[int]
    original_sha256: Mapped[str] = mapped_column(String(64))
    sha256: Mapped[str | None] = mapped_column(String(64), index=True)
    preamble_nulled: Mapped[bool]
    sop_uid: Mapped[str | None] = mapped_column(ForeignKey("instances.sop_uid"), index=True)


class NoteRow(Base):
    """One note. Which of several is meant shows from all of them together: see `cases.content`."""

    __tablename__ = "notes"
    case_id: Mapped[str] = mapped_column(ForeignKey("cases.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    version: Mapped[int]
    source_id: Mapped[str | None] = mapped_column(String(200))
    text: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(String(20))
    acquired_at: Mapped[datetime | None]
    issued_at: Mapped[datetime | None]
    identity: Mapped[dict[str, Any]]


class LabRow(Base):
    """One laboratory value as it was sent, in `original`, its number digit by digit; beside it what cases are judged
    by. What becomes of it shows from all values of the case together."""

    __tablename__ = "labs"
    __table_args__ = (Index("ix_labs_series", "series", "received_at"),)
    case_id: Mapped[str] = mapped_column(ForeignKey("cases.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    version: Mapped[int]
    name: Mapped[str] = mapped_column(String(100))
    value: Mapped[str | None] = mapped_column(String(64))
    unit: Mapped[str] = mapped_column(String(64))
    collected_at: Mapped[datetime | None]
    received_at: Mapped[datetime]
    original: Mapped[dict[str, Any]]
    series: Mapped[str] = mapped_column(String(32))
    usual_unit: Mapped[str] = mapped_column(String(64))


class ReconciliationRow(Base):
    """What a person decided about a case whose inputs contradict each other: `settled` are the keys of the
    contradictions that were looked at, `excluded` the parts that are not of this patient."""

    __tablename__ = "reconciliations"
    case_id: Mapped[str] = mapped_column(ForeignKey("cases.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    version: Mapped[int]
    decision: Mapped[str] = mapped_column(String(20))
    reason: Mapped[str] = mapped_column(String(1000))
    settled: Mapped[list[str]]
    excluded: Mapped[list[str]]
    client: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime]


class KeyRow(Base):
    """The first answer that an Idempotency-Key got, sent again to whoever repeats it. `fingerprint` is of what came."""

    __tablename__ = "idempotency_keys"
    client: Mapped[str] = mapped_column(String(64), primary_key=True)
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(64))
    status: Mapped[int]
    headers: Mapped[dict[str, Any]]
    body: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime]


class ResultRow(Base):
    """An answer, immutable: one for each content of a case and model. `supersedes` is the answer before it, `cause` why
    there is another, and `changes` what it changes of each target."""

    __tablename__ = "results"
    __table_args__ = (
        UniqueConstraint("case_id", "inputs_hash", "model", name="uq_results_inputs_hash"),
        UniqueConstraint("case_id", "version"),
    )
    id: Mapped[str] = mapped_column(String(48), primary_key=True)
    case_id: Mapped[str] = mapped_column(ForeignKey("cases.id"))
    version: Mapped[int]
    case_version: Mapped[int]
    inputs_hash: Mapped[str] = mapped_column(String(64))
    model: Mapped[str] = mapped_column(String(64))
    cause: Mapped[str] = mapped_column(String(200))
    supersedes: Mapped[str | None] = mapped_column(String(48), index=True)
    changes: Mapped[dict[str, Any]]
    record: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]


WITHDRAWN = "withdrawn"


class ReviewRow(Base):
    """A person's word on a result, never changed: the next is another row. `findings` are words on its targets,
    `record_sha256` is of the report's record that was looked at. A sign-off holds until a later result crosses a
    threshold. The verdict `WITHDRAWN` is none on the answer: it takes the report out of use, for everybody."""

    __tablename__ = "reviews"
    case_id: Mapped[str] = mapped_column(ForeignKey("cases.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    result_id: Mapped[str] = mapped_column(ForeignKey("results.id"))
    verdict: Mapped[str] = mapped_column(String(20))
    reason: Mapped[str] = mapped_column(String(1000))
    findings: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    record_sha256: Mapped[str] = mapped_column(String(64))
    client: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime]


class FlagRow(Base):
    """A word about a result that cases can be found by, such as `missing:labs`."""

    __tablename__ = "flags"
    __table_args__ = (Index("ix_flags_flag", "flag", "case_id"),)
    result_id: Mapped[str] = mapped_column(ForeignKey("results.id"), primary_key=True)
    flag: Mapped[str] = mapped_column(String(120), primary_key=True)
    case_id: Mapped[str] = mapped_column(ForeignKey("cases.id"), index=True)


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
    """Work owed: `attempts` counts the times it was begun, `state` is queued, done or dead, `reason` says why dead.
    `version` is that of its subject, and orders the jobs of one; `request_id` is of the request that made it owed."""

    __tablename__ = "jobs"
    __table_args__ = (Index("ix_jobs_state", "state", "kind"),)
    id: Mapped[str] = mapped_column(String(160), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    subject: Mapped[str] = mapped_column(String(48), index=True)
    state: Mapped[str] = mapped_column(String(8))
    attempts: Mapped[int]
    reason: Mapped[str] = mapped_column(String(64))
    version: Mapped[int]
    request_id: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime]


class WorkerRow(Base):
    """A worker that lives: its `beats` go up, whatever clocks say. `seen_at` is for people; `metrics` it counted."""

    __tablename__ = "workers"
    id: Mapped[str] = mapped_column(String(120), primary_key=True)
    model: Mapped[str] = mapped_column(String(64))
    beats: Mapped[int]
    seen_at: Mapped[datetime]
    metrics: Mapped[dict[str, Any]]


class EventRow(Base):
    """Who did what to what, written in the transaction that did it. Ids and hashes only; the database lets no row be
    changed or taken out. `patient` is a token. `hash` chains it to the one before."""

    __tablename__ = "events"
    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    time: Mapped[datetime]
    monotonic_ns: Mapped[int] = mapped_column(BigInteger)
    actor: Mapped[str] = mapped_column(String(120))
    role: Mapped[str] = mapped_column(String(16))
    source: Mapped[str] = mapped_column(String(64))
    action: Mapped[str] = mapped_column(String(48))
    outcome: Mapped[str] = mapped_column(String(16))
    object_id: Mapped[str] = mapped_column(String(160), index=True)
    case_id: Mapped[str | None] = mapped_column(String(36), index=True)
    patient: Mapped[str] = mapped_column(String(32), index=True)
    request_id: Mapped[str] = mapped_column(String(64))
    facts: Mapped[dict[str, Any]]
    hash: Mapped[str] = mapped_column(String(64))
