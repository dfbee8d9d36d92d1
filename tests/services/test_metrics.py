"""What /metrics tells: counts that can be checked by hand, no identity, and quickly though there are many cases."""

import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from prometheus_client.parser import text_string_to_metric_families
from service_answers import content, record
from service_processes import running_api
from service_requests import case, damaged_film, film, post

from clinimm.types import Abstention
from services import audit, db
from services.app.metrics import Metrics
from services.app.stock import Stock
from services.db import Database, now
from services.http.uploads import Uploads
from services.jobs import state
from services.jobs.executors import Executors
from services.results import service as results
from services.settings import Settings
from services.tables import CaseRow, EventRow, FlagRow, JobRow, ResultRow
from services.worker import Reads

Told = dict[tuple[str, ...], float]


@pytest.fixture
def api_settings(database_url: str, described_model: Path, tmp_path: Path) -> Settings:
    return Settings(data=tmp_path, artifact=described_model, allow_unpromoted=True, database_url=database_url)


def told(text: str) -> Told:
    """The values by name and labels, which are in the order of their names."""
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def answer(database: Database, shown: dict[str, Any], **facts: Any) -> None:
    with database.write() as session:
        results.keep(session, content(shown), record(shown["id"], **facts), ["created"])
        state.finish(session, session.scalars(sa.select(JobRow.id).where(JobRow.subject == shown["id"])).one())


def test_every_count_is_as_counted_by_hand(api_settings: Settings, database: Database) -> None:
    with running_api(api_settings) as api:
        answer(database, post(api, case("answered"), [("image", film(1)), ("image", damaged_film(2))]).json())
        answer(database, post(api, case("silent"), [("image", film(1))]).json(), abstained=Abstention.NO_USABLE_INPUT)
        failed = post(api, case("failed"), [("image", b"no film")]).json()["id"]
        post(api, case("waiting"))
        post(api, case("held"), [("image", film(3, patient="somebody else"))])
        with database.write() as session:
            state.bury(session, session.scalars(sa.select(JobRow.id).where(JobRow.subject == failed)).one(), "x")
        reads = Reads()
        reads.note("RLE Lossless", 0.5)
        reads.note("RLE Lossless", 0.25)
        for name in "ab":
            Executors(database, name, "d" * 64, lease_seconds=9).beat({"reads": reads.counted()})
        found = told(api.get("/metrics").text)
        assert "somebody" not in api.get("/metrics").text
    states = {"held": 1, "pending": 1, "failed": 1, "done": 2}
    assert {key[1]: value for key, value in found.items() if key[0] == "clinimm_cases"} == states
    assert found["clinimm_cases_answered",] == 2
    assert found["clinimm_cases_missing", "labs"] == 2
    assert found["clinimm_cases_abstained", "no_usable_input"] == 1
    assert found["clinimm_jobs", "diagnose", "dead"] == found["clinimm_jobs", "diagnose", "queued"] == 1
    assert found["clinimm_queue_age_seconds", "diagnose"] >= 0
    parts = {key[1:]: value for key, value in found.items() if key[0] == "clinimm_image_parts"}
    assert parts["", "accepted"] == 2
    assert parts["", "already_stored"] == 1
    assert parts["not_dicom", "rejected"] == 1
    assert sum(parts.values()) == 5
    assert found["clinimm_instances",] == 2
    assert found["clinimm_instances_bytes",] == len(film(1)) + len(film(3, patient="somebody else"))
    assert found["clinimm_events_total", "case.created"] == 5
    assert found["clinimm_inspect_seconds_count", "Explicit VR Little Endian"] == 3
    assert found["clinimm_inspect_seconds_count", "refused"] == 1
    assert found["clinimm_read_seconds_count", "RLE Lossless"] == 4
    assert found["clinimm_read_seconds_sum", "RLE Lossless"] == pytest.approx(1.5)
    assert found["clinimm_uploads",] == 0
    assert found["clinimm_database_up",] == 1


def test_age_of_the_queue_is_not_negative_though_the_clock_goes_back(
    api: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    post(api, case())
    monkeypatch.setattr(db, "clock", lambda: db.utc_clock() - timedelta(days=1))
    assert told(api.get("/metrics").text)["clinimm_queue_age_seconds", "diagnose"] == 0


def test_events_are_counted_once_each(database: Database) -> None:
    seconds = iter(range(0, 10_000, 60))
    stock = Stock(database, "", clock=lambda: float(next(seconds)))
    for rounds in range(1, 5):
        with database.write() as session:
            for word in "ab" * 400:
                audit.record(session, "", word, "")
        [metric] = [one for one in stock.collect() if one.name == "clinimm_events"]
        assert {sample.labels["action"]: sample.value for sample in metric.samples} == dict.fromkeys("ab", 400 * rounds)


def test_database_that_is_away_leaves_the_rest(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'empty.db'}")
    metrics = Metrics(database, Uploads(1), "")
    metrics.note("GET", "/healthz", 200, 0.1)
    found = told(metrics.exposition().decode())
    database.close()
    assert found["clinimm_database_up",] == 0
    assert found["clinimm_http_requests_total", "GET", "/healthz", "200"] == 1


@pytest.mark.slow
def test_many_cases_are_counted_rightly_and_told_at_once(
    database: Database, record_property: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(database, 100_000)
    metrics, spent = Metrics(database, Uploads(1), ""), list[float]()
    for _ in range(5):
        started = time.perf_counter()
        found = told(metrics.exposition().decode())
        spent.append(round(1000 * (time.perf_counter() - started)))
    assert found["clinimm_cases", "done"] == found["clinimm_cases_missing", "labs"] == 100_000
    record_property("milliseconds", spent)
    with capsys.disabled():
        print(f"\n/metrics over 100,000 cases, {database.engine.dialect.name}: {spent} ms")


def fill(database: Database, cases: int) -> None:
    """So many cases, each answered, explained, and without labs."""
    ids = [f"00000000-0000-0000-0000-{number:012d}" for number in range(cases)]
    moment, blank = now(), {"patient": {}, "complete": {}, "held": "", "version": 1, "client": "c", "patient_id": "p"}
    rows: dict[Any, list[dict[str, Any]]] = {
        CaseRow: [blank | {"id": i, "inputs_hash": i, "created_hash": i, "created_at": moment} for i in ids],
        ResultRow: [
            {"id": f"{i}-1", "case_id": i, "version": 1, "case_version": 1, "inputs_hash": i, "model": "m"}
            | {"cause": "created", "changes": {}, "record": {}, "created_at": moment}
            for i in ids
        ],
        FlagRow: [{"result_id": f"{i}-1", "flag": flag, "case_id": i} for i in ids for flag in ("missing:labs", "x:y")],
        JobRow: [
            {"id": f"{kind}:{i}", "kind": kind, "subject": i, "state": "done", "attempts": 1, "reason": ""}
            | {"version": 1, "request_id": "", "created_at": moment}
            for i in ids
            for kind in ("diagnose", "explain")
        ],
        EventRow: [
            {
                "seq": seq,
                "time": moment,
                "monotonic_ns": seq,
                **dict.fromkeys(("role", "source", "patient", "request_id", "hash"), ""),
                "actor": "c",
                "outcome": "done",
                "action": action,
                "object_id": i,
                "case_id": i,
                "facts": {},
            }
            for seq, (i, action) in enumerate(
                ((i, action) for i in ids for action in ("case.created", "result.stored", "report.stored")), start=1
            )
        ],
    }
    with database.write() as session:
        for table, values in rows.items():
            for start in range(0, len(values), 5000):
                session.execute(sa.insert(table), values[start : start + 5000])
