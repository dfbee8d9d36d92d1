"""A database that is away and callers who hang up: told at once, nothing piles up, and all is as before afterwards."""

import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa
from service_answers import content, record
from service_processes import new_database, running_api
from service_requests import case, film, post, request_of

from services.blobs import Blobs
from services.db import Database
from services.http.multipart import BATCH
from services.reports import service as reports
from services.reports.store import StoredReport
from services.results import service as results
from services.settings import Settings

THREADS = 45  # 40 that answer requests, and some of the test itself


def until(reached: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


@contextmanager
def away(server: sa.Engine, name: str) -> Iterator[None]:
    """Nobody gets into a database while the block runs, and who was in is out."""
    with server.connect() as operator:
        operator.execute(sa.text(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false"))
        operator.execute(sa.text(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"))
        yield
        operator.execute(sa.text(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true"))


@pytest.mark.slow
def test_many_callers_while_the_database_is_away_are_told_soon_and_pile_up_nowhere(
    postgres_url: str, described_model: Path, tmp_path: Path
) -> None:
    name = f"outage_{uuid.uuid4().hex[:8]}"
    url = new_database(postgres_url, name, "clinimm_template")
    settings = Settings(data=tmp_path, artifact=described_model, allow_unpromoted=True, database_url=url)
    server = sa.create_engine(postgres_url, isolation_level="AUTOCOMMIT")
    with running_api(settings) as api:
        assert post(api, case()).status_code == 202
        threads = threading.active_count()
        with away(server, name):
            with ThreadPoolExecutor(30) as pool:
                answers = list(pool.map(lambda i: refused(api, i), range(120)))
            assert {answer[:2] for answer in answers} == {(503, "database_unavailable")}
            assert max(seconds for *_, seconds in answers) < 10  # of many at once; one alone is told within 2
            assert refused(api, 999)[2] < 2
            until(lambda: threading.active_count() <= threads + THREADS)
            assert connections(server, name) == 0
            assert (api.get("/readyz").status_code, api.get("/healthz").status_code) == (503, 200)
            assert "clinimm_database_up 0.0" in api.get("/metrics").text
        assert post(api, case("999"), key="k999").status_code == 202
        assert len(api.get("/v1/cases").json()["cases"]) == 2  # nothing that was refused was kept
        assert connections(server, name) <= 3
    server.dispose()


def connections(server: sa.Engine, name: str) -> int:
    with server.connect() as operator:
        return int(operator.scalar(sa.text(f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}'")) or 0)


def refused(api: httpx.Client, number: int) -> tuple[int, str, float]:
    started = time.monotonic()
    answer = post(api, case(str(number)), key=f"k{number}")
    assert int(answer.headers["retry-after"]) > 0
    return answer.status_code, answer.json()["code"], time.monotonic() - started


def test_liveness_needs_no_thread(api: httpx.Client, settings: Settings) -> None:
    """While every thread waits for a database that is locked, the process still says that it lives."""
    database = Database(settings.url)
    with ThreadPoolExecutor(50) as pool:
        with database.write() as session:
            session.execute(sa.text("DELETE FROM due"))  # takes the one lock that writers share
            posts = [pool.submit(post, api, case(str(number))) for number in range(45)]
            time.sleep(0.5)
            assert api.get("/healthz").status_code == 200
        assert {future.result().status_code for future in posts} == {202}
    database.close()


@pytest.fixture
def reported(either_api: httpx.Client, database: Database, tmp_path: Path) -> str:
    """The path of a report of 40 MB."""
    shown = post(either_api, case()).json()
    blobs = Blobs(tmp_path / "blobs")
    page = StoredReport(f"{shown['id']}-1", blobs.put(b"{}"), blobs.put(b"<p>page</p>" * 4_000_000))
    with database.write() as session:
        results.keep(session, content(shown), record(shown["id"]), ["created"])
        reports.keep(session, page)
    return f"/v1/cases/{shown['id']}/report?format=html"


@pytest.mark.slow
def test_caller_who_hangs_up_amid_a_report_holds_nothing(
    either_api: httpx.Client, database: Database, reported: str
) -> None:
    address = either_api.base_url.host, either_api.base_url.port
    either_api.get("/v1/cases")
    files, connections = open_files(), connected(database)
    for _ in range(8):
        with socket.create_connection(address) as caller:
            caller.sendall(f"GET {reported} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert caller.recv(1000).startswith(b"HTTP/1.1 200")
    until(lambda: open_files() <= files)
    assert connected(database) <= connections + 1
    assert either_api.get(reported).status_code == 200


def test_caller_who_hangs_up_amid_an_upload_holds_nothing(
    either_api: httpx.Client, database: Database, tmp_path: Path
) -> None:
    address, incoming = (either_api.base_url.host, either_api.base_url.port), tmp_path / "blobs" / "incoming"
    request = request_of(either_api, case(), [("image", film(size=1000))])
    head = f"POST /v1/cases HTTP/1.1\r\nHost: x\r\nIdempotency-Key: k\r\nContent-Length: {len(request.read())}\r\n"
    head += f"Content-Type: {request.headers['content-type']}\r\n\r\n"
    either_api.get("/v1/cases")
    files, connections = open_files(), connected(database)
    for _ in range(8):
        with socket.create_connection(address) as caller:
            caller.sendall(head.encode() + request.read()[: BATCH + 100_000])
            until(lambda: any(incoming.iterdir()))
        until(lambda: not any(incoming.iterdir()))
    until(lambda: open_files() <= files)
    assert connected(database) <= connections + 1
    assert post(either_api, case(), key="k").status_code == 202  # the key is free again


def connected(database: Database) -> int:
    """How many connections there are to the database, as far as it can be told."""
    if database.is_sqlite:
        return sum(os.readlink(f"/proc/self/fd/{fd}").endswith("clinimm.db") for fd in _descriptors())
    with database.read() as session:
        query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        return int(session.scalar(sa.text(query)) or 0)


def _descriptors() -> list[str]:
    return [fd for fd in os.listdir("/proc/self/fd") if os.path.islink(f"/proc/self/fd/{fd}")]
