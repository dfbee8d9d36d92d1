"""Every call of the disk and of the database may fail, one after the other: each ends in a clean refusal or in success,
keeps a case whole or not at all, leaves nothing behind, and lets the same key succeed later."""

import errno
import itertools
import os
from collections.abc import Callable, Iterator

import httpx
import pytest
import sqlalchemy as sa
from failing_disk import SHORT, Disk, failing_files, failing_statements
from service_processes import running_api
from service_requests import case, film, post

import services.app
from services.blobs import Blobs, Sweeper
from services.db import Database
from services.settings import Settings
from services.tables import CaseRow, EventRow, ImageRow, JobRow, LabRow, NoteRow, VersionRow

FAULTS = [
    pytest.param(errno.ENOSPC, id="ENOSPC"),
    pytest.param(errno.EIO, id="EIO", marks=pytest.mark.slow),
    pytest.param(errno.EINTR, id="EINTR", marks=pytest.mark.slow),
]
ROWS = (VersionRow, NoteRow, LabRow, ImageRow)
Send = Callable[[httpx.Client, int, str], httpx.Response]


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


@pytest.fixture
def api_on_statements(settings: Settings, disk: Disk, monkeypatch: pytest.MonkeyPatch) -> Iterator[httpx.Client]:
    """An API whose database lies on the disk."""

    def opened(url: str) -> Database:
        database = Database(url)
        failing_statements(disk, database.engine)
        return database

    monkeypatch.setattr(services.app, "Database", opened)
    with running_api(settings.model_copy(update={"reserve_bytes": 0})) as client:  # whose own calls come in between
        assert post(client, case("warm"), [("image", film(10_000))]).status_code == 202
        yield client


def create(api: httpx.Client, number: int, key: str) -> httpx.Response:
    return post(api, case(f"case-{number}"), [("image", film(number, size=256))], key=key)


def swept(api: httpx.Client, settings: Settings, disk: Disk, fault: int | str, send: Send) -> set[str]:
    """The kinds of call that failed: each call of one request in turn, until none is left to fail."""
    disk.heard.clear()
    assert send(api, 0, "key-0").status_code == 202
    number, failed = 0, set[str]()
    for kind in sorted(disk.heard):
        for at in itertools.count(1):
            number += 1
            disk.fail(kind, at, fault)
            answer = send(api, number, f"key-{number}")
            disk.mend()
            but_for = kind if disk.fired else ""
            assert_clean(answer)
            assert_whole(settings, but_for=but_for)
            again = send(api, number, f"key-{number}")
            assert again.status_code == 202, (kind, at, again.text)
            assert again.status_code != answer.status_code or again.content == answer.content, (kind, at)
            assert_whole(settings, cases=number + 2, but_for=but_for)
            Sweeper(Blobs(settings.data / "blobs"), lambda names: names, patience=0).turn()
            if not disk.fired:
                break
            failed.add(kind)
    return failed


def assert_clean(answer: httpx.Response) -> None:
    """Taken, or refused in words that say nothing of what was sent."""
    if answer.status_code == 202:
        return
    assert answer.status_code in (500, 503, 507), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert not [word for word in ("p-1", "Canary", "Fever", "case-", "canary", "blobs") if word in answer.text]


def assert_whole(settings: Settings, cases: int | None = None, but_for: str = "") -> None:
    """Every case has all of its rows, its event, its job and its files, and nothing is left of what was refused but
    for what could not be taken away."""
    database, blobs = Database(settings.url), Blobs(settings.data / "blobs")
    with database.read() as session:
        ids = sorted(session.scalars(sa.select(CaseRow.id)))
        for row in ROWS:
            assert sorted(set(session.scalars(sa.select(row.case_id)))) == ids
        created = session.scalars(sa.select(EventRow.object_id).where(EventRow.action == "case.created"))
        assert sorted(created) == ids
        assert sorted(session.scalars(sa.select(JobRow.subject))) == ids
        names = set(session.scalars(sa.select(ImageRow.sha256)))
    database.close()
    for name in names:
        blobs.read(str(name))
    assert cases is None or len(ids) == cases
    if but_for not in ("unlink", "flock"):
        assert not os.listdir(blobs.incoming)
        assert not os.listdir(settings.data / "keys")


@pytest.mark.parametrize("fault", [*FAULTS, pytest.param(SHORT, id="short", marks=pytest.mark.slow)])
def test_disk_may_fail_at_any_call_of_a_post(
    api_on_disk: httpx.Client, settings: Settings, disk: Disk, fault: int | str
) -> None:
    fired = swept(api_on_disk, settings, disk, fault, create)
    assert {"open", "write", "fsync", "replace", "flock", "unlink"} <= fired


@pytest.mark.parametrize("fault", FAULTS)
def test_database_may_fail_at_any_statement_of_a_post(
    api_on_statements: httpx.Client, settings: Settings, disk: Disk, fault: int
) -> None:
    fired = swept(api_on_statements, settings, disk, fault, create)
    assert {"SELECT", "INSERT", "COMMIT"} <= fired
