"""What an event binds of the rows that its transaction wrote: of each the seal, a keyed hash of all its columns.

Keyed, since what a row says, such as one laboratory value, could be guessed from a plain hash. A row is named within
its case: "case", "versions/2", "labs/0", "results/1", "reports/1", "jobs/explain:..."; an instance by its UID, a sample
by its id, an Idempotency-Key, which a client made up, by a hash."""

import hashlib
import hmac
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.orm import Session

from services import findings, tables
from services.db.lying import Row, columns, plain

INSTANCES, KEYS, SAMPLES, DRAWN, JOBS = "instances", "keys", "samples", "drawn", "jobs"
ALONE = (INSTANCES, KEYS, SAMPLES, DRAWN)  # of no one case
IN_SHORT = ("answers", "findings", "readings")  # bound by the result that they repeat, but for what its report adds
EXPLAINED = "explained"  # that part of them: see `explained`
_LOST = "lost"  # a fact of an instance that changes with its file: see `cases.stored`
_BLANK: tuple[Any, ...] = ("", None, [], {})
_PORTION = 500  # values in one statement


@dataclass(frozen=True)
class Kind:
    """`key` is the column that tells the rows of a case apart, if it has several. `working` are those that change as
    work goes on, and that no seal is of."""

    table: sa.Table
    key: str | None = None
    working: tuple[str, ...] = ()

    def column(self, name: str) -> sa.Column[Any]:
        return self.table.columns[name]


def _kind(row: type[tables.Base], key: str | None = None, working: tuple[str, ...] = ()) -> Kind:
    return Kind(cast(sa.Table, row.__table__), key, working)


KINDS = {
    "case": _kind(tables.CaseRow),
    "versions": _kind(tables.VersionRow, "version"),
    "images": _kind(tables.ImageRow, "position"),
    "notes": _kind(tables.NoteRow, "position"),
    "labs": _kind(tables.LabRow, "position"),
    "acts": _kind(tables.ReconciliationRow, "position"),
    "results": _kind(tables.ResultRow, "version"),
    "flags": _kind(tables.FlagRow, "result_id"),
    "points": _kind(tables.EmbeddingRow, "result_id"),
    "reports": _kind(tables.ReportRow, "result_id"),
    "reviews": _kind(tables.ReviewRow, "position"),
    "answers": _kind(findings.AnswerRow, "result_id"),
    "findings": _kind(findings.FindingRow, "result_id"),
    "readings": _kind(findings.ReadingRow, "result_id"),
    JOBS: _kind(tables.JobRow, "id", working=("state", "attempts", "reason")),
    INSTANCES: _kind(tables.InstanceRow, "sop_uid"),
    KEYS: _kind(tables.KeyRow, "key"),
    SAMPLES: _kind(findings.SampleRow, "id"),
    DRAWN: _kind(findings.SampledRow, "sample_id"),
}
"""Every table whose rows are evidence."""


@dataclass(frozen=True)
class Lying:
    """A row that lies in the database, by its case and its name there; the case is "" of what is of no one case."""

    case_id: str
    name: str
    values: Row

    @property
    def key(self) -> tuple[str, str]:
        return self.case_id, self.name


def seals(session: Session, secret: bytes, case_id: str, names: Iterable[str]) -> dict[str, str]:
    """The seals of those of the named rows of a case that are there; some, such as flags, are several rows."""
    wanted = set(names)
    keys: dict[str, list[str]] = defaultdict(list)
    for name in sorted(wanted):
        kind, _, key = name.partition("/")
        keys[kind].append(f"{case_id}-{key}" if KINDS[kind].key == "result_id" else key)
    found: dict[str, list[Row]] = defaultdict(list)
    for kind, some in keys.items():
        for row in _keyed(session, kind, case_id, some):
            found[row.name].append(row.values)
    return {name: seal(secret, name, rows) for name, rows in found.items() if name in wanted}


