"""How long the worklist takes: a page of 50 and the count, by filter, over many answered cases on a database.

python benchmarks/worklist.py --cases 100000 --database-url sqlite:////tmp/many/clinimm.db --out worklist.json"""

import argparse
import hashlib
import json
import random
import statistics
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from services.db import Database
from services.findings import AnswerRow, FindingRow, ReadingRow
from services.jobs.prepare import prepared
from services.tables import CaseRow, FlagRow, JobRow, ResultRow
from services.worklist.filters import Filters
from services.worklist.service import Worklist

PAGE, TIMES, BLOCK = 50, 7, 2000
MODELS = ("a" * 64, "b" * 64)
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
FILTERS = {
    "none": Filters(),
    "missing (30 %)": Filters(missing="labs"),
    "flag (1 in 1000)": Filters(flag="outlier:cxr"),
    "positive (20 %)": Filters(target="pneumonia", answer="positive"),
    "abstained (5 %)": Filters(target="pneumonia", answer="abstained"),
    "undecided (8 %)": Filters(answer="undecided"),
    "older model (50 %)": Filters(model=MODELS[0]),
    "rare sender (1 in 500)": Filters(sender="clinic"),
    "a day of long ago": Filters(since="2026-01-03", until="2026-01-03"),
    "not reliable (7 %)": Filters(reliability="not_reliable"),
    "no review (all)": Filters(review="none"),
    "reviewed (none)": Filters(review="reviewed"),
    "again (none)": Filters(again="yes"),
    "held (1 %)": Filters(held="yes"),
    "four at once": Filters(missing="labs", answer="positive", reliability="not_reliable", sender="clinic"),
    "nothing matches": Filters(flag="no_such_flag"),
}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--cases", type=int, default=100_000)
    options.add_argument("--database-url", required=True)
    options.add_argument("--out", type=Path)
    given = options.parse_args()
    database = prepared(given.database_url)
    _fill(database, given.cases)
    found = {name: _timed(Worklist(database), filters) for name, filters in FILTERS.items()}
    for name, one in found.items():
        print(f"{name:24} found {one['found']:>6}  median {one['median_ms']:7.1f} ms  worst {one['worst_ms']:7.1f} ms")
    if given.out:
        given.out.write_text(json.dumps({"cases": given.cases, "filters": found}, indent=1))
    database.close()


def _timed(room: Worklist, filters: Filters) -> dict[str, float]:
    took, count = [], 0
    for _ in range(TIMES):
        began = time.perf_counter()
        count = room.page(filters, None, PAGE).count
        took.append(1000 * (time.perf_counter() - began))
    return {"found": count, "median_ms": statistics.median(took), "worst_ms": max(took)}


def _fill(database: Database, cases: int) -> None:
    rng = random.Random(1)
    with database.read() as session:
        there = session.scalar(sa.select(sa.func.count()).select_from(CaseRow)) or 0
    for start in range(there, cases, BLOCK):
        rows: dict[Any, list[dict[str, Any]]] = {
            row: [] for row in (CaseRow, ResultRow, AnswerRow, FindingRow, ReadingRow, FlagRow, JobRow)
        }
        for number in range(start, min(cases, start + BLOCK)):
            for row, values in _case(rng, number):
                rows[row].append(values)
        with database.write() as session:
            for row, values_of in rows.items():
                session.execute(sa.insert(row), values_of)
    if not database.is_sqlite:
        with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("ANALYZE")


def _case(rng: random.Random, number: int) -> Iterator[tuple[Any, dict[str, Any]]]:
    case_id, at = str(uuid.UUID(int=rng.getrandbits(128))), BEGAN + timedelta(minutes=number)
    result_id, model, abstained = f"{case_id}-1", MODELS[number % 2], rng.random() < 0.05
    probability, missing = rng.random(), rng.random() < 0.3
    sent = {"client": "clinic" if number % 500 == 0 else f"site-{number % 4}", "created_at": at}
    digest = hashlib.sha256(case_id.encode()).hexdigest()
    yield (
        CaseRow,
        sent
        | {"id": case_id, "reference": f"order-{number}", "patient_id": f"p-{number // 2}", "patient": {}}
        | {"index_time": at, "version": 1, "inputs_hash": digest, "created_hash": digest, "complete": {}}
        | {"held": "identity_conflict" if rng.random() < 0.01 else ""},
    )
    of = {"result_id": result_id}
    about = {"case_id": case_id, "model": model, "created_at": at}
    record = {"targets": [], "padding": "x" * 2500}  # a record is some kilobytes
    answered = {"id": result_id, "version": 1, "case_version": 1, "inputs_hash": digest, "cause": "created"}
    yield ResultRow, about | answered | {"supersedes": None, "changes": {}, "record": record}
    reliability = rng.choices(("trusted", "not_reliable", ""), (90, 7, 3))[0]
    yield AnswerRow, of | about | {"current": True, "reliability": reliability}
    yield (
        FindingRow,
        of
        | {"target": "pneumonia", "probability": None if abstained else probability, "threshold": 0.8}
        | {"decision": None if abstained else probability >= 0.8, "undecided": rng.random() < 0.08}
        | {"abstained": "low_reliability" if abstained else ""},
    )
    for name in ("cxr", "note", "labs"):
        is_absent = name == "labs" and missing
        told = {"input": name, "status": "absent" if is_absent else "present", "share": None}
        yield ReadingRow, of | told | {"weight": 0.0 if is_absent else 0.4}
    flags = (["missing:labs"] if missing else []) + (["outlier:cxr"] if number % 1000 == 0 else [])
    for flag in [*flags, "calibration:pooled"]:
        yield FlagRow, of | {"flag": flag, "case_id": case_id}
    job = {"id": f"diagnose:{case_id}:{model[:16]}", "kind": "diagnose", "subject": case_id, "state": "done"}
    yield JobRow, job | {"attempts": 1, "reason": "", "version": 1, "request_id": "", "created_at": at}


if __name__ == "__main__":
    main()
