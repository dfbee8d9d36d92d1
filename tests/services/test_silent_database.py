"""A database that takes what it is sent and never answers: callers are told soon, nothing piles up, and all is as
before once it answers again."""

import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa
from service_processes import new_database, running_api
from service_requests import case, post
from silent_proxy import Proxy

from services.db import Database, is_away, outlast
from services.settings import Settings

THREADS = 45  # 40 that answer requests, and some of the test itself
CONNECTIONS = 40


@pytest.fixture
def proxy(postgres_url: str) -> Iterator[tuple[Proxy, str]]:
    """A way to a new database, and the URL that takes it."""
    url = sa.make_url(new_database(postgres_url, f"silent_{uuid.uuid4().hex[:8]}", "clinimm_template"))
    proxy = Proxy(f"{url.query['host']}/.s.PGSQL.{url.query.get('port', 5432)}")
    there = url.set(host="127.0.0.1", port=proxy.port, query={}).render_as_string(hide_password=False)
    yield proxy, there
    proxy.close()


@pytest.fixture
def api(proxy: tuple[Proxy, str], described_model: Path, tmp_path: Path) -> Iterator[httpx.Client]:
    settings = Settings(data=tmp_path, artifact=described_model, allow_unpromoted=True, database_url=proxy[1])
    with running_api(settings) as client:
        yield client


def timed(api: httpx.Client, number: int) -> tuple[int, int, float]:
    """(status, seconds until the caller should come again, seconds that it took)."""
    started = time.monotonic()
    answer = post(api, case(str(number)), key=f"k{number}")
    return answer.status_code, int(answer.headers["retry-after"]), time.monotonic() - started


def until_ready(api: httpx.Client) -> None:
    deadline = time.monotonic() + 10
    while api.get("/readyz").json()["database"] != "ok":
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.slow
def test_callers_of_a_silent_database_are_told_soon_and_pile_up_nowhere(
    api: httpx.Client, proxy: tuple[Proxy, str]
) -> None:
    assert timed(api, 0)[0] == 202
    threads = threading.active_count() - 2 * proxy[0].open
    with proxy[0].silent():
        first = timed(api, 1)
        assert first[:2] == (503, 2)
        assert first[2] < 2
        with ThreadPoolExecutor(30) as pool:
            answers = list(pool.map(lambda number: timed(api, number), range(2, 122)))
        assert {answer[:2] for answer in answers} == {(503, 2)}
        assert max(seconds for *_, seconds in answers) < 10  # of many at once
        assert timed(api, 122)[2] < 2
        assert threading.active_count() - 2 * proxy[0].open <= threads + THREADS
        assert proxy[0].open <= 2 * CONNECTIONS  # what was given up lies in the proxy until it flows
        ready = api.get("/readyz")
        assert (ready.status_code, ready.json()["database"]) == (503, "failing")
        assert api.get("/healthz").status_code == 200
        assert "clinimm_database_up 0.0" in api.get("/metrics").text
    until_ready(api)
    assert timed(api, 122)[0] == 202
    assert len(api.get("/v1/cases").json()["cases"]) == 2  # nothing that was refused was kept


@pytest.mark.slow
def test_requests_that_the_silence_overtakes_are_kept_whole_or_not_at_all(
    api: httpx.Client, proxy: tuple[Proxy, str]
) -> None:
    with ThreadPoolExecutor(20) as pool:
        answers = [pool.submit(timed, api, number) for number in range(40)]
        while not any(answer.done() for answer in answers):
            time.sleep(0.005)
        with proxy[0].silent():
            told = [answer.result()[0] for answer in answers]
    assert set(told) <= {202, 503}
    until_ready(api)
    found = {line["reference"] for line in api.get("/v1/cases").json()["cases"]}
    assert {str(number) for number, status in enumerate(told) if status == 202} <= found
    assert {timed(api, number)[0] for number in range(40)} == {202}
    assert len(api.get("/v1/cases").json()["cases"]) == 40


@pytest.mark.slow
def test_statement_that_is_slow_is_waited_for(proxy: tuple[Proxy, str]) -> None:
    database = Database(proxy[1])
    with database.read() as session:
        assert session.scalar(sa.text("SELECT 'late' FROM pg_sleep(2.5)")) == "late"
    database.close()


@pytest.mark.slow
def test_statement_that_the_silence_overtakes_is_given_up_and_its_connection_lost(proxy: tuple[Proxy, str]) -> None:
    database = Database(proxy[1])
    with database.read() as session:
        session.execute(sa.text("SELECT 1"))
        with proxy[0].silent(), pytest.raises(sa.exc.OperationalError) as told:
            session.execute(sa.text("SELECT 2"))
    assert is_away(told.value)
    assert told.value.connection_invalidated
    assert outlast(lambda: one(database)) == 1
    database.close()


def one(database: Database) -> int:
    with database.read() as session:
        return int(session.scalar(sa.text("SELECT 1")) or 0)
