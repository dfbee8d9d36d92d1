"""Every call of the disk and of the database may fail, one after the other, at every door: each ends in a clean refusal
or in success, keeps a case whole or as it was, leaves nothing behind, and lets the same key succeed later."""

import errno
import itertools
import time
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from failing_database import failing_statements
from failing_disk import LOST, SHORT, SLOW, STALLED, Disk, Fault, failing_files
from failing_doors import ADD, CREATE, DOORS, Door, assert_clean, create, kept
from service_processes import running_api
from service_requests import case, film, post

import services.app
from services.blobs import Blobs, Sweeper
from services.db import Database
from services.settings import Settings

ERRORS = {"ENOSPC": errno.ENOSPC, "EIO": errno.EIO, "EINTR": errno.EINTR, "slow": SLOW}
QUICK = {"INSERT events", "COMMIT events"}


def every(*of_all: str, **faults: Fault) -> list[Any]:
    """The first door with every fault, the others, which use what it uses, with those `of_all`; all of them slow."""
    return [
        pytest.param(one, fault, None, id=f"{one.name}-{name}", marks=pytest.mark.slow)
        for one in DOORS
        for name, fault in faults.items()
        if one is CREATE or name in of_all
    ]


@pytest.fixture
def disk(settings: Settings) -> Disk:
    return Disk(settings.data)


@pytest.fixture
def api_on_disk(settings: Settings, disk: Disk, monkeypatch: pytest.MonkeyPatch) -> Iterator[httpx.Client]:
    """An API whose files lie on the disk; what it makes only once is there, so that all requests do the same."""
    for shard in range(256):
        (settings.data / "blobs" / f"{shard:02x}").mkdir(parents=True)
    failing_files(disk, monkeypatch)
    with running_api(settings.model_copy(update={"reserve_bytes": 0})) as client:  # whose own calls come in between
        assert post(client, case("warm"), [("image", film(10_000))]).status_code == 202
        yield client


@contextmanager
def on_statements(settings: Settings, disk: Disk, monkeypatch: pytest.MonkeyPatch) -> Iterator[httpx.Client]:
    """An API whose database lies on the disk."""

    def opened(url: str) -> Database:
        database = Database(url)
        failing_statements(disk, database.engine)
        return database

    monkeypatch.setattr(services.app, "Database", opened)
    with running_api(settings.model_copy(update={"reserve_bytes": 0})) as client:  # whose own calls come in between
        assert post(client, case("warm"), [("image", film(10_000))]).status_code == 202
        yield client


def swept(
    api: httpx.Client, settings: Settings, disk: Disk, fault: Fault, door: Door, kinds: Collection[str] | None = None
) -> set[str]:
    """The kinds of call that failed: each call of one request in turn, of all kinds or of some, until none is left."""
    send = door.prepare(api, 0)
    disk.heard.clear()
    assert send("key-0").status_code == door.status
    disk.rest()
    number, failed = 0, set[str]()
    for kind in sorted(set(disk.heard) if kinds is None else kinds):
        for at in itertools.count(1):
            number += 1
            send = door.prepare(api, number)
            before = kept(settings)
            disk.fail(kind, at, fault)
            answer = send(f"key-{number}")
            if not disk.fired or fault == SLOW:
                disk.rest()
            disk.mend()
            but_for = kind if disk.fired else ""
            between = kept(settings, but_for)
            if answer.status_code != door.status:
                assert fault != SLOW
                assert_clean(answer)
                assert between == before or fault == LOST, (kind, at)
            again = send(f"key-{number}")
            assert again.status_code == door.status, (kind, at, again.text)
            assert again.status_code != answer.status_code or again.content == answer.content, (kind, at)
            after = kept(settings, but_for)
            assert after != before, (kind, at)
            assert between in (before, after), (kind, at)
            Sweeper(Blobs(settings.data / "blobs"), lambda names: names, patience=0).turn()
            if not disk.fired:
                break
            failed.add(kind)
    return failed


@pytest.mark.slow
@pytest.mark.parametrize(
    ("door", "fault", "kinds"), [(CREATE, errno.ENOSPC, None), *every("ENOSPC", "EIO", short=SHORT, **ERRORS)]
)
def test_disk_may_fail_at_any_call(
    api_on_disk: httpx.Client, settings: Settings, disk: Disk, door: Door, fault: Fault, kinds: Collection[str] | None
) -> None:
    fired = swept(api_on_disk, settings, disk, fault, door, kinds)
    assert {"open", "flock", "unlink"} <= fired or door.name == "mark"
    assert {"write", "fsync", "replace"} <= fired or door.name not in ("create", "add")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("door", "fault", "kinds"), [(CREATE, errno.ENOSPC, QUICK), (ADD, errno.EIO, QUICK), *every("EIO", **ERRORS)]
)
def test_sqlite_may_fail_at_any_statement(
    settings: Settings,
    disk: Disk,
    monkeypatch: pytest.MonkeyPatch,
    door: Door,
    fault: Fault,
    kinds: Collection[str] | None,
) -> None:
    with on_statements(settings, disk, monkeypatch) as api:
        fired = swept(api, settings, disk, fault, door, kinds)
    assert fired >= (kinds or {"SELECT cases", "INSERT events"})


@pytest.mark.parametrize(("door", "fault", "kinds"), every("lost", lost=LOST, **ERRORS))
def test_postgresql_may_fail_at_any_statement(
    settings: Settings,
    emptied_postgres_url: str,
    monkeypatch: pytest.MonkeyPatch,
    disk: Disk,
    door: Door,
    fault: Fault,
    kinds: Collection[str] | None,
) -> None:
    there = settings.model_copy(update={"database_url": emptied_postgres_url})
    with on_statements(there, disk, monkeypatch) as api:
        assert swept(api, there, disk, fault, door, kinds) >= {"SELECT cases", "INSERT events"}


@pytest.mark.parametrize("kind", ["open", "write", "fsync", "replace", "flock", "unlink", "stat"])
def test_others_are_served_while_a_disk_stalls(api_on_disk: httpx.Client, disk: Disk, kind: str) -> None:
    send = create(api_on_disk, 1)
    with ThreadPoolExecutor(1) as pool:
        disk.fail(kind, 1, STALLED)
        stalled = pool.submit(send, "k")
        while not disk.stalls:
            time.sleep(0.005)
        assert api_on_disk.get("/healthz").status_code == 200
        assert api_on_disk.get("/v1/cases").status_code == 200
        assert post(api_on_disk, case("other")).status_code == 202
        assert disk.stalls
        disk.mend()
        assert stalled.result().status_code == 202


@pytest.mark.parametrize("kind", ["SELECT cases", "INSERT events", "COMMIT events"])
def test_others_wait_for_a_database_that_stalls_and_then_read(
    settings: Settings, disk: Disk, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Nothing is read without its event, and SQLite has one writer."""
    with on_statements(settings, disk, monkeypatch) as api, ThreadPoolExecutor(2) as pool:
        send = create(api, 1)
        disk.fail(kind, 1, STALLED)
        stalled = pool.submit(send, "k")
        while not disk.stalls:
            time.sleep(0.005)
        reading = pool.submit(api.get, "/v1/cases")
        assert api.get("/healthz").status_code == 200
        assert disk.stalls
        disk.mend()
        assert (stalled.result().status_code, reading.result().status_code) == (202, 200)
