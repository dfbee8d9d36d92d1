"""The database, ready for this version of the code: our tables and the queue's."""

from sqlalchemy.exc import SQLAlchemyError

from clinimm.errors import ConfigError
from services.db import Database, is_away
from services.db.migrate import migrate
from services.jobs import queue


def prepared(url: str) -> Database:
    """A connection, once every migration has run. Raises ConfigError if the database cannot be reached."""
    database = Database(url)
    try:
        migrate(database)
        queue.migrate(database)
    except SQLAlchemyError as error:
        database.close()
        if not is_away(error):
            raise
        place = database.engine.url.render_as_string(hide_password=True)
        raise ConfigError(
            "the database cannot be reached", where=place, mend="start it, or check --database-url"
        ) from None
    return database
