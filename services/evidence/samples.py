"""Samples of results, as they were drawn, against the events of the draws."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from services import audit
from services.audit.seals import DRAWN, SAMPLES, Lying, rows_by_key
from services.db.lying import columns, plain
from services.evidence.finding import BLOCK, CHANGED, GONE, UNKNOWN, Bond, Finding
from services.evidence.told import EVENTS
from services.findings import SampledRow, SampleRow

DRAWING = "sample.drawn"


def wrong(session: Session, bond: Bond) -> Iterator[Finding]:
    """What was done to them. Of those that were drawn before their rows were bound, whether they are there."""
    last: Any = -1
    while True:
        query = sa.select(SampleRow.seq, SampleRow.id).where(SampleRow.seq > last).order_by(SampleRow.seq)
        some = session.execute(query.limit(BLOCK)).all()
        yield from (Finding(UNKNOWN, f"{SAMPLES}/{row.id}") for row in some if not row.id.isascii())
        yield from _compared(session, [row.id for row in some if row.id.isascii()], bond)
        if len(some) < BLOCK:
            break
        last = some[-1].seq
    yield from (Finding(GONE, f"{SAMPLES}/{sample_id}") for sample_id in _gone(session))
    there = sa.exists().where(SampleRow.id == SampledRow.sample_id)
    strays = session.scalars(sa.select(SampledRow.sample_id).where(~there).distinct())
    yield from (Finding(UNKNOWN, f"{DRAWN}/{sample_id}") for sample_id in strays)


def _compared(session: Session, ids: Sequence[str], bond: Bond) -> Iterator[Finding]:
    lies: dict[str, list[Lying]] = defaultdict(list)
    for kind in (SAMPLES, DRAWN):
        for row in rows_by_key(session, kind, ids):
            lies[row.name].append(row)
    told = _told(session, ids)
    for sample_id in ids:
        if sample_id not in told:
            yield Finding(UNKNOWN, f"{SAMPLES}/{sample_id}")
            continue
        for name in (f"{SAMPLES}/{sample_id}", f"{DRAWN}/{sample_id}"):
            seals, rows = told[sample_id], lies[name]
            if seals is None:
                bond.unbound += len(rows)
                continue
            bond.bound += len(rows)
            if not rows or not bond.fits(name, [row.values for row in rows], str(seals.get(name))):
                yield Finding(CHANGED if rows else GONE, name)


def _told(session: Session, ids: Sequence[str]) -> dict[str, dict[str, str] | None]:
    """The seals of each sample by their names, None where its event has none."""
    event = EVENTS.columns
    query = sa.select(*columns(EVENTS)).where(event["object_id"].in_(ids), event["action"] == DRAWING)
    found = {}
    for row in session.execute(query).mappings():
        values = plain(EVENTS, row)
        found[values["object_id"]] = values["facts"].get(audit.SEALS) if isinstance(values["facts"], dict) else {}
    return found


def _gone(session: Session) -> list[str]:
    there = sa.exists().where(SampleRow.id == EVENTS.columns["object_id"])
    query = sa.select(EVENTS.columns["object_id"]).where(EVENTS.columns["action"] == DRAWING, ~there)
    return sorted(session.scalars(query))
