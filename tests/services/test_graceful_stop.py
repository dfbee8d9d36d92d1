"""SIGTERM: what was begun ends, or is refused cleanly; nothing is half taken; the process then says goodbye with 0."""

import socket
import time
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa
from service_processes import await_result, running
from service_requests import case, film, post, request_of

from services.artifacts import facts
from services.db import Database
from services.tables import CaseRow, WorkerRow

OPEN = {"CLINIMM_DRAIN_SECONDS": "20"}


@pytest.mark.slow
def test_upload_in_flight_ends_before_the_api_does(described_model: Path, tmp_path: Path) -> None:
    with running("serve", tmp_path / "data", described_model, "--no-worker", "--port", "0", **OPEN) as service:
        url = httpx.URL(service.url())
        head, body = raw(url, "k-1")
        with socket.create_connection((url.host, url.port or 0)) as connection:
            connection.settimeout(30)
            connection.sendall(head + body[: len(body) // 2])
            await_file(tmp_path / "data" / "blobs" / "incoming")
            service.process.terminate()
            time.sleep(0.5)
            assert service.process.poll() is None
            connection.sendall(body[len(body) // 2 :])
            assert connection.recv(100).startswith(b"HTTP/1.1 202")
        assert service.process.wait(30) == 0
    assert cases(tmp_path) == 1


@pytest.mark.slow
def test_upload_that_outlasts_the_stop_leaves_nothing(described_model: Path, tmp_path: Path) -> None:
    drain = {"CLINIMM_DRAIN_SECONDS": "1"}
    with running("serve", tmp_path / "data", described_model, "--no-worker", "--port", "0", **drain) as service:
        url = httpx.URL(service.url())
        head, body = raw(url, "k-1")
        with socket.create_connection((url.host, url.port or 0)) as connection:
            connection.sendall(head + body[: len(body) // 2])
            await_file(tmp_path / "data" / "blobs" / "incoming")
            assert service.stop() == 0
    assert cases(tmp_path) == 0
    assert not list((tmp_path / "data" / "blobs" / "incoming").iterdir())
    with running("serve", tmp_path / "data", described_model, "--no-worker", "--port", "0") as service:
        client = httpx.Client(base_url=service.url(), timeout=30)
        assert post(client, case(), [("image", film(size=400))], key="k-1").status_code == 202
        client.close()


@pytest.mark.slow
def test_worker_that_is_stopped_amid_its_work_hands_it_back(tiny_artifact: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running("serve", data, tiny_artifact, "--no-worker", "--port", "0") as service:
        with httpx.Client(base_url=service.url(), timeout=30) as client:
            for number in range(6):
                assert post(client, case(f"case-{number}"), [("image", film(number))]).status_code == 202
        with running("worker", data, tiny_artifact, CLINIMM_DRAIN_SECONDS="1") as worker:
            await_words(worker.log, '"event": "job computed"')
            assert worker.stop() == 0
    database = Database(f"sqlite:///{data / 'clinimm.db'}")
    with database.read() as session:
        begun = session.scalars(sa.text("SELECT workflow_uuid FROM workflow_status WHERE status = 'PENDING'")).all()
        living = session.scalars(sa.select(WorkerRow.id)).all()
    database.close()
    assert (begun, living) == ([], [])
    assert '"event": "worker stopped"' in worker.log.read_text()


@pytest.mark.slow
def test_worker_whose_model_was_stopped_has_nothing_to_end_and_loses_nothing(
    tiny_artifact: Path, tmp_path: Path
) -> None:
    data, digest = tmp_path / "data", facts.read(tiny_artifact).digest
    switch = f"/v1/models/{digest}/switch"
    with (
        running("serve", data, tiny_artifact, "--no-worker", "--port", "0") as service,
        httpx.Client(base_url=service.url(), timeout=30) as client,
    ):
        assert client.put(switch, json={"stopped": True, "reason": "precaution"}).status_code == 200
        case_id = post(client, case()).json()["id"]
        with running("worker", data, tiny_artifact, CLINIMM_DRAIN_SECONDS="600") as worker:
            await_pending(data)
            assert worker.stop() == 0
        assert client.put(switch, json={"stopped": False, "reason": "cleared"}).status_code == 200
        with running("worker", data, tiny_artifact):
            assert await_result(client, case_id)["state"] == "done"


def await_pending(data: Path, seconds: float = 60) -> None:
    """Until a worker has taken a job."""
    database, deadline = Database(f"sqlite:///{data / 'clinimm.db'}"), time.monotonic() + seconds
    query = sa.text("SELECT count(*) FROM workflow_status WHERE status = 'PENDING'")
    while True:
        with database.read() as session:
            if session.scalar(query):
                break
        assert time.monotonic() < deadline
        time.sleep(0.1)
    database.close()


def raw(url: httpx.URL, key: str) -> tuple[bytes, bytes]:
    """The head and the body of a post, to be sent as slowly as one likes."""
    with httpx.Client(base_url=url) as client:
        request = request_of(client, case(), [("image", film(size=1000))], key=key)
    head = f"POST /v1/cases HTTP/1.1\r\nHost: x\r\nIdempotency-Key: {key}\r\n"
    head += f"Content-Length: {len(request.read())}\r\nContent-Type: {request.headers['content-type']}\r\n\r\n"
    return head.encode(), request.read()


def await_file(folder: Path, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not any(folder.iterdir()):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def await_words(log: Path, words: str, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while words not in log.read_text():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.02)


def cases(folder: Path) -> int:
    database = Database(f"sqlite:///{folder / 'data' / 'clinimm.db'}")
    with database.read() as session:
        count = session.scalar(sa.select(sa.func.count()).select_from(CaseRow)) or 0
    database.close()
    return count
