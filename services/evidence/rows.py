"""Rows against the events that stored them, some hundred cases at a time; then what is of no case."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from services.audit.seals import ALONE, IN_SHORT, INSTANCES, JOBS, KINDS, Lying, named, rows_by_key, rows_of
from services.blobs import Blobs
from services.cases import store
from services.cases.content import FILE_MISSING, inputs_hash
from services.cases.stored import LOST
from services.cases.versions import CREATED, as_told
from services.db import Database
from services.db.lying import columns, lying, plain
from services.evidence import derived, files, jobs, keys, points, samples
from services.evidence.finding import BLOCK, CHANGED, CONTENT, GONE, UNKNOWN, Bond, Finding
from services.evidence.told import Key, Told, told
from services.http.ids import CASE_ID
from services.tables import CaseRow, EventRow

_OF_CASES = [kind for kind in KINDS if kind not in ("reports", JOBS, *ALONE, *IN_SHORT)]
_AGREE = {
    "versions": {"inputs_hash": "inputs_hash"},
    "results": {name: name for name in ("inputs_hash", "model", "case_version", "cause")},
    "reports": {"record": "record_sha256"},
}
"""What the event of a row that it does not bind says of the row's columns, where it says anything."""


@dataclass
class Evidence:
    """What is found as it is gone through, each once; `bond` counts the rows. With `deep`, the bytes of all files are
    read."""

    database: Database
    blobs: Blobs
    bond: Bond
    deep: bool = True
    _files: set[str] = field(default_factory=set)
    _said: set[Finding] = field(default_factory=set)

    def findings(self) -> Iterator[Finding]:
        """Raises ConfigError where rows are bound and there is no secret."""
        for found in self._all():
            if found not in self._said:
                self._said.add(found)
                yield found

    def _all(self) -> Iterator[Finding]:
        with self.database.read() as session, lying(session):
            gone = _gone(session)
            yield from _strays(session, set(gone))
            for start in range(0, len(gone), BLOCK):
                yield from self._block(session, gone[start : start + BLOCK])
        yield from self._present()
        with self.database.read() as session, lying(session):
            yield from keys.wrong(session, self.bond)
            yield from samples.wrong(session, self.bond)
            yield from points.wrong(session)

    def _present(self) -> Iterator[Finding]:
        last = -1
        while True:
            with self.database.read() as session, lying(session):
                query = sa.select(CaseRow.seq, CaseRow.id).where(CaseRow.seq > last).order_by(CaseRow.seq).limit(BLOCK)
                cases = session.execute(query).all()
                good = [row.id for row in cases if CASE_ID.fullmatch(row.id)]
                yield from (Finding(UNKNOWN, f"{row.id}/case") for row in cases if row.id not in good)
                yield from self._block(session, good)
            if len(cases) < BLOCK:
                return
            last = cases[-1].seq

    def _block(self, session: Session, case_ids: Sequence[str]) -> Iterator[Finding]:
        lies: dict[Key, list[Lying]] = defaultdict(list)
        for kind in _OF_CASES:
            for row in rows_of(session, kind, case_ids):
                lies[row.case_id, row.name].append(row)
        answers = [row for (_, name), rows in lies.items() for row in rows if name[:8] == "results/"]
        ids = [name for row in answers if (name := str(row.values["id"])).isascii()]
        say = told(session, case_ids, ids)
        ids += [f"{case_id}-{name[8:]}" for case_id, name in say.seals if name[:8] == "reports/"]
        ids = sorted(set(ids))
        owed = [*rows_by_key(session, JOBS, [*case_ids, *ids], "subject")]
        for row in chain(rows_by_key(session, "reports", ids), owed):
            lies[row.key].append(row)
        of_rows, of_instances = [*self._compared(lies, say)], [*self._instances(session, lies, say)]
        yield from (*of_rows, *of_instances)
        yield from jobs.wrong(owed, say)
        yield from derived.wrong(session, answers, say, self.bond)
        named = {one.name[:36] for one in of_rows}
        if not of_instances:  # else it cannot be read which cases these are of
            yield from _changed_content(session, [one for one in case_ids if one not in named], say)
        yield from self._wrong_files(lies)

    def _compared(self, lies: Mapping[Key, Sequence[Lying]], say: Told) -> Iterator[Finding]:
        for key, rows in lies.items():
            name = f"{key[0]}/{key[1]}"
            if key not in say.seals:
                if all(_is_loose(row, say) for row in rows):
                    self.bond.unbound += len(rows)
                else:
                    yield Finding(UNKNOWN, name)
            elif (wanted := say.seals[key]) is None:
                self.bond.unbound += len(rows)
                if not all(_agrees(row, say.facts[key]) for row in rows):
                    yield Finding(CHANGED, name)
            else:
                self.bond.bound += len(rows)
                if not self.bond.fits(key[1], [row.values for row in rows], wanted):
                    yield Finding(CHANGED, name)
        yield from (Finding(GONE, f"{case_id}/{name}") for case_id, name in say.seals.keys() - lies.keys())

    def _instances(self, session: Session, lies: Mapping[Key, Sequence[Lying]], say: Told) -> Iterator[Finding]:
        images = [row for (_, name), rows in lies.items() if name[:7] == "images/" for row in rows]
        loose = {row.values["sop_uid"] for row in images if _is_loose(row, say)}
        wanted = {*say.instances, *(str(row.values["sop_uid"]) for row in images if row.values["sop_uid"])}
        there = rows_by_key(session, INSTANCES, sorted(uid for uid in wanted if uid.isascii()))
        rows = {str(row.values["sop_uid"]): row for row in there}
        for uid in sorted(say.instances.keys() - rows.keys()):
            yield Finding(GONE, f"{INSTANCES}/{uid}")
        for uid, row in rows.items():
            if uid not in say.instances:
                self.bond.unbound += 1
                if uid not in loose:
                    yield Finding(UNKNOWN, row.name)
                continue
            self.bond.bound += 1
            if not all(self.bond.fits(row.name, [row.values], wanted) for wanted in say.instances[uid]):
                yield Finding(CHANGED, row.name)
            if not _facts(row).get(LOST):
                yield from self._files_of({str(row.values["sha256"]): [row.name]})

    def _wrong_files(self, lies: Mapping[Key, Sequence[Lying]]) -> Iterator[Finding]:
        files_of: dict[str, list[str]] = defaultdict(list)
        for (case_id, name), rows in lies.items():
            for row in rows:
                if name[:7] == "images/" and row.values["sha256"] and row.values["code"] != FILE_MISSING:
                    files_of[str(row.values["sha256"])].append(f"{case_id}/{name}")
                elif name[:8] == "reports/":
                    files_of[str(row.values["record_sha256"])].append(f"{case_id}/{name}")
                    files_of[str(row.values["page_sha256"])].append(f"{case_id}/{name}")
        yield from self._files_of(files_of)

    def _files_of(self, named: Mapping[str, Sequence[str]]) -> Iterator[Finding]:
        fresh = {name: owners for name, owners in named.items() if name not in self._files}
        self._files |= fresh.keys()
        return files.wrong(self.blobs, fresh, deep=self.deep)


