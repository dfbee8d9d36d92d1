"""Whether a case would be answered now, and what is wrong if not; and that no clock but our own is believed."""

import itertools
import sys
import threading
from datetime import UTC, datetime, timedelta

import httpx
import pytest
import sqlalchemy as sa
from service_processes import running_api
from service_requests import case, post

from services import db
from services.cases.owing import Settler
from services.db import Database
from services.jobs.executors import Executors, Pulse
from services.jobs.queue import Queue
from services.settings import Pace, Settings


@pytest.fixture
def model(api: httpx.Client) -> str:
    return str(api.get("/v1/models").json()["models"][0]["digest"])


def beat(settings: Settings, model: str) -> None:
    database = Database(settings.url)
    Executors(database, "worker", model, lease_seconds=9).beat()
    database.close()


def failing(client: httpx.Client) -> set[str]:
    answer = client.get("/readyz")
    told = answer.json()
    assert told["ready"] is (answer.status_code == 200)
    return {name for name, word in told.items() if word == "failing"}


def test_all_is_well_while_a_worker_lives(api: httpx.Client, settings: Settings, model: str) -> None:
    assert failing(api) == {"model"}
    beat(settings, "e" * 64)
    assert failing(api) == {"model"}  # it has another
    beat(settings, model)
    assert failing(api) == set()


def test_sandbox_that_cannot_start_is_told(
    api: httpx.Client, settings: Settings, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    beat(settings, model)
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert failing(api) == {"sandbox"}
    monkeypatch.undo()
    assert failing(api) == set()


def test_storage_that_is_gone_is_told(api: httpx.Client, settings: Settings, model: str) -> None:
    beat(settings, model)
    aside = settings.data.with_name("aside")
    settings.data.rename(aside)
    assert "storage" in failing(api)
    assert api.get("/healthz").json() == {"status": "ok"}
    aside.rename(settings.data)
    assert failing(api) == set()


def test_full_queue_is_told(settings: Settings) -> None:
    with running_api(settings.model_copy(update={"queue_limit": 1})) as api:
        post(api, case())
        assert failing(api) == {"model", "queue"}


class Seconds:
    """A monotonic clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_worker_lives_as_long_as_its_beats_go_up() -> None:
    seconds, counts = Seconds(), itertools.count()
    pulse = Pulse(15, seconds)
    for _ in range(5):
        assert pulse.alive({"a": next(counts), "b": 7}) >= {"a"}
        seconds.now += 10
    assert pulse.alive({"a": next(counts), "b": 7}) == {"a"}
    assert pulse.alive({"b": 8}) == {"b"}  # it only seemed dead


DAY = timedelta(days=1)


@pytest.fixture(params=[DAY, -DAY], ids=["ahead", "back"])
def jump(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Once it is set, the clock of all rows and events is a day off."""
    jumped = threading.Event()
    monkeypatch.setattr(db, "clock", lambda: datetime.now(UTC) + (request.param if jumped.is_set() else timedelta()))
    return jumped


def test_clock_that_jumps_kills_no_worker_and_doubles_no_case(
    api: httpx.Client, settings: Settings, model: str, jump: threading.Event
) -> None:
    beat(settings, model)
    assert failing(api) == set()
    first = post(api, case(), key="k")
    jump.set()
    assert failing(api) == set()
    assert post(api, case(), key="k").content == first.content


def test_case_that_waits_to_be_quiet_is_settled_though_the_clock_jumps(
    api: httpx.Client, settings: Settings, jump: threading.Event
) -> None:
    case_id = post(api, case()).json()["id"]
    jump.set()
    labs = {"labs": [{"name": "crp", "value": 3, "unit": "mg/L", "collected_at": "2026-01-17T08:30:00+00:00"}]}
    api.post(f"/v1/cases/{case_id}/inputs", json=labs, headers={"Idempotency-Key": "l"})
    database = Database(settings.url)
    settler = Settler(database, Queue(database, 9), "d" * 64, Pace(0.0, 60.0))
    settler.turn()
    assert settler.turn() == 0
    with database.read() as session:
        assert session.scalar(sa.text("SELECT count(*) FROM due")) == 0
        assert session.scalar(sa.text("SELECT count(*) FROM jobs WHERE version = 2")) == 1
    database.close()
