"""One database, SQLite or PostgreSQL: connections, transactions, and waiting for one that is away."""

import errno
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session, sessionmaker

from services.db.silence import Server

T = TypeVar("T")

PRAGMAS = ("journal_mode=WAL", "busy_timeout=30000", "foreign_keys=ON", "synchronous=FULL")

# A connection that alone was lost on its way, as by a router that forgot it, is found out by the system.
REACHABLE = {
    "connect_timeout": 2,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
}
UNUSABLE = ("SQLITE_FULL", "SQLITE_IOERR", "SQLITE_CANTOPEN")

# EFBIG: over the size that a file may have, by its system or by a limit of the process.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
DISK_FULL = "53100"  # as PostgreSQL calls it


class Database:
    """Transactions on one engine. A `write` commits when its block ends, and is undone whole if the block raises."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine = _engine(url)
        self.is_sqlite = self.engine.dialect.name == "sqlite"
        self.sessions = sessionmaker(self.engine, expire_on_commit=False)
        # SQLite has one writer; threads that queue here instead of in its busy handler wait 12 times less at p99.
        self._turn: Any = threading.Lock() if self.is_sqlite else nullcontext()

    @contextmanager
    def read(self) -> Iterator[Session]:
        with self.sessions() as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        with self._turn, self.sessions.begin() as session:
            yield session

    @property
    def place(self) -> str:
        """Its URL as it may be told, without the password."""
        return self.engine.url.render_as_string(hide_password=True)

    def close(self) -> None:
        self.engine.dispose()


def is_away(error: BaseException) -> bool:
    """Whether the database cannot be reached, or cannot write now, rather than that a statement is wrong."""
    if isinstance(error, PoolTimeout):
        return True
    if not isinstance(error, DBAPIError):
        return False
    # SQLite calls a missing table operational, too.
    wrong = getattr(error.orig, "sqlite_errorname", "") == "SQLITE_ERROR"
    return error.connection_invalidated or (isinstance(error, OperationalError) and not wrong)


def is_full(error: BaseException) -> bool:
    """Whether there was no room left to write, in a file or in the database."""
    if isinstance(error, OSError):
        return error.errno in FULL
    cause = getattr(error, "orig", None)
    return getattr(cause, "sqlite_errorname", "") == "SQLITE_FULL" or getattr(cause, "sqlstate", "") == DISK_FULL


def outlast(action: Callable[[], T], *, pause: float = 0.2, longest: float = 5.0) -> T:
    """What `action` returns, repeated for as long as the database is away or there is no room to write."""
    while True:
        try:
            return action()
        except (DBAPIError, PoolTimeout, OSError) as error:
            if not is_away(error) and not is_full(error):
                raise
        time.sleep(pause)
        pause = min(pause * 2, longest)


def utc_clock() -> datetime:
    return datetime.now(UTC)


clock: Callable[[], datetime] = utc_clock  # of all rows and events; a test puts another in its place


def now() -> datetime:
    """For people to read, and to order by where nothing hangs on it: it may jump."""
    return clock()


def _engine(url: str) -> sa.Engine:
    # A statement's values may be patient data: hide_parameters keeps them out of errors.
    common: dict[str, Any] = {
        "hide_parameters": True, "json_serializer": _json, "pool_size": 20, "max_overflow": 20, "pool_timeout": 1.5,
    }  # fmt: skip
    if not url.startswith("sqlite"):
        engine, server = sa.create_engine(url, pool_pre_ping=True, connect_args=REACHABLE, **common), Server()
        event.listen(engine, "do_connect", lambda _dialect, _record, args, params: server.connect(*args, **params))
        return engine
    Path(str(sa.make_url(url).database)).parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(url, **common)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "handle_error", _give_up_sqlite)
    return engine


def _json(value: object) -> str:
    return json.dumps(value, allow_nan=False)


def _give_up_sqlite(context: ExceptionContext) -> None:
    """A connection whose file could not be read or written is lost, as one to a server is: it is opened anew, and what
    waits for a database that is away waits for this one, too."""
    if getattr(context.original_exception, "sqlite_errorname", "").startswith(UNUSABLE):
        context.is_disconnect, context.invalidate_pool_on_disconnect = True, False


def _prepare_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = "IMMEDIATE"
    for pragma in PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")