def seal(secret: bytes, name: str, rows: Sequence[Row]) -> str:
    """The seal of the rows of one name, in whatever order: 128 bits of HMAC-SHA-256 in hexadecimal digits."""
    kind = KINDS.get(name.partition("/")[0])
    without = kind.working if kind else ()
    told = "\n".join([name, *sorted(_canonical(row, without) for row in rows)])
    return hmac.new(secret, b"row\n" + told.encode(), hashlib.sha256).hexdigest()[:32]


def rows_of(session: Session, kind: str, case_ids: Sequence[str]) -> Iterator[Lying]:
    """The rows of these cases, of a kind that names its case."""
    column = KINDS[kind].column("id" if kind == "case" else "case_id")
    return _selected(session, kind, column, case_ids)


def rows_by_key(session: Session, kind: str, keys: Sequence[str], column: str | None = None) -> Iterator[Lying]:
    """The rows of a kind that have these keys, which no two cases share: reports, instances; or these values in another
    column."""
    return _selected(session, kind, KINDS[kind].column(column or str(KINDS[kind].key)), keys)


def _keyed(session: Session, kind: str, case_id: str, keys: Sequence[str]) -> Iterator[Lying]:
    if kind in ("reports", *ALONE):
        return rows_by_key(session, kind, keys)
    if (key := KINDS[kind].key) is None:
        return rows_of(session, kind, [case_id])
    of_case = KINDS[kind].column("case_id") == case_id
    values = [int(one) for one in keys] if key != "result_id" else keys
    return _selected(session, kind, KINDS[kind].column(key), values, of_case)


def _selected(
    session: Session, kind: str, column: sa.Column[Any], values: Sequence[Any], *more: sa.ColumnElement[bool]
) -> Iterator[Lying]:
    table = KINDS[kind].table
    for start in range(0, len(values), _PORTION):
        query = sa.select(*columns(table)).where(column.in_(values[start : start + _PORTION]), *more)
        for row in session.execute(query).mappings():
            yield named(kind, plain(table, row))


def named(kind: str, values: Row) -> Lying:
    """The row with its name."""
    key = KINDS[kind].key
    if key is None:
        return Lying(str(values["id"]), kind, values)
    if kind == KEYS:
        return Lying("", key_name(str(values["client"]), str(values["key"])), values)
    if kind in ALONE:
        return Lying("", f"{kind}/{values[key]}", values)
    if kind == JOBS:
        return Lying(str(values["subject"])[:36], f"{kind}/{values[key]}", values)
    case_id, _, number = str(values[key]).rpartition("-")
    if kind in IN_SHORT:  # looked for by their result
        return Lying(case_id, f"{kind}/{number}", values)
    return Lying(str(values.get("case_id", case_id)), f"{kind}/{number}", values)


def key_name(client: str, key: str) -> str:
    """The name of the row of an Idempotency-Key."""
    told = f"{client}\n{key}".encode(errors="surrogateescape")
    return f"{KEYS}/{hashlib.sha256(told).hexdigest()[:32]}"


def explained(number: str, reliability: Any, shares: Mapping[str, Any]) -> tuple[str, Row]:
    """What a report adds to a result in short, as a row with its name; `shares` are those of the inputs."""
    return f"{EXPLAINED}/{number}", {"reliability": reliability, "shares": dict(shares)}


def _canonical(row: Row, without: Sequence[str]) -> str:
    """The columns that say something: one that a later version adds, and leaves blank, changes no seal of before."""
    told = {name: _told(name, value) for name, value in row.items() if name not in without}
    known = {name: value for name, value in told.items() if value not in _BLANK}
    return json.dumps(known, sort_keys=True, separators=(",", ":"))


def _told(name: str, value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat(timespec="microseconds")
    if isinstance(value, bytes | memoryview):
        return bytes(value).hex()
    if name == "facts" and isinstance(value, dict):
        return {key: fact for key, fact in value.items() if key != _LOST}
    return value
