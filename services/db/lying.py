"""Rows as they lie in the database, whether or not they can still be read as what they should be."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session
from sqlalchemy.types import NULLTYPE

Row = dict[str, Any]


@contextmanager
def lying(session: Session) -> Iterator[None]:
    """In this block a fresh session sees the database as it is now, whatever others write meanwhile; and SQLite gives
    text that is no UTF-8 as well, each wrong byte as a lone surrogate."""
    if session.get_bind().dialect.name != "sqlite":
        session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        yield
        return
    session.connection().exec_driver_sql("BEGIN")  # its driver does so before a change only, not before a look
    connection: Any = session.connection().connection.driver_connection
    connection.text_factory = lambda data: data.decode("utf-8", "surrogateescape")
    try:
        yield
    finally:
        connection.text_factory = str


def columns(table: sa.Table) -> list[sa.ColumnElement[Any]]:
    """The columns of a table, to be selected and then given to `plain`."""
    return [sa.type_coerce(column, NULLTYPE).label(column.name) for column in table.columns]


def plain(table: sa.Table, row: sa.RowMapping) -> Row:
    """The values of a row, alike on both databases. What is not spelled as we write it stays the text that it is."""
    found = dict(row)
    for name, kind in _typed(table):
        if (value := found.get(name)) is not None:
            found[name] = _value(kind, value)
    return found


@cache
def _typed(table: sa.Table) -> list[tuple[str, sa.types.TypeEngine[Any]]]:
    """The columns of which the two databases may give unlike values: not those of text."""
    return [(column.name, column.type) for column in table.columns if not isinstance(column.type, sa.String)]


def _value(kind: sa.types.TypeEngine[Any], value: Any) -> Any:
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    if isinstance(value, str) and isinstance(kind, sa.JSON):
        return _document(value)
    if isinstance(value, str):
        return _moment(value)
    return value


def _document(text: str) -> Any:
    try:
        found = json.loads(text, parse_constant=_refuse)
    except ValueError:
        return text
    return found if json.dumps(found) == text else text


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def _moment(text: str) -> Any:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return text
    return found.replace(tzinfo=UTC) if found.isoformat(" ", "microseconds") == text else text
