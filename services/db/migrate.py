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
from clinimm.errors import ConfigError
from clinimm.paths import shipped
from services.db import Database

LOCK = 0x636C696E  # "clin": PostgreSQL's advisory lock for our migrations


def migrate(database: Database) -> None:
    """Runs the migrations that are missing, all or none of them. Raises ConfigError for tables of a later version."""
    with one_at_a_time(database):
        _check_known(database)
        command.upgrade(alembic_config(database.url), "head")


def take_back(database: Database, revision: str) -> None:
    """Undoes the migrations after an earlier revision, all or none of them. Raises ConfigError where anything would be
    lost by it, or if there is no such earlier revision."""
    with one_at_a_time(database):
        _check_known(database)
        found = _revision(database)
        earlier = [one.revision for one in _script(database).iterate_revisions(found, "base")][1:]
        if revision not in earlier:
            told = ", ".join(sorted(earlier)) or "none"
            raise ConfigError(
                f"{revision} is not earlier than {found}", where=database.place, mend=f"give one of: {told}"
            )
        command.downgrade(alembic_config(database.url), revision)


def is_new(database: Database) -> bool:
    """Whether the database has none of our tables yet."""
    return _revision(database) is None


def check_version(database: Database) -> None:
    """Raises ConfigError, with what to type, unless the tables are those that this version of the code needs."""
    _check_known(database)
    found, wanted = _revision(database), _script(database).get_current_head()
    if found != wanted:
        raise ConfigError(
            f"the tables are of an earlier version: {found or 'none'}, not {wanted}",
            where=database.place,
            mend="stop API and workers, back up the database and the files, then run `clinimm-service migrate`",
        )


def _check_known(database: Database) -> None:
    found, script = _revision(database), _script(database)
    if found is not None and found not in {one.revision for one in script.walk_revisions()}:
        raise ConfigError(
            f"the tables are of a later version: {found}, and this one knows none after {script.get_current_head()}",
            where=database.place,
            mend="install that version of clinimm-service, or restore the backup of before its `migrate`",
        )


def _revision(database: Database) -> str | None:
    with database.engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def _script(database: Database) -> ScriptDirectory:
    return ScriptDirectory.from_config(alembic_config(database.url))


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
