"""Brings the database to the tables that this version of the code needs. Safe to run by several processes at once."""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

import services
from clinimm.paths import shipped
from services.db import Database

LOCK = 0x636C696E  # "clin": PostgreSQL's advisory lock for our migrations


def migrate(database: Database) -> None:
    """Runs the migrations that are missing; each is done whole or not at all."""
    with one_at_a_time(database):
        command.upgrade(alembic_config(database.url), "head")


def is_migrated(database: Database) -> bool:
    """Whether the database has the tables that this version of the code needs."""
    wanted = ScriptDirectory.from_config(alembic_config(database.url)).get_heads()
    with database.engine.connect() as connection:
        return set(MigrationContext.configure(connection).get_current_heads()) == set(wanted)


def alembic_config(url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(shipped(services.__file__, "migrations")))
    config.attributes["url"] = url
    return config


@contextmanager
def one_at_a_time(database: Database) -> Iterator[None]:
    """Holds this block against every other process that migrates the same database."""
    if database.is_sqlite:
        path = Path(str(sa.make_url(database.url).database))
        with path.with_suffix(".migrating").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
    else:
        with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            # A statement that waits for the lock holds a snapshot, for which CREATE INDEX CONCURRENTLY would wait.
            while not connection.scalar(sa.text("SELECT pg_try_advisory_lock(:key)"), {"key": LOCK}):
                time.sleep(0.1)
            try:
                yield
            finally:
                connection.execute(sa.text("SELECT pg_advisory_unlock(:key)"), {"key": LOCK})
