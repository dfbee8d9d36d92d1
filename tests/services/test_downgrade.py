"""The way back to an earlier schema: it loses nothing, or it is refused and says what it would lose."""

import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa
from alembic import command
from released_rows import ANSWERED, contents, fill, released
from service_processes import new_database, running_api
from service_requests import case, post

from clinimm.errors import ConfigError
from services.artifacts import facts
from services.db import Database
from services.db.migrate import alembic_config
from services.jobs.prepare import prepared, taken_back
from services.settings import Settings

pytestmark = pytest.mark.slow

EARLIEST = "0001"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        return new_database(request.getfixturevalue("postgres_url"), f"back_{uuid.uuid4().hex[:12]}")
    return f"sqlite:///{tmp_path / 'clinimm.db'}"


@pytest.fixture
def upgraded(url: str, described_model: Path, tmp_path: Path) -> Iterator[httpx.Client]:
    """An API over what 0001 left."""
    with released(url, EARLIEST) as earlier:
        fill(earlier, tmp_path, facts.read(described_model).digest)
    prepared(url).close()
    settings = Settings(data=tmp_path, artifact=described_model, allow_unpromoted=True, database_url=url)
    with running_api(settings) as client:
        yield client


def add(client: httpx.Client, case_id: str, lab: dict[str, object]) -> httpx.Response:
    parts = [("inputs", (None, json.dumps({"labs": [lab]}).encode(), "application/json"))]
    return client.post(f"/v1/cases/{case_id}/inputs", files=parts, headers={"Idempotency-Key": uuid.uuid4().hex})


def refused(url: str, revision: str) -> str:
    """What going back is refused for; the tables are then those of now."""
    with pytest.raises(ConfigError) as told:
        taken_back(url, revision)
    command.check(alembic_config(url))
    return str(told.value)


@pytest.mark.parametrize("revision", ["0001", "0002"])
def test_there_and_back_every_row_is_as_it_was(revision: str, url: str, tmp_path: Path) -> None:
    with released(url, revision) as database:
        fill(database, tmp_path, "d" * 64)
        before = contents(database)
        prepared(url).close()
        assert contents(database) != before
        taken_back(url, revision).close()
        after = contents(database)
    assert before.pop("workers")
    assert after.pop("workers") == []
    assert after == before


def test_what_says_nothing_of_a_case_is_no_reason_to_stay(upgraded: httpx.Client, url: str) -> None:
    known = {"name": "wbc", "value": 14.25, "unit": "10*9/L"}
    assert add(upgraded, ANSWERED, known).json()["version"] == 1
    assert upgraded.get(f"/v1/cases/{ANSWERED}/similar").status_code == 200
    database = taken_back(url, EARLIEST)
    told = [fact for row in contents(database)["events"] if "action='case.similar'" in row for fact in row]
    assert any(all(f"'{name}': " in fact for name in ("role", "source", "patient", "hash")) for fact in told)
    database.close()


def test_case_taken_since_is_not_lost(upgraded: httpx.Client, url: str) -> None:
    assert post(upgraded, case()).status_code == 202
    assert "(cases taken: 1)" in refused(url, EARLIEST)


def test_inputs_added_since_are_not_lost(upgraded: httpx.Client, url: str) -> None:
    assert add(upgraded, ANSWERED, {"name": "crp", "value": 7, "unit": "mg/L"}).json()["version"] == 2
    told = refused(url, "0002")
    assert "versions added to cases: 1" in told
    assert "restore the backup" in told


def test_review_is_not_lost(upgraded: httpx.Client, url: str) -> None:
    headers = {"Idempotency-Key": "review", "Content-Type": "application/json"}
    path = f"/v1/cases/{ANSWERED}/results/2/reviews"
    assert upgraded.post(path, content=b'{"verdict": "signed_off"}', headers=headers).status_code == 201
    assert "(reviews of findings or records: 1)" in refused(url, "0004")
    assert "(reviews of findings or records: 1)" in refused(url, "0002")


def test_review_of_before_findings_is_kept_on_the_way_back_to_it(upgraded: httpx.Client, url: str) -> None:
    headers = {"Idempotency-Key": "review", "Content-Type": "application/json"}
    path = f"/v1/cases/{ANSWERED}/results/2/reviews"
    assert upgraded.post(path, content=b'{"verdict": "signed_off"}', headers=headers).status_code == 201
    with Database(url).engine.begin() as connection:
        connection.execute(sa.text("UPDATE reviews SET record_sha256 = ''"))  # as 0004 left them
    taken_back(url, "0004").close()
    with pytest.raises(ConfigError, match=r"\(reviews: 1\)"):
        taken_back(url, "0002")
    prepared(url).close()
    [told] = upgraded.get(f"/v1/cases/{ANSWERED}/reviews").json()["reviews"]
    assert (told["verdict"], told["findings"], told["record_sha256"]) == ("signed_off", [], "")


def test_embeddings_are_not_lost(url: str, tmp_path: Path) -> None:
    with released(url, "0002") as database:
        fill(database, tmp_path, "d" * 64)
    prepared(url).close()
    assert "(embeddings: 2)" in refused(url, EARLIEST)
    taken_back(url, "0002").close()


@pytest.mark.parametrize("wrong", ["0007", "9999", "head", "-1"])
def test_only_an_earlier_revision_is_gone_back_to(wrong: str, database: Database) -> None:
    with pytest.raises(ConfigError, match="give one of: 0001, 0002, 0003, 0004, 0005, 0006"):
        taken_back(database.url, wrong)
