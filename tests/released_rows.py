"""What earlier versions left behind: every table of theirs, filled by SQL as their code wrote it. None of today's code
for rows is asked, so that what it changes cannot change what was."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa
from alembic import command
from dbos import DBOSClient, DBOSPortableJSONSerializer
from service_requests import film
from sqlalchemy.orm import Session

from services.blobs import Blobs
from services.db import Database
from services.db.migrate import alembic_config
from services.jobs import queue

Rows = dict[str, list[dict[str, Any]]]

TABLES = {
    *("cases", "images", "labs", "results", "flags", "reports", "embeddings"),
    *("jobs", "workers", "idempotency_keys", "events"),
}
ANSWERED, WAITING, FAILED = IDS = tuple(f"{digit * 8}-0000-4000-8000-000000000000" for digit in "abc")
OTHER_MODEL = "e" * 64
TAKEN = datetime(2026, 3, 1, 9, 30, 0, 250000, UTC)
ASKED = datetime(2026, 1, 17, 10, 0, tzinfo=UTC)
KEY, CLIENT = "first-key", "local"
NOTE = "Fever and cough. No edema."

# As they were sent, and beside it what was then said of each.
LABS: tuple[tuple[dict[str, Any], str, str], ...] = (
    ({"name": "crp", "value": 84.5, "unit": "mg/L", "collected_at": "2026-01-17T08:00:00Z"}, "accepted", ""),
    ({"name": "crp", "value": 60, "unit": "mg/L", "collected_at": "2026-01-16T08:00:00Z"}, "accepted", "superseded"),
    (
        {"name": "crp", "value": 9, "unit": "mg/L", "collected_at": "2026-01-18T08:00:00Z"},
        "quarantined",
        "after_index_time",
    ),
    ({"name": "wbc", "value": 14.25, "unit": "10*9/L"}, "accepted", ""),
)


def moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


@contextmanager
def released(url: str, revision: str) -> Iterator[Database]:
    """A database with the tables of a released revision, and DBOS's."""
    database = Database(url)
    try:
        command.upgrade(alembic_config(url), revision)
        queue.migrate(database)
        yield database
    finally:
        database.close()


def fill(database: Database, folder: Path, model: str) -> None:
    """A case that two models answered, one that waits for `model`, one that failed; with their files."""
    blobs = Blobs(folder / "blobs")
    tables = reflected(database)
    rows = _rows(blobs, model)
    with database.write() as session:
        for name, table in tables.items():
            if rows.get(name):
                session.execute(table.insert(), rows[name])
        _owe(database, session, model)


def contents(database: Database) -> dict[str, list[tuple[str, ...]]]:
    """Every row of the released tables, in whatever order their columns are."""
    with database.engine.connect() as connection:
        return {
            name: sorted(
                tuple(sorted(f"{column}={value!r}" for column, value in row.items()))
                for row in connection.execute(sa.select(table)).mappings()
            )
            for name, table in reflected(database).items()
        }


def reflected(database: Database) -> dict[str, sa.Table]:
    """Those of the released tables that are there, as they are, in the order of their references."""
    metadata = sa.MetaData()
    metadata.reflect(database.engine, only=lambda name, _: name in TABLES)
    return {table.name: table for table in metadata.sorted_tables}


def hash_of(case_id: str) -> str:
    """What the case was known by, made in a way that today's code does not know."""
    return hashlib.sha256(f"what {case_id} was sent".encode()).hexdigest()


def _rows(blobs: Blobs, model: str) -> Rows:
    first, second = blobs.put(film(1)), blobs.put(film(2))
    hashes = {case_id: hash_of(case_id) for case_id in IDS}
    return {
        "cases": [_case(number, case_id, hashes[case_id]) for number, case_id in enumerate(IDS, 1)],
        "images": [
            _image(ANSWERED, 0, "accepted", first),
            _image(ANSWERED, 1, "already_stored", first),
            _image(ANSWERED, 2, "rejected", None),
            _image(WAITING, 0, "accepted", second),
        ],
        "labs": [_lab(ANSWERED, position, sent, outcome, code) for position, (sent, outcome, code) in enumerate(LABS)]
        + [_lab(WAITING, 0, LABS[0][0], "accepted", "")],
        **_answers(blobs, hashes[ANSWERED], model),
        "jobs": [
            _job("diagnose", ANSWERED, OTHER_MODEL, "done"),
            _job("diagnose", ANSWERED, model, "done"),
            _job("explain", f"{ANSWERED}-1", OTHER_MODEL, "done"),
            _job("explain", f"{ANSWERED}-2", model, "done"),
            _job("diagnose", WAITING, model, "queued"),
            _job("diagnose", FAILED, model, "dead", "attempts_exhausted"),
        ],
        "workers": [{"id": "host-1-aa", "model": model, "beats": 7, "seen_at": TAKEN}],
        "idempotency_keys": [{"client": CLIENT, "key": KEY, "case_id": ANSWERED, "body": _body(), "created_at": TAKEN}],
        "events": _events(hashes, model),
    }


def _body() -> str:
    return json.dumps({"id": ANSWERED, "state": "pending"})


