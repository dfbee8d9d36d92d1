"""The migrations make what the code expects, and can be run by many at once."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from service_processes import new_database

from services.db import Database
from services.db.migrate import alembic_config
from services.jobs.prepare import prepared
from services.tables import Base


def test_migrations_and_tables_say_the_same(database: Database) -> None:
    command.check(alembic_config(database.url))


def test_migrations_can_be_taken_back(database: Database) -> None:
    command.downgrade(alembic_config(database.url), "base")
    assert not set(Base.metadata.tables) & set(sa.inspect(database.engine).get_table_names())
    command.upgrade(alembic_config(database.url), "head")
    command.check(alembic_config(database.url))


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_many_migrate_at_once(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    url = f"sqlite:///{tmp_path / 'new.db'}"
    if kind == "postgresql":
        url = new_database(request.getfixturevalue("postgres_url"), f"many_{tmp_path.name[-8:]}")
    with ThreadPoolExecutor(3) as pool:
        for database in pool.map(prepared, [url] * 3):
            database.close()
    command.check(alembic_config(url))


def test_sqlite_is_durable_and_holds_its_references(tmp_path: Path) -> None:
    database = prepared(f"sqlite:///{tmp_path / 'x' / 'new.db'}")
    with database.engine.connect() as connection:
        found = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    database.close()
    assert found == ["wal", 2, 1]
