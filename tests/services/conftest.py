"""A described model, and an API over each kind of database."""

import hashlib
import json
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa
from service_processes import new_database, postgres, running_api

from clinimm.config import dump, load
from services.db import Database
from services.jobs.prepare import prepared
from services.settings import Settings

ROOT = Path(__file__).parents[2]
FILLED = sa.text(
    "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables "
    "WHERE schemaname IN ('public', 'dbos') AND tablename !~ 'migrations|alembic_version'"
)


# Run on both databases; the second time with the slow ones, since the code under test is the same.
LONG = {
    *("test_late_inputs.py", "test_fsck.py", "test_jobs.py", "test_outages.py", "test_similar.py"),
    *("test_results_store.py", "test_service_posting.py", "test_restore_drill.py", "test_reviews.py"),
    *("test_evidence.py", "test_replay.py"),
}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == Path(__file__).parent and item.path.name in LONG and "postgresql" in item.name:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def own_log() -> Iterator[None]:
    """A verb that runs in this process sends all logs to the error stream of its test, which is then closed."""
    root = logging.getLogger()
    before = (root.handlers, root.level)
    yield
    root.handlers, root.level = before


@pytest.fixture(scope="session")
def described_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All that the API reads of an artifact; no weights, which only a worker needs."""
    folder = tmp_path_factory.mktemp("artifact")
    (folder / "config.json").write_text(dump(load(ROOT / "configs" / "quickstart.toml")))
    (folder / "metrics.json").write_text(json.dumps({"auroc": {"cxr+note+labs": 0.9}}))
    (folder / "card.md").write_text("# quickstart\n")
    digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}
    (folder / "manifest.json").write_text(json.dumps({"files": digests}))
    return folder


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    with postgres() as url:
        yield url


@pytest.fixture(scope="session")
def tests_postgres_url(postgres_url: str) -> str:
    return new_database(postgres_url, "clinimm_tests", "clinimm_template")


@pytest.fixture
def emptied_postgres_url(tests_postgres_url: str) -> str:
    """One database for all tests: to empty it is quicker than to make and to drop another."""
    engine = sa.create_engine(tests_postgres_url)
    with engine.begin() as connection:
        names = connection.scalars(FILLED).all()
        connection.execute(sa.text("SET LOCAL session_replication_role = replica"))  # events are never taken out
        connection.execute(sa.text(f"TRUNCATE {', '.join(names)} RESTART IDENTITY CASCADE"))
    engine.dispose()
    return tests_postgres_url


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sqlite") / "clinimm.db"
    prepared(f"sqlite:///{path}").close()
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A migrated database that is empty."""
    if request.param == "postgresql":
        url: str = request.getfixturevalue("emptied_postgres_url")
        return url
    shutil.copy(request.getfixturevalue("migrated_sqlite"), tmp_path / "clinimm.db")
    return f"sqlite:///{tmp_path / 'clinimm.db'}"


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    connection = Database(database_url)
    yield connection
    connection.close()


@pytest.fixture
def settings(migrated_sqlite: Path, described_model: Path, tmp_path: Path) -> Settings:
    """Of an API on SQLite."""
    (tmp_path / "data").mkdir()
    shutil.copy(migrated_sqlite, tmp_path / "data" / "clinimm.db")
    return Settings(data=tmp_path / "data", artifact=described_model, allow_unpromoted=True)


@pytest.fixture
def api(settings: Settings) -> Iterator[httpx.Client]:
    """An API on SQLite, without a worker."""
    with running_api(settings) as client:
        yield client


@pytest.fixture(scope="module")
def door(
    migrated_sqlite: Path, described_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    """One API for all that a module only asks or has refused."""
    data = tmp_path_factory.mktemp("door")
    shutil.copy(migrated_sqlite, data / "clinimm.db")
    with running_api(Settings(data=data, artifact=described_model, allow_unpromoted=True)) as client:
        yield client


@pytest.fixture
def either_api(database_url: str, described_model: Path, tmp_path: Path) -> Iterator[httpx.Client]:
    """An API on each kind of database, without a worker."""
    with running_api(
        Settings(data=tmp_path, artifact=described_model, allow_unpromoted=True, database_url=database_url)
    ) as client:
        yield client
