"""Events are one chain, and none can be changed or taken out."""

import hashlib
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from alembic import op

from services.tables import Moment

revision = "0004"
down_revision = "0003"

BLOCK = 1000
TEXTS = ("actor", "role", "source", "action", "outcome", "object_id", "case_id", "patient", "request_id")
EVENTS = sa.table(
    "events",
    sa.column("seq", sa.Integer),
    sa.column("time", Moment),
    sa.column("monotonic_ns", sa.BigInteger),
    sa.column("facts", sa.JSON),
    *(sa.column(name, sa.String) for name in TEXTS),
    sa.column("hash", sa.String),
)
FIELDS = [column.name for column in EVENTS.columns if column.name != "hash"]
NEW: dict[str, tuple[Any, str]] = {  # what is not known of the events that are there
    "monotonic_ns": (sa.BigInteger, "0"),
    "role": (sa.String(16), ""),
    "source": (sa.String(64), ""),
    "outcome": (sa.String(16), "done"),
    "patient": (sa.String(32), ""),
    "hash": (sa.String(64), ""),
}


def upgrade() -> None:
    for name, (kind, blank) in NEW.items():
        op.add_column("events", sa.Column(name, kind, nullable=False, server_default=blank))
    _chain()
    with op.batch_alter_table("events") as table:
        for name in NEW:
            table.alter_column(name, server_default=None)
    op.create_index("ix_events_patient", "events", ["patient"])
    for statement in FORBID[op.get_bind().dialect.name]:
        op.execute(statement)


def downgrade() -> None:
    """Nothing is lost: what events say now and could not before goes to their facts."""
    for statement in ALLOW[op.get_bind().dialect.name]:
        op.execute(statement)
    _each(lambda row: {"facts": row["facts"] | ({name: row[name] for name in NEW} if row["monotonic_ns"] else {})})
    op.drop_index("ix_events_patient", "events")
    with op.batch_alter_table("events") as table:
        for name in NEW:
            table.drop_column(name)


FORBID = {
    "sqlite": [
        f"CREATE TRIGGER events_no_{act} BEFORE {act.upper()} ON events "
        "BEGIN SELECT RAISE(ABORT, 'events are never changed'); END"
        for act in ("update", "delete")
    ],
    "postgresql": [
        "CREATE FUNCTION events_stay() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'events are never changed'; END $$",
        "CREATE TRIGGER events_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON events "
        "FOR EACH STATEMENT EXECUTE FUNCTION events_stay()",
    ],
}
ALLOW = {
    "sqlite": ["DROP TRIGGER events_no_update", "DROP TRIGGER events_no_delete"],
    "postgresql": ["DROP TRIGGER events_stay ON events", "DROP FUNCTION events_stay()"],
}


def _chain() -> None:
    """Chains the events that are there, as `services.audit.chain` did when this was written."""
    before = hashlib.sha256(b"clinimm audit chain 1").hexdigest()

    def linked(row: Mapping[str, Any]) -> dict[str, Any]:
        nonlocal before
        before = _link(before, row)
        return {"hash": before}

    _each(linked)


def _each(change: Callable[[Mapping[str, Any]], dict[str, Any]]) -> None:
    """Changes every event, in their order."""
    connection, last = op.get_bind(), -1
    while rows := connection.execute(
        sa.select(EVENTS).where(EVENTS.c.seq > last).order_by(EVENTS.c.seq).limit(BLOCK)
    ).mappings().all():  # fmt: skip
        changes = [{"of": row["seq"], **change(row)} for row in rows]
        names = changes[0].keys() - {"of"}
        statement = sa.update(EVENTS).where(EVENTS.c.seq == sa.bindparam("of"))
        connection.execute(statement.values({name: sa.bindparam(name) for name in names}), changes)
        last = rows[-1]["seq"]


def _link(before: str, event: Mapping[str, Any]) -> str:
    plain = {name: _plain(event[name]) for name in FIELDS}
    told = json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(f"{before}\n{told}".encode("ascii")).hexdigest()


def _plain(value: Any) -> Any:
    return value.astimezone(UTC).isoformat(timespec="microseconds") if isinstance(value, datetime) else value