def _facts(row: Lying) -> Mapping[str, Any]:
    facts = row.values["facts"]
    return facts if isinstance(facts, dict) else {}


def _is_loose(row: Lying, say: Told) -> bool:
    """Whether an event that binds no rows may have stored this one."""
    values, kind = row.values, row.name.partition("/")[0]
    if kind == JOBS:
        return row.case_id in say.early
    token = values["id"] if kind == "results" else values.get("result_id", values.get("version"))
    return (row.case_id, token) in say.loose


def _agrees(row: Lying, facts: Mapping[str, Any]) -> bool:
    pairs = _AGREE.get(row.name.partition("/")[0], {}).items()
    return all(row.values[column] == facts[fact] for fact, column in pairs if fact in facts)


def _changed_content(session: Session, case_ids: Sequence[str], say: Told) -> Iterator[Finding]:
    """Versions whose content no longer hashes to what their events say, as far as these tell all that it takes. The
    first version of a case from before there were versions has the hash of its request."""
    told_of: dict[str, list[tuple[int, Mapping[str, Any]]]] = defaultdict(list)
    for (case_id, version), facts in say.versions.items():
        told_of[case_id].append((version, facts))
    for case in store.several(session, case_ids):
        for version, facts in told_of[case.id]:
            if "lost" not in facts and version != case.version:
                continue
            if facts.get("inputs_hash") not in (inputs_hash(as_told(case, version, facts)), case.created_hash, None):
                yield Finding(CONTENT, f"{case.id}/versions/{version}")


def _gone(session: Session) -> list[str]:
    """The cases that events say were created, and that are not there."""
    there = sa.exists().where(CaseRow.id == EventRow.case_id)
    query = sa.select(EventRow.case_id).where(EventRow.action == CREATED, ~there).distinct()
    return sorted(name for name in session.scalars(query) if name)


def _strays(session: Session, known: set[str]) -> Iterator[Finding]:
    """Rows of cases that are not there and never were, what is of no result, and instances of no image."""
    results, images, cases = (KINDS[kind].table.columns for kind in ("results", "images", "case"))
    for kind, one in KINDS.items():
        column = one.table.columns
        if kind in ("case", *(set(ALONE) - {INSTANCES})):
            continue
        if kind in ("reports", *IN_SHORT):
            there = sa.exists().where(results["id"] == column["result_id"])
        elif kind == JOBS:
            either = sa.select(cases["id"]).union_all(sa.select(results["id"])).subquery()
            there = sa.exists().where(either.columns[0] == column["subject"])
        elif kind == INSTANCES:
            there = sa.exists().where(images["sop_uid"] == column["sop_uid"])
        else:
            there = sa.exists().where(cases["id"] == column["case_id"])
        for values in session.execute(sa.select(*columns(one.table)).where(~there)).mappings():
            row = named(kind, plain(one.table, values))
            if row.case_id not in known:
                yield Finding(UNKNOWN, f"{row.case_id}/{row.name}".lstrip("/"))
