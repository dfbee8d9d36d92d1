"""The drill: database and files restored from different instants, told and mended by the command an operator types."""

import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from service_processes import new_database, running_api
from service_requests import case, film, post
from typer.testing import CliRunner

from services.cli import cli
from services.settings import Settings


@dataclass(frozen=True)
class Backup:
    """A database, by its URL, and a folder of files."""

    url: str
    folder: Path

    @classmethod
    def of(cls, live: "Backup", folder: Path) -> "Backup":
        """A copy of both, to go on with."""
        shutil.copytree(live.folder, folder)
        place = sa.make_url(live.url)
        if place.get_backend_name() == "sqlite":
            shutil.copy(str(place.database), folder / "backup.db")
            return cls(f"sqlite:///{folder / 'backup.db'}", folder)
        return cls(new_database(live.url, f"backup_{uuid.uuid4().hex[:12]}", str(place.database)), folder)

    def fsck(self, *options: str) -> tuple[int, list[str]]:
        """Its exit code, and the lines that it tells."""
        place = ["--data", str(self.folder), "--database-url", self.url]
        done = CliRunner().invoke(cli, ["fsck", *place, "--all", "--deep", *options])
        return done.exit_code, done.output.splitlines()

    def settings(self, model: Path) -> Settings:
        return Settings(data=self.folder, artifact=model, allow_unpromoted=True, database_url=self.url)


@pytest.fixture
def live(database_url: str, tmp_path: Path) -> Backup:
    folder = tmp_path / "live"
    folder.mkdir()
    return Backup(database_url, folder)


@pytest.fixture
def instants(live: Backup, described_model: Path, tmp_path: Path) -> tuple[Backup, Backup]:
    """Of yesterday, and of today, when a case came in with one film more, which was there, and one that was not."""
    with running_api(live.settings(described_model)) as api:
        post(api, case("yesterday"), [("image", film(1))])
    yesterday = Backup.of(live, tmp_path / "yesterday")
    with running_api(live.settings(described_model)) as api:
        post(api, case("today"), [("image", film(1)), ("image", film(2))])
    return yesterday, Backup.of(live, tmp_path / "today")


def shown(api: httpx.Client, reference: str) -> dict[str, Any]:
    [line] = api.get(f"/v1/cases?reference={reference}").json()["cases"]
    return dict(api.get(f"/v1/cases/{line['id']}").json())


def images(told: dict[str, Any]) -> list[tuple[str, str]]:
    return [(part["outcome"], part["code"]) for part in told["parts"] if part["part"].startswith("images/")]


@pytest.mark.slow
def test_database_of_yesterday_beside_files_of_today(instants: tuple[Backup, Backup], described_model: Path) -> None:
    yesterday, today = instants
    restored = Backup(yesterday.url, today.folder)
    with running_api(today.settings(described_model)) as api:
        late = shown(api, "today")["parts"][-1]["sha256"]
    assert restored.fsck() == (1, [f"file_unnamed\t{late}"])
    assert restored.fsck("--repair") == (1, [f"file_unnamed\t{late}", "repaired: 1"])
    assert restored.fsck() == (0, [])
    with running_api(restored.settings(described_model)) as api:
        assert images(shown(api, "yesterday")) == [("accepted", "")]
        assert post(api, case("today"), [("image", film(1)), ("image", film(2))]).status_code == 202
        assert images(shown(api, "today")) == [("already_stored", ""), ("accepted", "")]
    assert restored.fsck()[0] == 0
    assert today.fsck("--repair") == (0, [])


@pytest.mark.slow
def test_database_of_today_beside_files_of_yesterday(instants: tuple[Backup, Backup], described_model: Path) -> None:
    yesterday, today = instants
    restored = Backup(today.url, yesterday.folder)
    with running_api(today.settings(described_model)) as api:
        before = shown(api, "today")
    told = f"file_missing\t{before['parts'][-1]['sha256']}\t{before['id']}"
    assert restored.fsck() == (1, [told])
    assert restored.fsck("--repair") == (1, [told, "repaired: 1"])
    assert restored.fsck() == (0, [])
    with running_api(restored.settings(described_model)) as api:
        without = shown(api, "today")
        assert (without["version"], images(without)) == (2, [("already_stored", ""), ("quarantined", "file_missing")])
        parts = [("image", ("f.dcm", film(2), "application/dicom"))]
        again = api.post(f"/v1/cases/{before['id']}/inputs", files=parts, headers={"Idempotency-Key": "again"})
        assert (again.status_code, again.json()["version"]) == (202, 3)
        after = shown(api, "today")
    assert (after["parts"], after["inputs_hash"]) == (before["parts"], before["inputs_hash"])
    assert restored.fsck() == (0, [])


@pytest.mark.slow
def test_films_laid_aside_for_one_database_are_there_for_the_other(instants: tuple[Backup, Backup]) -> None:
    yesterday, today = instants
    assert Backup(yesterday.url, today.folder).fsck("--repair")[0] == 1
    assert [line.partition("\t")[0] for line in today.fsck("--repair")[1]] == ["file_missing", "repaired: 1"]
    assert today.fsck() == (0, [])
    assert film(2) in [path.read_bytes() for path in today.folder.glob("blobs/??/*")]
