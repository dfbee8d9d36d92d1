"""The pgvector copy of embeddings against the rows that it was made from: what is searched must be what is kept."""

import json
from collections.abc import Iterator

import numpy as np
import sqlalchemy as sa
from sqlalchemy.orm import Session

from services.evidence.finding import BLOCK, CHANGED, UNKNOWN, Finding
from services.similar.vectors import from_bytes


def wrong(session: Session) -> Iterator[Finding]:
    """Copies that are not their embedding's, and copies of none. One that is not there is made where it is missed: it
    proves nothing."""
    if session.get_bind().dialect.name != "postgresql" or session.scalar(_THERE) is None:
        return
    last = {"case_id": "", "model": ""}
    while True:
        rows = session.execute(_COPIES, last | {"limit": BLOCK}).all()
        for row in rows:
            if row.vector is None:
                yield Finding(UNKNOWN, f"{row.case_id}/embedding_points")
            elif not row.same or not _is_copy(row.point, row.vector):
                yield Finding(CHANGED, f"{row.case_id}/embedding_points")
        if len(rows) < BLOCK:
            return
        last = {"case_id": rows[-1].case_id, "model": rows[-1].model}


def _is_copy(point: str, vector: bytes) -> bool:
    copied = np.array(json.loads(point), np.float32)
    return len(vector) == copied.nbytes and np.array_equal(copied, from_bytes(vector))


_THERE = sa.text("SELECT to_regclass('embedding_points')")
_COPIES = sa.text(
    "SELECT case_id, model, p.point::text AS point, e.vector AS vector, "
    "p.result_id = e.result_id AND p.patient_id = e.patient_id AS same "
    "FROM embedding_points p LEFT JOIN embeddings e USING (case_id, model) "
    "WHERE (case_id, model) > (:case_id, :model) ORDER BY case_id, model LIMIT :limit"
)
