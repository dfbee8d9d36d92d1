"""The database, ready for this version of the code: our tables and the queue's."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from clinimm.errors import ConfigError
from services import audit
from services.db import Database, is_away
from services.db.migrate import check_version, is_new, migrate, take_back
from services.jobs import queue
from services.settings import UNNAMED_TENANT


def prepared(url: str) -> Database:
    """A connection, once every migration has run. Raises ConfigError if the database cannot be reached."""
    database = Database(url)
    with _reached(database):
        migrate(database)
        queue.migrate(database)
    return database


def taken_back(url: str, revision: str) -> Database:
    """A connection, once every migration after a revision was undone. Raises ConfigError."""
    database = Database(url)
    with _reached(database):
        take_back(database, revision)
    return database


def ready(url: str, tenant: str = UNNAMED_TENANT) -> Database:
    """A connection for who serves a tenant, or works for it. A new database gets its tables; those of another version
    are left as they are, since others may be at work on them, and it is an operator who has backed them up. Raises
    ConfigError."""
    database = Database(url)
    with _reached(database):
        if is_new(database):
            migrate(database)
        check_version(database)
        queue.migrate(database)
        audit.name_tenant(database, tenant)
    return database


def opened(url: str) -> Database:
    """A connection to a database that is there and as this version needs it; changes nothing. Raises ConfigError."""
    place = sa.make_url(url)
    if place.get_backend_name() == "sqlite" and not Path(str(place.database)).is_file():
        raise ConfigError("there is no database", where=str(place.database), mend="check --data and --database-url")
    database = Database(url)
    with _reached(database):
        check_version(database)
    return database


@contextmanager
def _reached(database: Database) -> Iterator[None]:
    """Closes the database where the block fails. Raises ConfigError if it cannot be reached."""
    try:
        yield
    except BaseException as error:
        database.close()
        if not isinstance(error, SQLAlchemyError) or not is_away(error):
            raise
        mend = "start it, or check --database-url"
        raise ConfigError("the database cannot be reached", where=database.place, mend=mend) from None
