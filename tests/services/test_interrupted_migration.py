"""A migration that is stopped at any of its statements has changed nothing, and runs through when it is run again."""

import multiprocessing
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from released_rows import contents, fill, released
from service_processes import new_database

from services.db import Database
from services.db.migrate import alembic_config, migrate

MODEL = "d" * 64


class Stopped(Exception):
    pass


def stop() -> None:
    raise Stopped


@contextmanager
def stopping_at(number: int, how: Callable[[], None] = stop) -> Iterator[list[str]]:
    """Stops before that many statements of anyone in this process were run; those that were are listed."""
    told: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "advisory" in statement:
            return
        told.append(statement)
        if len(told) == number:
            how()

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        yield told
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)


SCHEMA = {
    "sqlite": ("SELECT type, name, sql FROM sqlite_master",),
    "postgresql": (
        "SELECT table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns "
        "WHERE table_schema = 'public'",
        "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint "
        "WHERE connamespace = 'public'::regnamespace",
        "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
    ),
}


def schema(database: Database) -> list[str]:
    """Every table, column, constraint and index."""
    with database.engine.connect() as connection:
        queries = SCHEMA[database.engine.dialect.name]
        return sorted(repr(row) for query in queries for row in connection.execute(sa.text(query)))


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def earlier(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database with the first released tables, and data in them."""
    url = f"sqlite:///{tmp_path / 'clinimm.db'}"
    if request.param == "postgresql":
        url = new_database(request.getfixturevalue("postgres_url"), f"stopped_{uuid.uuid4().hex[:12]}")
    with released(url, "0001") as database:
        fill(database, tmp_path, MODEL)
        yield database


def assert_stopped_anywhere_changes_nothing(database: Database, every: int) -> None:
    before = schema(database), contents(database)
    number = 1
    while True:
        try:
            with stopping_at(number) as told:
                migrate(database)
            break
        except Stopped:
            assert (schema(database), contents(database)) == before, told[-1]
            number += every
    assert number > 80  # as many as there are, of either kind
    command.check(alembic_config(database.url))


@pytest.mark.slow
def test_stopped_at_any_statement_it_has_changed_nothing(earlier: Database) -> None:
    assert_stopped_anywhere_changes_nothing(earlier, every=4 if earlier.is_sqlite else 1)  # it has four times as many


def _die(url: str, number: int) -> None:
    with stopping_at(number, lambda: os._exit(9)):
        migrate(Database(url))


@pytest.mark.slow
@pytest.mark.parametrize("number", [9, 40, 80])
def test_killed_at_a_statement_it_has_changed_nothing(earlier: Database, number: int) -> None:
    before = schema(earlier), contents(earlier)
    killed = multiprocessing.get_context("spawn").Process(target=_die, args=(earlier.url, number))
    killed.start()
    killed.join()
    assert killed.exitcode == 9
    assert (schema(earlier), contents(earlier)) == before
    migrate(earlier)
    command.check(alembic_config(earlier.url))
