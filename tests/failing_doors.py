"""The doors through which something comes to be kept, to be tried on a service that fails; and what must be true of all
that it keeps, whatever failed."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import sqlalchemy as sa
from service_requests import case, film, post

from services.blobs import Blobs
from services.db import Database
from services.jobs import skew
from services.settings import Settings
from services.tables import CaseRow, DueRow, EventRow, ImageRow, JobRow, LabRow, NoteRow, VersionRow

PARTS = {"images": ImageRow, "notes": NoteRow, "labs": LabRow}
CRP: dict[str, Any] = {"id": "L-1", "name": "crp", "value": 12, "unit": "mg/L", "collected_at": "2026-01-17T08:30:00Z"}
LATE = {
    "note": {"text": "Fever, no cough.", "acquired_at": "2026-01-17T09:30:00Z"},
    "labs": [CRP, CRP | {"value": 13, "status": "corrected", "issued_at": "2026-01-17T09:00:00Z"}],
}

Send = Callable[[str], httpx.Response]


class Door(NamedTuple):
    """`prepare` makes what it needs and gives what sends one request with a key; `status` is its success."""

    name: str
    status: int
    prepare: Callable[[httpx.Client, int], Send]


def create(api: httpx.Client, number: int) -> Send:
    images = [("image", film(number, size=160))]
    return lambda key: post(api, case(f"case-{number}"), images, key=key)


def add(api: httpx.Client, number: int) -> Send:
    path = f"{_there(api, number)}/inputs"
    files: list[tuple[str, Any]] = [
        ("inputs", (None, json.dumps(LATE), "application/json")),
        ("image", ("f.dcm", film(20_000 + number), "application/dicom")),
    ]
    return lambda key: api.post(path, files=files, headers={"Idempotency-Key": key})


def mark(api: httpx.Client, number: int) -> Send:
    path = f"{_there(api, number)}/modalities/labs"
    return lambda key: api.put(path, json={"complete": True}, headers={"If-Match": "*"})


def reconcile(api: httpx.Client, number: int) -> Send:
    held = post(api, case(f"case-{number}"), [("image", film(number, patient="p-2"))])
    decision = {"decision": "same_patient", "reason": "the old number"}
    path = f"{held.headers['location']}/reconciliations"
    return lambda key: api.post(path, json=decision, headers={"Idempotency-Key": key, "If-Match": "*"})


def ask_again(api: httpx.Client, number: int) -> Send:
    path = f"{_there(api, number)}/results"
    return lambda key: api.post(path, headers={"Idempotency-Key": key})


CREATE = Door("create", 202, create)
ADD = Door("add", 202, add)
DOORS = (
    CREATE,
    ADD,
    Door("mark", 200, mark),
    Door("reconcile", 202, reconcile),
    Door("ask_again", 202, ask_again),
)


def _there(api: httpx.Client, number: int) -> str:
    made = post(api, case(f"case-{number}"), [("image", film(number))])
    return str(made.json()["links"]["self"])


def kept(settings: Settings, but_for: str = "") -> dict[str, tuple[int, int]]:
    """Every case with its version and the number of its events, once all of it was seen to be whole: each version with
    its event and its parts, its work owed, its files there, and nothing left of what was refused. `but_for` is the call
    that failed: what it did not take away may be left."""
    database, blobs = Database(settings.url), Blobs(settings.data / "blobs")
    with database.read() as session:
        found = {row.id: row for row in session.scalars(sa.select(CaseRow))}
        events = session.scalars(sa.select(EventRow).order_by(EventRow.seq)).all()
        parts = {(one.case_id, one.version, f"{kind}/{one.position}") for kind, row in PARTS.items()
                 for one in session.scalars(sa.select(row))}  # fmt: skip
        versions = {(row.case_id, row.version) for row in session.scalars(sa.select(VersionRow))}
        owed = {*session.scalars(sa.select(JobRow.subject)), *session.scalars(sa.select(DueRow.case_id))}
        assert skew.jobs_without_workflow(session, database) == []
        assert skew.workflows_without_job(session, database) == []
        names = set(session.scalars(sa.select(ImageRow.sha256).where(ImageRow.sha256.is_not(None))))
    database.close()
    grown = [one for one in events if one.action in ("case.created", "case.added")]
    told = [(one.object_id, one.facts["version"]) for one in grown]
    assert sorted(told) == sorted(versions)
    assert versions == {(row.id, version + 1) for row in found.values() for version in range(row.version)}
    assert parts == {(one.object_id, one.facts["version"], part) for one in grown for part in one.facts["parts"]}
    assert {row.id for row in found.values() if not row.held} <= owed
    assert all(blobs.is_sound(str(name)) for name in names)
    if but_for not in ("unlink", "flock", "stat"):
        _await_empty(blobs.incoming)
        _await_empty(settings.data / "keys")
    return {name: (row.version, sum(one.case_id == name for one in events)) for name, row in found.items()}


def _await_empty(folder: Path) -> None:
    """A request takes its own away when its answer is on its way already."""
    deadline = time.monotonic() + 5
    while os.listdir(folder):
        assert time.monotonic() < deadline, os.listdir(folder)
        time.sleep(0.01)


def assert_clean(answer: httpx.Response) -> None:
    """Refused, in words that say nothing of what was sent."""
    assert answer.status_code in (500, 503, 507), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert not [word for word in ("p-1", "Canary", "Fever", "case-", "canary", "blobs") if word in answer.text]