def _case(number: int, case_id: str, inputs_hash: str) -> dict[str, Any]:
    noted = case_id != WAITING
    return {
        "seq": number,
        "id": case_id,
        "client": CLIENT,
        "reference": None if case_id == FAILED else f"order-{number}",
        "patient_id": "p-1",
        "index_time": ASKED if noted else None,
        "note": NOTE if noted else None,
        "note_acquired_at": ASKED - timedelta(hours=1) if case_id == ANSWERED else None,
        "inputs_hash": inputs_hash,
        "created_at": TAKEN,
    }


def _image(case_id: str, position: int, outcome: str, sha256: str | None) -> dict[str, Any]:
    return {
        "case_id": case_id,
        "position": position,
        "modality": "cxr",
        "outcome": outcome,
        "code": "" if sha256 else "not_dicom",
        "bytes": 5360,
        "original_sha256": sha256 or hashlib.sha256(b"no film").hexdigest(),
        "sha256": sha256,
        "preamble_nulled": False,
    }


def _lab(case_id: str, position: int, sent: Mapping[str, Any], outcome: str, code: str) -> dict[str, Any]:
    told = {"name": sent["name"], "value": str(sent["value"]), "unit": sent["unit"]}
    return {
        "case_id": case_id,
        "position": position,
        **told,
        "collected_at": moment(sent.get("collected_at")),
        "outcome": outcome,
        "code": code,
    }


def _answers(blobs: Blobs, inputs_hash: str, model: str) -> Rows:
    found: Rows = {"results": [], "flags": [], "reports": [], "embeddings": []}
    for version, answered_by in enumerate((OTHER_MODEL, model), 1):
        result = {"id": f"{ANSWERED}-{version}", "case_id": ANSWERED, "version": version, "created_at": TAKEN}
        record = _record(answered_by, 0.8 + version / 100)
        found["results"].append(result | {"inputs_hash": inputs_hash, "model": answered_by, "record": record})
        found["flags"].append({"result_id": result["id"], "case_id": ANSWERED, "flag": "superseded:crp"})
        page, told = blobs.put(f"<p>{version}".encode()), blobs.put(json.dumps(record).encode())
        found["reports"].append(
            {"result_id": result["id"], "record_sha256": told, "page_sha256": page, "created_at": TAKEN}
        )
        vector = np.eye(8, dtype="<f4")[version].tobytes()
        at = {"case_id": ANSWERED, "model": answered_by, "result_id": result["id"], "patient_id": "p-1"}
        found["embeddings"].append(at | {"vector": vector})
    return found


def _record(model: str, probability: float) -> dict[str, Any]:
    target = {"target": "pneumonia", "probability": probability, "interval": [0.7, 0.9], "threshold": 0.4}
    present = {"status": "present", "reason": "", "detail": "", "flags": []}
    return {
        "case_id": ANSWERED,
        "artifact": model,
        "targets": [target | {"decision": True, "logit": 1.45, "abstained": None}],
        "weights": {"cxr": 0.5, "note": 0.25, "labs": 0.25},
        "inputs": dict.fromkeys(("cxr", "note", "labs"), present),
        "used": ["cxr", "note", "labs"],
        "missing": [],
        "rejected": [],
        "flags": [],
        "abstained": None,
    }


def _job_id(kind: str, subject: str, model: str) -> str:
    return f"{kind}:{subject}:{model[:16]}"


def _job(kind: str, subject: str, model: str, state: str, reason: str = "") -> dict[str, Any]:
    attempts = {"done": 1, "queued": 0, "dead": 5}[state]
    told = {"id": _job_id(kind, subject, model), "kind": kind, "subject": subject, "state": state}
    return told | {"attempts": attempts, "reason": reason, "created_at": TAKEN}


def _events(hashes: Mapping[str, str], model: str) -> list[dict[str, Any]]:
    told: list[tuple[str, str, str, dict[str, Any]]] = [
        (CLIENT, "case.created", case_id, {"inputs_hash": hashes[case_id]}) for case_id in IDS
    ]
    for version, answered_by in enumerate((OTHER_MODEL, model), 1):
        facts = {"inputs_hash": hashes[ANSWERED], "model": answered_by}
        told.append(("system", "result.stored", f"{ANSWERED}-{version}", facts))
        told.append(("system", "report.stored", f"{ANSWERED}-{version}", {"record": "f" * 64}))
    dead = _job_id("diagnose", FAILED, model)
    told.append(("system", "job.dead_lettered", dead, {"reason": "attempts_exhausted"}))
    asked = {"outcome": "answered", "limit": 5, "same_patient": False, "exact": True}
    told.append((CLIENT, "case.similar", ANSWERED, asked | {"cases": [WAITING], "patients": ["0" * 12]}))
    names = ("actor", "action", "object_id", "facts")
    return [
        {"time": TAKEN, "request_id": "" if one[0] == "system" else f"request-{number}"}
        | dict(zip(names, one, strict=True))
        for number, one in enumerate(told)
    ]


def _owe(database: Database, session: Session, model: str) -> None:
    client = DBOSClient(
        system_database_engine=database.engine,
        serializer=DBOSPortableJSONSerializer(),
        application_name="clinimm",
        lazy=True,
        retry_connection_errors=False,
    )
    job = {"workflow_name": "diagnose", "queue_name": "diagnose", "workflow_id": _job_id("diagnose", WAITING, model)}
    client.enqueue_in_transaction(session, {**job, "app_version": "1", "application_name": "clinimm"}, WAITING)
    client.destroy()
