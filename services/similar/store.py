"""Rows of embeddings, in and out. The session, and its transaction, are the caller's."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import sqlalchemy as sa
from sqlalchemy.orm import Session

from services.similar.vectors import from_bytes
from services.tables import EmbeddingRow, ResultRow

BLOCK = 4096  # vectors in memory at once


@dataclass(frozen=True)
class Embedding:
    """Where the result of a case lies. `vector` is of length 1, little-endian float32."""

    result_id: str
    case_id: str
    patient_id: str
    model: str
    vector: bytes


@dataclass(frozen=True)
class Latest:
    """A case's latest result: its model, why it has no answer if it has none, and where it lies if that is known."""

    model: str
    abstained: str | None
    embedding: Embedding | None


@dataclass(frozen=True)
class Neighbor:
    """`similarity` is the cosine, in [-1, 1]."""

    case_id: str
    result_id: str
    patient_id: str
    similarity: float


def latest(session: Session, case_id: str) -> Latest | None:
    query = sa.select(ResultRow).where(ResultRow.case_id == case_id).order_by(ResultRow.version.desc()).limit(1)
    result = session.scalars(query).one_or_none()
    if result is None:
        return None
    row = session.get(EmbeddingRow, (case_id, result.model))
    return Latest(result.model, result.record["abstained"], None if row is None else _embedding(row))


def drop(session: Session, case_id: str, model: str) -> None:
    session.execute(sa.delete(EmbeddingRow).where(EmbeddingRow.case_id == case_id, EmbeddingRow.model == model))


def add(session: Session, embedding: Embedding) -> None:
    session.add(EmbeddingRow(**vars(embedding)))
    session.flush()


def nearest(session: Session, asked: Embedding, limit: int, *, same_patient: bool) -> list[Neighbor]:
    """The `limit` nearest cases of the same model, most similar first and equals by case id; never the case itself.

    Every vector is compared, a block at a time."""
    row = EmbeddingRow
    query = sa.select(row.case_id, row.vector).where(row.model == asked.model, row.case_id != asked.case_id)
    if not same_patient:
        query = query.where(row.patient_id != asked.patient_id)
    point, best = from_bytes(asked.vector), list[tuple[float, str]]()
    for block in session.execute(query.execution_options(yield_per=BLOCK)).partitions():
        case_ids, vectors = zip(*block, strict=True)
        similarities = from_bytes(b"".join(vectors)).reshape(len(block), -1) @ point
        least = np.partition(similarities, -limit)[-limit] if len(block) > limit else -np.inf
        best += [(float(similarities[i]), case_ids[i]) for i in np.flatnonzero(similarities >= least)]
        best = sorted(best, key=lambda one: (-one[0], one[1]))[:limit]
    return _named(session, asked.model, best)


def _named(session: Session, model: str, best: Sequence[tuple[float, str]]) -> list[Neighbor]:
    row, case_ids = EmbeddingRow, [case_id for _, case_id in best]
    query = sa.select(row.case_id, row.result_id, row.patient_id).where(row.model == model, row.case_id.in_(case_ids))
    named = {case_id: (case_id, result_id, patient_id) for case_id, result_id, patient_id in session.execute(query)}
    return [Neighbor(*named[case_id], similarity) for similarity, case_id in best]


def missing_points(session: Session, points: sa.TableClause, limit: int) -> list[Embedding]:
    """Some embeddings that have no row of the same case and model in `points`."""
    there = sa.exists().where(points.c.case_id == EmbeddingRow.case_id, points.c.model == EmbeddingRow.model)
    rows = session.scalars(sa.select(EmbeddingRow).where(~there).limit(limit))
    return [_embedding(row) for row in rows]


def ordered(neighbors: Sequence[Neighbor]) -> list[Neighbor]:
    return sorted(neighbors, key=lambda one: (-one.similarity, one.case_id))


def _embedding(row: EmbeddingRow) -> Embedding:
    return Embedding(row.result_id, row.case_id, row.patient_id, row.model, row.vector)
