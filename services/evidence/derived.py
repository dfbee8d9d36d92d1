"""Results in short against the results that they repeat: made again, and compared."""

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from services.audit.seals import EXPLAINED, IN_SHORT, KINDS, Lying, explained, rows_by_key
from services.db.lying import Row
from services.evidence.finding import CHANGED, GONE, UNKNOWN, Bond, Finding
from services.evidence.told import Told
from services.findings import AnswerRow, FindingRow, ReadingRow
from services.results.store import in_short
from services.tables import Base

ADDED = {"answers": "reliability", "readings": "share"}
"""The columns that a report adds."""
_KINDS: dict[type[Base], str] = {AnswerRow: "answers", FindingRow: "findings", ReadingRow: "readings"}
_FLOATS = {
    kind: {column.name for column in KINDS[kind].table.columns if isinstance(column.type, sa.Float)}
    for kind in IN_SHORT
}


def wrong(session: Session, results: Sequence[Lying], say: Told, bond: Bond) -> Iterator[Finding]:
    """The rows that a result comes to, where they are not what it says; and what its report adds, where that is not
    what the event of the report binds."""
    ids = sorted({name for row in results if (name := str(row.values["id"])).isascii()})
    there: dict[tuple[str, str], list[Lying]] = defaultdict(list)
    for kind in IN_SHORT:
        for row in rows_by_key(session, kind, ids):
            there[kind, str(row.values["result_id"])].append(row)
    superseded = {row.values["supersedes"] for row in results}
    for result in results:
        of_result = {kind: there[kind, str(result.values["id"])] for kind in IN_SHORT}
        yield from _repeated(result, of_result, result.values["id"] not in superseded)
        yield from _explained(result, of_result, say, bond)


def _repeated(result: Lying, there: dict[str, list[Lying]], is_current: bool) -> Iterator[Finding]:
    try:
        rows = in_short(result.values)
    except (KeyError, TypeError, AttributeError):  # no answer can be read there
        yield Finding(CHANGED, f"{result.case_id}/{result.name}")
        return
    wanted: dict[str, list[str]] = {kind: [] for kind in IN_SHORT}
    for table, values in rows:
        kind = _KINDS[table]
        kept = {name: _kept(kind, name, value) for name, value in values.items()}
        wanted[kind].append(_plain(kind, kept | ({"current": int(is_current)} if kind == "answers" else {})))
    for kind in IN_SHORT:
        found = sorted(_plain(kind, row.values) for row in there[kind])
        if found != sorted(wanted[kind]):
            what = CHANGED if found and wanted[kind] else UNKNOWN if found else GONE
            yield Finding(what, f"{result.case_id}/{kind}/{result.name.partition('/')[2]}")


def _explained(result: Lying, there: dict[str, list[Lying]], say: Told, bond: Bond) -> Iterator[Finding]:
    number = result.name.partition("/")[2]
    shares = {str(row.values["input"]): row.values["share"] for row in there["readings"]}
    added = {name: _number(share) for name, share in shares.items() if share is not None}
    word = "".join(str(row.values["reliability"]) for row in there["answers"])
    rows = sum(len(some) for some in there.values())
    wanted = say.explained.get((result.case_id, f"{EXPLAINED}/{number}"), "")
    if wanted is None or say.seals.get(result.key) is None:  # of before this was bound
        bond.unbound += rows
    else:
        bond.bound += rows
    name, values = explained(number, word, added)
    if wanted is None:
        return
    if not bond.fits(name, [values], wanted) if wanted else word or added:
        yield from (Finding(CHANGED, f"{result.case_id}/{kind}/{number}") for kind in ADDED)


def _kept(kind: str, name: str, value: Any) -> Any:
    """A value as the database gives it back."""
    if isinstance(value, bool):
        return int(value)
    return float(value) if isinstance(value, int) and name in _FLOATS[kind] else value


def _number(value: Any) -> Any:
    return value if isinstance(value, float) else repr(value)  # a damaged row may hold anything


def _plain(kind: str, row: Row) -> str:
    """A row, to the bit, without what a report adds."""
    told = {name: value for name, value in row.items() if name != ADDED.get(kind)}
    return json.dumps(told, sort_keys=True, default=_moment)


def _moment(value: Any) -> str:
    return value.isoformat(timespec="microseconds") if isinstance(value, datetime) else repr(value)
