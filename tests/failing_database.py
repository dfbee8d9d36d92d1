"""A database whose n-th statement or commit of a kind fails, on a failing disk: in the words of its own driver, from
where its driver would say them.

A kind is the word and the table of a statement, and of a commit the last change before it: "INSERT events" and
"COMMIT events", so that what a queue asks in the background is of another kind than what a request does."""

import errno
import re
import sqlite3
from typing import Any

import psycopg
import sqlalchemy as sa
from failing_disk import LOST, Disk, Fault

SQLITE_NAMES = {errno.ENOSPC: "SQLITE_FULL", errno.EIO: "SQLITE_IOERR", errno.EINTR: "SQLITE_INTERRUPT"}
POSTGRESQL_STATES = {errno.ENOSPC: "53100", errno.EIO: "58030", errno.EINTR: "57014"}
TABLE = re.compile(r"\b(?:FROM|INTO|UPDATE)\s+(?:\w+\.)?\"?(\w+)", re.IGNORECASE)
CHANGES = ("INSERT", "UPDATE", "DELETE")


def failing_statements(disk: Disk, engine: sa.Engine) -> None:
    """Puts the database of an engine on the failing disk."""
    real_commit = engine.dialect.do_commit

    def execute(cursor: Any, statement: str, *more: Any) -> None:
        kind = kind_of(statement)
        if kind.startswith(CHANGES):
            more[-1].root_connection.info["changed"] = kind.partition(" ")[2]
        fault = disk.due(kind)
        if fault == LOST:
            cursor.connection.close()  # what the driver then says of the statement is its own
        disk.take_time(fault)
        _raise(engine, fault)

    def commit(connection: Any) -> None:
        fault = disk.due(f"COMMIT {connection.info.pop('changed', '')}".strip())
        if fault == LOST:
            real_commit(connection)
            connection.dbapi_connection.close()
            raise psycopg.OperationalError("server closed the connection unexpectedly")
        disk.take_time(fault)
        _raise(engine, fault)
        real_commit(connection)

    for name in ("do_execute", "do_executemany", "do_execute_no_params"):
        sa.event.listen(engine, name, execute)
    engine.dialect.do_commit = commit  # type: ignore[method-assign]


def kind_of(statement: str) -> str:
    table = TABLE.search(statement)
    return f"{statement.split()[0].upper()} {table[1] if table else ''}".strip()


def _raise(engine: sa.Engine, fault: Fault | None) -> None:
    """Says an error in the words of the driver."""
    if not isinstance(fault, int):
        return
    if engine.dialect.name == "postgresql":
        raise psycopg.errors.lookup(POSTGRESQL_STATES[fault])("it failed")
    told = sqlite3.OperationalError("disk I/O error")
    told.sqlite_errorname = SQLITE_NAMES[fault]
    raise told
