"""From POST to report, through the command that an operator types; and what becomes of cases when all is killed."""

import os
import random
import re
import shutil
import signal
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa
from service_processes import Service, await_report, await_result, new_database, postgres, running
from service_requests import case, cohort_film, damaged_film, film, post

from services.db import Database
from services.jobs import state
from services.tables import CaseRow, EventRow, JobRow, ReportRow, ResultRow

IMPATIENT = {"CLINIMM_HEARTBEAT_SECONDS": "0.3", "CLINIMM_LEASE_SECONDS": "1.5", "CLINIMM_DRAIN_SECONDS": "10"}


@pytest.fixture(scope="module")
def service(tiny_artifact: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    data = tmp_path_factory.mktemp("service") / "data"
    with running("serve", data, tiny_artifact, "--port", "0") as process:
        with httpx.Client(base_url=process.url(), timeout=30) as client:
            yield client
        assert process.stop() == 0
    assert "CANARY" not in process.log.read_text()
    assert '"event": "worker stopped"' in process.log.read_text()


def test_complete_case_is_answered_and_explained(service: httpx.Client, tiny_cohort: Path) -> None:
    case_id = post(service, case("complete"), [("image", cohort_film(tiny_cohort))]).json()["id"]
    found = await_result(service, case_id)
    assert found["state"] == "done"
    [result] = found["results"]
    assert set(result["used"]) == {"cxr", "note", "labs"}
    assert sum(result["weights"].values()) == pytest.approx(1, abs=1e-5)
    assert all(0 <= target["probability"] <= 1 for target in result["targets"])
    assert result["model"] == service.get("/v1/models").json()["models"][0]["digest"]
    report = await_report(service, case_id)
    assert report.json()["prediction"]["case_id"] == case_id
    page = service.get(f"/v1/cases/{case_id}/report", headers={"Accept": "text/html"})
    assert page.text.startswith("<!doctype html>") or page.text.startswith("<!DOCTYPE html>")
    assert service.get("/readyz").json()["ready"] is True


def test_what_is_missing_is_named_and_found_by_its_flag(service: httpx.Client, tiny_cohort: Path) -> None:
    case_id = post(service, case("without-labs", labs=None), [("image", cohort_film(tiny_cohort, 1))]).json()["id"]
    [result] = await_result(service, case_id)["results"]
    assert (result["missing"], result["weights"]["labs"]) == (["labs"], 0.0)
    lines = service.get("/v1/cases", params={"flag": "missing:labs"}).json()["cases"]
    assert case_id in {line["id"] for line in lines}


def test_damaged_film_is_unreadable_with_its_reason_and_the_note_still_answers(service: httpx.Client) -> None:
    case_id = post(service, case("damaged", labs=None), [("image", damaged_film())]).json()["id"]
    [result] = await_result(service, case_id)["results"]
    assert (result["inputs"]["cxr"]["status"], result["used"]) == ("unreadable", ["note"])
    assert result["inputs"]["cxr"]["reason"]
    assert {"unreadable:cxr", "missing:labs"} <= set(result["flags"])


def test_nothing_usable_is_abstained_from(service: httpx.Client) -> None:
    case_id = post(service, case("nothing", note=None, labs=None), [("image", b"not a film" * 30)]).json()["id"]
    [result] = await_result(service, case_id)["results"]
    assert (result["abstained"], result["used"]) == ("no_usable_input", [])
    assert all(target["probability"] is None for target in result["targets"])
    assert {"rejected:cxr", "missing:note", "missing:labs"} <= set(result["flags"])
    assert await_report(service, case_id).status_code == 200


def test_similar_cases_are_found_by_what_the_worker_kept(service: httpx.Client, tiny_cohort: Path) -> None:
    images = [("image", cohort_film(tiny_cohort, 2, patient=""))]  # says of nobody that it is theirs
    mine, other = (post(service, case(name, patient={"id": name}), images).json() for name in "ab")
    for sent in (mine, other):
        await_result(service, sent["id"])
    found = service.get(mine["links"]["similar"], params={"limit": 100}).json()
    first = found["similar"][0]
    assert (first["case_id"], first["similarity"]) == (other["id"], pytest.approx(1, abs=1e-5))
    assert found["model"] == service.get("/v1/models").json()["models"][0]["digest"]


@pytest.mark.slow
def test_server_starts_a_dead_worker_again_and_takes_it_along_when_killed(tiny_artifact: Path, tmp_path: Path) -> None:
    with running("serve", tmp_path / "data", tiny_artifact, "--port", "0", **IMPATIENT) as process:
        await_line(process.log, '"event": "worker ready"')
        [worker] = re.findall(r'"worker": "[^"]+-(\d+)-[0-9a-f]{8}"', process.log.read_text())
        os.kill(int(worker), signal.SIGKILL)
        with httpx.Client(base_url=process.url(), timeout=30) as client:
            assert await_result(client, post(client, case()).json()["id"])["state"] == "done"
        process.kill()
        await_line(process.log, '"event": "worker stopped"')


@pytest.mark.slow
def test_server_stops_where_no_worker_can_start(tiny_artifact: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(tiny_artifact, tmp_path / "broken")
    (broken / "weights.safetensors").write_bytes(b"other weights")
    with running("serve", tmp_path / "data", broken, "--port", "0") as process:
        assert process.process.wait(60) == 2
    assert "weights.safetensors was changed" in process.log.read_text()


class Outage:
    """Kills an API and its workers at random moments, and starts others in their place."""

    def __init__(self, data: Path, artifact: Path, url: str, seed: int) -> None:
        self.data, self.artifact, self.random = data, artifact, random.Random(seed)
        self.environment = {**IMPATIENT, "CLINIMM_DATABASE_URL": url}
        self.port = "0"
        self.api = self._api()
        self.worker = self._worker()

    def kill_api(self) -> None:
        self.api.kill()
        self.api = self._api()

    def kill_worker_at_work(self) -> None:
        await_line(self.worker.log, '"event": "job computed"')
        time.sleep(self.random.uniform(0, 0.3))
        self.worker.kill_all()
        self.worker = self._worker()

    def end(self) -> None:
        for service in (self.api, self.worker):
            service.kill_all()

    def _api(self) -> Service:
        api = Service("serve", self.data, self.artifact, "--no-worker", "--port", self.port, **self.environment)
        self.base_url = api.url()
        self.port = self.base_url.rpartition(":")[2]
        return api

    def _worker(self) -> Service:
        return Service("worker", self.data, self.artifact, **self.environment)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_every_acknowledged_case_gets_one_result_whatever_is_killed(
    kind: str, tiny_artifact: Path, tmp_path: Path
) -> None:
    if kind == "sqlite":
        outlast_kills(tiny_artifact, tmp_path, f"sqlite:///{tmp_path / 'clinimm.db'}", rounds=2)
    else:
        with postgres() as server:
            outlast_kills(tiny_artifact, tmp_path, new_database(server, "kills", "clinimm_template"), rounds=1)


def outlast_kills(artifact: Path, folder: Path, url: str, *, rounds: int, posts: int = 20) -> None:
    outage = Outage(folder / "data", artifact, url, seed=5)
    try:
        with ThreadPoolExecutor(2) as pool:
            answers = [pool.submit(post_until_acknowledged, outage, i) for i in range(posts)]
            for kill in (outage.kill_api, outage.kill_worker_at_work) * rounds:
                time.sleep(outage.random.uniform(0, 0.5))
                kill()
            acknowledged = [answer.result() for answer in answers]
        await_all(url)
    finally:
        outage.end()
    check_one_result_each(url, set(acknowledged))


def post_until_acknowledged(outage: Outage, number: int) -> str:
    """As a careful client does: the same key until there is an answer."""
    key, deadline = uuid.uuid4().hex, time.monotonic() + 90
    while time.monotonic() < deadline:
        try:
            with httpx.Client(base_url=outage.base_url, timeout=10) as client:
                answer = post(client, case(f"case-{number}"), [("image", film(number))], key=key)
            if answer.status_code == 202:
                return str(answer.json()["id"])
        except httpx.TransportError:
            pass
        threading.Event().wait(0.2)
    raise AssertionError("never acknowledged")


def await_line(log: Path, words: str, seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while words not in log.read_text():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)


def await_all(url: str, seconds: float = 120) -> None:
    database, deadline = Database(url), time.monotonic() + seconds
    while time.monotonic() < deadline:
        with database.read() as session:
            waiting = [count for (_, job), count in state.counts(session).items() if job == state.QUEUED]
        if not waiting:
            break
        time.sleep(0.3)
    database.close()


def check_one_result_each(url: str, acknowledged: set[str]) -> None:
    database = Database(url)
    with database.read() as session:
        cases = set(session.scalars(sa.select(CaseRow.id)))
        results = list(session.scalars(sa.select(ResultRow.case_id)))
        states = set(session.scalars(sa.select(JobRow.state)))
        reports = session.scalar(sa.select(sa.func.count()).select_from(ReportRow))
        events = list(session.scalars(sa.select(EventRow.object_id).where(EventRow.action == "result.stored")))
    database.close()
    assert cases == acknowledged
    assert sorted(results) == sorted(acknowledged)
    assert states == {state.DONE}
    assert reports == len(acknowledged)
    assert len(events) == len(set(events)) == len(acknowledged)
