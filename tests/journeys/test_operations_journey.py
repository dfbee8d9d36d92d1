"""Through a real worker: what it logs is of a request, what it reads is measured, what was lost it does without."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from service_processes import Service, await_report, await_result, running
from service_requests import case, cohort_film, post
from typer.testing import CliRunner

from services.blobs import Blobs
from services.cli import cli

IMPATIENT = {"CLINIMM_HEARTBEAT_SECONDS": "0.3", "CLINIMM_DEBOUNCE_SECONDS": "0.3"}


@pytest.fixture
def service(tiny_artifact: Path, tmp_path: Path) -> Iterator[tuple[Service, httpx.Client]]:
    with (
        running("serve", tmp_path / "data", tiny_artifact, "--port", "0", **IMPATIENT) as process,
        httpx.Client(base_url=process.url(), timeout=30) as client,
    ):
        yield process, client


def fsck(data: Path, *options: str) -> tuple[int, str]:
    done = CliRunner().invoke(cli, ["fsck", "--data", str(data), *options])
    return done.exit_code, done.output


@pytest.mark.slow
def test_case_is_answered_again_without_the_film_that_was_lost(
    service: tuple[Service, httpx.Client], tiny_cohort: Path, tmp_path: Path
) -> None:
    process, client = service
    films = [cohort_film(tiny_cohort, number) for number in range(2)]
    headers = {"X-Request-Id": "trace-film"}
    shown = post(client, case("a"), [("image", films[0])], headers=headers).json()
    other = post(client, case("b"), [("image", films[1])]).json()
    [first] = await_result(client, shown["id"])["results"]
    assert "cxr" in first["used"]
    for sent in (shown, other):
        assert await_report(client, sent["id"]).status_code == 200
    told = [json.loads(line) for line in process.log.read_text().splitlines()]
    computed = {
        line["job"].partition(":")[0] for line in told if line.get("request_id") == "trace-film" and "job" in line
    }
    assert computed == {"diagnose", "explain"}
    blobs = Blobs(tmp_path / "data" / "blobs")
    blobs.path(shown["parts"][-1]["sha256"]).unlink()
    assert fsck(tmp_path / "data", "--repair")[0] == 1
    assert fsck(tmp_path / "data", "--deep") == (0, "")
    results = await_results(client, shown["id"], 2)
    assert (results[0]["cause"], results[0]["inputs"]["cxr"]["reason"]) == ("file_missing:cxr", "file_missing")
    assert "cxr" not in results[0]["used"]
    # Each twice: to answer, and to draw the report.
    twice_each = 'clinimm_read_seconds_count{transfer_syntax="JPEG-LS Lossless"} 4.0'
    assert twice_each in client.get("/metrics").text
    assert await_report(client, shown["id"]).json()["prediction"]["used"] == results[0]["used"]
    assert fsck(tmp_path / "data", "--deep") == (0, "")


def await_results(client: httpx.Client, case_id: str, count: int) -> list[dict[str, object]]:
    for _ in range(300):
        found = await_result(client, case_id)["results"]
        if len(found) == count:
            return list(found)
        threading.Event().wait(0.1)
    raise AssertionError("it was not answered again")
