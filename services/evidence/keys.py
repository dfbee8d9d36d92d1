"""The answers that are given again to who repeats an Idempotency-Key, against the events of the posts."""

from collections.abc import Iterator, Mapping, Sequence

import sqlalchemy as sa
from sqlalchemy.orm import Session

from services import audit
from services.audit.seals import KEYS, KINDS, Lying, named
from services.cases.versions import CREATED
from services.db.lying import columns, plain
from services.evidence.finding import BLOCK, CHANGED, GONE, UNKNOWN, Bond, Finding
from services.evidence.told import EVENTS
from services.http.once import case_of

_TABLE = KINDS[KEYS].table
_BINDING = sa.cast(EVENTS.columns["facts"], sa.Text).like(f'%"{KEYS}/%')


def wrong(session: Session, bond: Bond) -> Iterator[Finding]:
    """What was done to them. No row says which event is of it, so that the seals of all, some 250 bytes a key, are in
    memory together."""
    seals, unsaid = _told(session), list[tuple[str, str]]()
    query = sa.select(*columns(_TABLE)).execution_options(yield_per=BLOCK)
    for values in session.execute(query).mappings():
        row = named(KEYS, plain(_TABLE, values))
        seal = seals.pop(row.name, None)
        if seal is None:
            unsaid.append((row.name, _case_of(row)))
            continue
        bond.bound += 1
        if not bond.fits(row.name, [row.values], seal):
            yield Finding(CHANGED, row.name)
    yield from (Finding(GONE, name) for name in seals)
    early = _early(session, sorted({case_id for _, case_id in unsaid}))
    for name, case_id in unsaid:
        bond.unbound += 1
        if case_id not in early:
            yield Finding(UNKNOWN, name)


def _told(session: Session) -> dict[str, str]:
    """The seal of every key, by its name."""
    query = sa.select(*columns(EVENTS)).where(_BINDING).execution_options(yield_per=BLOCK)
    found: dict[str, str] = {}
    for values in session.execute(query).mappings():
        facts = plain(EVENTS, values)["facts"]
        seals: Mapping[str, str] = facts.get(audit.SEALS, {}) if isinstance(facts, dict) else {}
        found |= {name: seal for name, seal in seals.items() if name.startswith(f"{KEYS}/")}
    return found


def _case_of(row: Lying) -> str:
    headers = row.values["headers"]
    return case_of({name: str(value) for name, value in headers.items()}) if isinstance(headers, dict) else ""


def _early(session: Session, case_ids: Sequence[str]) -> set[str]:
    """Those of the cases that were made before keys were bound."""
    event, found = EVENTS.columns, set[str]()
    for start in range(0, len(case_ids), BLOCK):
        some = event["case_id"].in_(case_ids[start : start + BLOCK])
        query = sa.select(event["case_id"]).where(some, event["action"] == CREATED, ~_BINDING)
        found |= set(session.scalars(query))
    return found
