"""Runs the migrations on the URL that the caller gives, or CLINIMM_DATABASE_URL; leaves the queue's tables alone."""

import os

from alembic import context
from sqlalchemy import create_engine

import services.findings  # noqa: F401  its tables join those of Base
from services.tables import Base

TABLES = frozenset(Base.metadata.tables)


def ours(name: str | None, kind: str, _: object) -> bool:
    """DBOS keeps its own tables beside ours, and migrates them itself."""
    return kind != "table" or name in TABLES


engine = create_engine(context.config.attributes.get("url") or os.environ["CLINIMM_DATABASE_URL"])
with engine.connect() as connection:
    if engine.dialect.name == "sqlite":
        # Python's sqlite3 opens no transaction before DDL: without this a killed migration stays half done.
        connection.exec_driver_sql("PRAGMA journal_mode=WAL")
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    context.configure(connection=connection, target_metadata=Base.metadata, include_name=ours, transactional_ddl=True)
    with context.begin_transaction():
        context.run_migrations()
    connection.commit()
engine.dispose()
