"""What earlier versions took is read, answered and added to by this one: every released schema, with data in it."""

import json
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from released_rows import (
    ANSWERED,
    FAILED,
    IDS,
    KEY,
    LABS,
    OTHER_MODEL,
    WAITING,
    contents,
    fill,
    hash_of,
    released,
)
from service_processes import await_report, await_result, new_database, running, running_api
from service_requests import case, film, post

from services import fsck
from services.artifacts import facts
from services.audit.verify import verify
from services.blobs import Blobs
from services.cases.hold import known_secret
from services.db import Database
from services.evidence.finding import Bond
from services.evidence.rows import Evidence
from services.jobs.prepare import prepared
from services.settings import Settings

pytestmark = pytest.mark.slow

Rows = dict[str, list[tuple[str, ...]]]


@dataclass(frozen=True)
class Upgraded:
    """An API over what an earlier version left, and the rows as that one had them."""

    api: httpx.Client
    database: Database
    blobs: Blobs
    before: Rows

    def get(self, path: str) -> Any:
        answer = self.api.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def add(self, case_id: str, key: str, inputs: dict[str, Any]) -> dict[str, Any]:
        parts = [("inputs", (None, json.dumps(inputs).encode(), "application/json"))]
        answer = self.api.post(f"/v1/cases/{case_id}/inputs", files=parts, headers={"Idempotency-Key": key})
        assert answer.status_code in (200, 202), answer.text
        return dict(answer.json())


KINDS = [
    pytest.param((kind, revision), id=f"{kind}-{revision}")
    for kind in ("sqlite", "postgresql")
    for revision in ("0001", "0002")
]


def filled(which: tuple[str, str], request: pytest.FixtureRequest, folder: Path, model: Path) -> tuple[str, Rows]:
    """The URL of a database that an earlier version left, with its files in the folder; and its rows."""
    kind, revision = which
    url = f"sqlite:///{folder / 'clinimm.db'}"
    if kind == "postgresql":
        url = new_database(request.getfixturevalue("postgres_url"), f"upgrade_{uuid.uuid4().hex[:12]}")
    with released(url, revision) as earlier:
        fill(earlier, folder, facts.read(model).digest)
        return url, contents(earlier)


@pytest.fixture(params=KINDS)
def upgraded(request: pytest.FixtureRequest, described_model: Path, tmp_path: Path) -> Iterator[Upgraded]:
    url, before = filled(request.param, request, tmp_path, described_model)
    database = prepared(url)
    settings = Settings(data=tmp_path, artifact=described_model, allow_unpromoted=True, database_url=url)
    with running_api(settings) as api:
        yield Upgraded(api, database, Blobs(tmp_path / "blobs"), before)
    database.close()


def test_rows_of_an_earlier_version_are_counted_and_held_against_what_their_events_say(upgraded: Upgraded) -> None:
    bond = Bond(known_secret(upgraded.blobs.root.parent))
    seen = Evidence(upgraded.database, upgraded.blobs, bond)
    # But the reports, of which the events of these rows name another record.
    wrong = [f"row_changed\t{ANSWERED}/reports/{number}" for number in (1, 2)]
    assert [str(one) for one in seen.findings() if one.kind != "file_missing"] == wrong
    assert bond.unbound > 0
    assert bond.bound == 0


def test_answered_case_is_read_as_it_was(upgraded: Upgraded) -> None:
    shown = upgraded.get(f"/v1/cases/{ANSWERED}")
    assert (shown["version"], shown["state"], shown["reference"], shown["patient"]) == (
        1,
        "done",
        "order-1",
        {"id": "p-1"},
    )
    assert shown["inputs_hash"] == hash_of(ANSWERED)
    assert [(part["part"], part["outcome"], part["code"]) for part in shown["parts"]] == [
        ("notes/0", "accepted", ""),
        ("labs/0", "accepted", ""),
        ("labs/1", "superseded", "superseded"),
        ("labs/2", "quarantined", "after_index_time"),
        ("labs/3", "accepted", ""),
        ("images/0", "accepted", ""),
        ("images/1", "already_stored", ""),
        ("images/2", "rejected", "not_dicom"),
    ]
    second, first = upgraded.get(f"/v1/cases/{ANSWERED}/results")["results"]
    assert [
        (one["cause"], one["supersedes"], one["superseded_by"], one["case_version"]) for one in (first, second)
    ] == [
        ("created", None, 2, 1),
        ("model_changed", 1, None, 1),
    ]
    assert {first["inputs_hash"], second["inputs_hash"]} == {shown["inputs_hash"]}
    assert first["model"] == OTHER_MODEL
    assert upgraded.get(f"/v1/cases/{ANSWERED}/report")["artifact"] == second["model"]
    found = upgraded.get("/v1/cases?flag=superseded:crp")["cases"]
    assert [one["id"] for one in found] == [ANSWERED]
    assert [one["id"] for one in upgraded.get("/v1/cases?reference=order-2")["cases"]] == [WAITING]


