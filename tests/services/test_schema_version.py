"""Who serves or works refuses tables of another version, says what to type, and leaves them as they are."""

from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from service_processes import running
from typer.testing import CliRunner

from clinimm.errors import ConfigError
from services.cli import cli
from services.db import Database
from services.db.migrate import alembic_config
from services.jobs.prepare import opened, prepared, ready
from services.keeper import REFUSED

LATER = "9999"


def revision(database: Database) -> str:
    with database.engine.connect() as connection:
        return str(connection.scalar(sa.text("SELECT version_num FROM alembic_version")))


def mark(database: Database, revision: str) -> None:
    """Says of the tables that they are of a revision, as the version that knows it would."""
    with database.engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})


@pytest.mark.parametrize("door", [ready, opened])
@pytest.mark.parametrize("earlier", ["0001", "0002"])
def test_earlier_tables_are_refused_until_they_are_migrated(
    earlier: str, door: Callable[[str], Database], database: Database
) -> None:
    command.downgrade(alembic_config(database.url), earlier)
    with pytest.raises(ConfigError, match=rf"(?s){earlier}.*`clinimm-service migrate`"):
        door(database.url)
    assert revision(database) == earlier
    prepared(database.url).close()
    door(database.url).close()


@pytest.mark.parametrize("door", [ready, opened, prepared])
def test_later_tables_are_refused_by_all(door: Callable[[str], Database], database: Database) -> None:
    known = revision(database)
    mark(database, LATER)
    try:
        with pytest.raises(ConfigError, match=rf"(?s){LATER}.*{known}.*install that version"):
            door(database.url)
        assert revision(database) == LATER
    finally:
        mark(database, known)


@pytest.mark.parametrize("typed", [["fsck"], ["jobs", "list"]])
def test_commands_refuse_earlier_tables(typed: list[str], tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'clinimm.db'}"
    command.upgrade(alembic_config(url), "0002")
    (tmp_path / "blobs").mkdir()
    refused = CliRunner().invoke(cli, [*typed, "--data", str(tmp_path)])
    assert isinstance(refused.exception, ConfigError)
    assert "run `clinimm-service migrate`" in str(refused.exception)
    prepared(url).close()
    assert CliRunner().invoke(cli, [*typed, "--data", str(tmp_path)]).exit_code == 0


@pytest.mark.slow
def test_processes_end_where_the_tables_are_earlier_ones(described_model: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    command.upgrade(alembic_config(f"sqlite:///{tmp_path / 'data' / 'clinimm.db'}"), "0002")
    for name in ("serve", "worker"):
        with running(name, tmp_path / "data", described_model) as service:
            assert service.process.wait(60) == REFUSED
            assert "error: " in service.log.read_text()
            assert "run `clinimm-service migrate`" in service.log.read_text()
    with running("migrate", tmp_path / "data", described_model) as service:
        assert service.process.wait(60) == 0
    opened(f"sqlite:///{tmp_path / 'data' / 'clinimm.db'}").close()


def test_new_database_gets_its_tables_from_who_comes_first(tmp_path: Path) -> None:
    ready(f"sqlite:///{tmp_path / 'new.db'}").close()
    opened(f"sqlite:///{tmp_path / 'new.db'}").close()