def test_other_cases_are_read_as_they_were(upgraded: Upgraded) -> None:
    waiting, failed = (upgraded.get(f"/v1/cases/{case_id}") for case_id in (WAITING, FAILED))
    assert (waiting["state"], failed["state"], failed["reason"]) == ("pending", "failed", "attempts_exhausted")
    assert [part["part"] for part in waiting["parts"]] == ["labs/0", "images/0"]
    assert [one["id"] for one in upgraded.get("/v1/cases")["cases"]] == list(reversed(IDS))
    assert upgraded.get(f"/v1/cases/{ANSWERED}/similar")["state"] == "done"


def test_events_are_as_they_were_and_on_the_timeline_of_their_case(upgraded: Upgraded) -> None:
    told = {case_id: upgraded.get(f"/v1/cases/{case_id}/timeline")["events"] for case_id in IDS}
    assert {case_id: [one["action"] for one in events] for case_id, events in told.items()} == {
        ANSWERED: ["case.created", *["result.stored", "report.stored"] * 2],
        WAITING: ["case.created"],
        FAILED: ["case.created", "job.dead_lettered"],
    }
    new = ("case_id=", "monotonic_ns=", "role=", "source=", "outcome=", "patient=", "hash=")
    after = [row for row in contents(upgraded.database)["events"] if "monotonic_ns=0" in row]  # but for what we read
    assert sorted(tuple(fact for fact in row if not fact.startswith(new)) for row in after) == upgraded.before["events"]
    assert verify(upgraded.database, [], None).findings == ()


def test_nothing_is_found_wrong(upgraded: Upgraded) -> None:
    assert fsck.check(upgraded.database, upgraded.blobs, deep=True, older_than=0) == []


def versions(database: Database) -> list[tuple[int, str]]:
    with database.engine.connect() as connection:
        query = sa.text("SELECT version, inputs_hash FROM case_versions WHERE case_id = :id ORDER BY version")
        return [(version, inputs_hash) for version, inputs_hash in connection.execute(query, {"id": ANSWERED})]


def test_labs_added_to_an_earlier_case_make_its_second_version(upgraded: Upgraded) -> None:
    again = upgraded.add(ANSWERED, "again", {"labs": [sent for sent, *_ in LABS]})
    assert (again["version"], again["inputs_hash"]) == (1, hash_of(ANSWERED))
    sodium = {"name": "sodium", "value": 141, "unit": "mmol/L", "collected_at": "2026-01-17T08:00:00Z"}
    grown = upgraded.add(ANSWERED, "more", {"labs": [LABS[0][0], sodium]})
    assert (grown["version"], grown["state"]) == (2, "pending")
    assert [part["part"] for part in grown["parts"]] == ["labs/0", f"labs/{len(LABS)}"]
    assert versions(upgraded.database) == [(1, hash_of(ANSWERED)), (2, grown["inputs_hash"])]
    assert grown["inputs_hash"] != hash_of(ANSWERED)
    assert fsck.check(upgraded.database, upgraded.blobs, older_than=0) == []


def test_key_of_before_gets_its_first_answer_again(upgraded: Upgraded) -> None:
    again = post(upgraded.api, case(), [("image", film(1))], key=KEY)
    assert (again.status_code, again.headers["Location"]) == (202, f"/v1/cases/{ANSWERED}")
    assert again.json() == {"id": ANSWERED, "state": "pending"}
    assert len(upgraded.get("/v1/cases")["cases"]) == len(IDS)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_worker_answers_what_waited_and_what_was_added(
    kind: str, request: pytest.FixtureRequest, tiny_artifact: Path, tmp_path: Path
) -> None:
    url, _ = filled((kind, "0001"), request, tmp_path, tiny_artifact)
    prepared(url).close()
    options = ("--port", "0", "--database-url", url)
    with (
        running("serve", tmp_path, tiny_artifact, *options, CLINIMM_DEBOUNCE_SECONDS="0.3") as service,
        httpx.Client(base_url=service.url(), timeout=30) as client,
    ):
        [first] = await_result(client, WAITING)["results"]
        assert (first["case_version"], first["cause"], first["supersedes"]) == (1, "created", None)
        assert {"cxr", "labs"} <= {*first["used"], *first["rejected"]}
        assert await_report(client, WAITING).status_code == 200
        inputs = [("inputs", (None, json.dumps({"labs": [LABS[3][0]]}).encode(), "application/json"))]
        client.post(f"/v1/cases/{ANSWERED}/inputs", files=inputs, headers={"Idempotency-Key": "same"})
        client.post(f"/v1/cases/{WAITING}/inputs", files=inputs, headers={"Idempotency-Key": "other"})
        assert len(client.get(f"/v1/cases/{ANSWERED}/results").json()["results"]) == 2
        newest = await_results(client, WAITING, 2)[0]
        assert (newest["case_version"], newest["cause"], newest["supersedes"]) == (2, "labs_added", 1)
        assert await_report(client, WAITING).json()["prediction"]["used"] == newest["used"]
    database = Database(url)
    assert fsck.check(database, Blobs(tmp_path / "blobs"), deep=True, older_than=0) == []
    database.close()


def await_results(client: httpx.Client, case_id: str, count: int) -> list[dict[str, Any]]:
    for _ in range(300):
        if len(found := await_result(client, case_id)["results"]) == count:
            return list(found)
        time.sleep(0.1)
    raise AssertionError("it was not answered again")
