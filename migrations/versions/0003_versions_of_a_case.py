"""A case grows: versions, instances, notes and labs of their own, what people decided, and who supersedes whom."""

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from alembic import op

from services.db.losses import refuse_losses
from services.tables import Moment

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    _create()
    _extend()
    _fill()
    _tighten()


def _create() -> None:
    op.create_table(
        "case_versions",
        sa.Column("case_id", sa.String(36), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("inputs_hash", sa.String(64), nullable=False),
        sa.Column("cause", sa.String(200), nullable=False),
        sa.Column("client", sa.String(64), nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"], name="fk_case_versions_case_id"),
        sa.PrimaryKeyConstraint("case_id", "version", name="pk_case_versions"),
    )
    op.create_table(
        "due",
        sa.Column("case_id", sa.String(36), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("since", Moment, nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"], name="fk_due_case_id"),
        sa.PrimaryKeyConstraint("case_id", name="pk_due"),
    )
    op.create_table(
        "instances",
        sa.Column("sop_uid", sa.String(64), nullable=False),
        sa.Column("study_uid", sa.String(64), nullable=False),
        sa.Column("series_uid", sa.String(64), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("original_sha256", sa.String(64), nullable=False),
        sa.Column("bytes", sa.Integer(), nullable=False),
        sa.Column("preamble_nulled", sa.Boolean(), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("identity", sa.JSON(), nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("sop_uid", name="pk_instances"),
    )
    op.create_index("ix_instances_study_uid", "instances", ["study_uid"])
    op.create_index("ix_instances_sha256", "instances", ["sha256"])
    op.create_table(
        "notes",
        sa.Column("case_id", sa.String(36), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("source_id", sa.String(200), nullable=True),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("status", sa.String(20), nullable=False),
        sa.Column("acquired_at", Moment, nullable=True),
        sa.Column("issued_at", Moment, nullable=True),
        sa.Column("identity", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"], name="fk_notes_case_id"),
        sa.PrimaryKeyConstraint("case_id", "position", name="pk_notes"),
    )
    for table, of_person in (("reconciliations", _reconciled), ("reviews", _reviewed)):
        op.create_table(
            table,
            sa.Column("case_id", sa.String(36), nullable=False),
            sa.Column("position", sa.Integer(), nullable=False),
            *of_person(),
            sa.Column("reason", sa.String(1000), nullable=False),
            sa.Column("client", sa.String(64), nullable=False),
            sa.Column("created_at", Moment, nullable=False),
            sa.ForeignKeyConstraint(["case_id"], ["cases.id"], name=f"fk_{table}_case_id"),
            sa.PrimaryKeyConstraint("case_id", "position", name=f"pk_{table}"),
        )


def _reconciled() -> list[Any]:
    return [
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("decision", sa.String(20), nullable=False),
        sa.Column("settled", sa.JSON(), nullable=False),
        sa.Column("excluded", sa.JSON(), nullable=False),
    ]


def _reviewed() -> list[Any]:
    return [
        sa.Column("result_id", sa.String(48), nullable=False),
        sa.Column("verdict", sa.String(20), nullable=False),
        sa.ForeignKeyConstraint(["result_id"], ["results.id"], name="fk_reviews_result_id"),
    ]


_ADDED: dict[str, tuple[Callable[[], sa.Column[Any]], ...]] = {
    "cases": (
        lambda: sa.Column("patient", sa.JSON(), nullable=False, server_default="{}"),
        lambda: sa.Column("version", sa.Integer(), nullable=False, server_default="1"),
        lambda: sa.Column("created_hash", sa.String(64), nullable=False, server_default=""),
        lambda: sa.Column("held", sa.String(32), nullable=False, server_default=""),
        lambda: sa.Column("complete", sa.JSON(), nullable=False, server_default="{}"),
    ),
    "images": (
        lambda: sa.Column("version", sa.Integer(), nullable=False, server_default="1"),
        lambda: sa.Column("sop_uid", sa.String(64), nullable=True),
    ),
    "labs": (
        lambda: sa.Column("version", sa.Integer(), nullable=False, server_default="1"),
        lambda: sa.Column("received_at", Moment, nullable=True),
        lambda: sa.Column("original", sa.JSON(), nullable=False, server_default="{}"),
    ),
    "idempotency_keys": (
        lambda: sa.Column("fingerprint", sa.String(64), nullable=False, server_default=""),
        lambda: sa.Column("status", sa.Integer(), nullable=False, server_default="202"),
        lambda: sa.Column("headers", sa.JSON(), nullable=False, server_default="{}"),
    ),
    "results": (
        lambda: sa.Column("case_version", sa.Integer(), nullable=False, server_default="1"),
        lambda: sa.Column("cause", sa.String(200), nullable=False, server_default="created"),
        lambda: sa.Column("supersedes", sa.String(48), nullable=True),
        lambda: sa.Column("changes", sa.JSON(), nullable=False, server_default="{}"),
    ),
    "jobs": (
        lambda: sa.Column("version", sa.Integer(), nullable=False, server_default="1"),
        lambda: sa.Column("request_id", sa.String(64), nullable=False, server_default=""),
    ),
    "workers": (lambda: sa.Column("metrics", sa.JSON(), nullable=False, server_default="{}"),),
    "events": (lambda: sa.Column("case_id", sa.String(36), nullable=True),),
}


def _extend() -> None:
    for table, columns in _ADDED.items():
        for column in columns:
            op.add_column(table, column())


def _fill() -> None:
    """What the new columns hold of the cases that there are: each is at its first version."""
    op.execute("UPDATE cases SET created_hash = inputs_hash")
    op.execute(
        "INSERT INTO case_versions (case_id, version, inputs_hash, cause, client, created_at) "
        "SELECT id, 1, inputs_hash, 'created', client, created_at FROM cases"
    )
    op.execute(
        "INSERT INTO notes (case_id, position, version, text, status, acquired_at, identity) "
        "SELECT id, 0, 1, note, 'final', note_acquired_at, '{}' FROM cases WHERE note IS NOT NULL"
    )
    op.execute("UPDATE labs SET received_at = (SELECT created_at FROM cases WHERE cases.id = labs.case_id)")
    op.execute(
        "UPDATE results SET cause = 'model_changed', supersedes = case_id || '-' || (version - 1) WHERE version > 1"
    )
    op.execute("DELETE FROM workers")
    _fill_timelines(op.get_bind())
    _fill_json(op.get_bind())


def _fill_timelines(run: sa.Connection) -> None:
    """Of a case are what was done to it, its results, its reports and its jobs, which are named `kind:subject:model`.
    That similar cases were asked for is not: that event tells of the others."""
    events = sa.table("events", sa.column("case_id"), sa.column("object_id"), sa.column("action"))
    mine = sa.or_(*(events.c.action.startswith(kind) for kind in ("case.", "result.", "report.")))
    case_id = sa.func.substr(events.c.object_id, 1, 36)
    run.execute(sa.update(events).where(mine, events.c.action != "case.similar").values(case_id=case_id))
    for kind in ("diagnose:", "explain:"):
        case_id = sa.func.substr(events.c.object_id, len(kind) + 1, 36)
        told = events.c.action.in_(("job.dead_lettered", "job.retried")) & events.c.object_id.startswith(kind)
        run.execute(sa.update(events).where(told).values(case_id=case_id))


def _fill_json(run: sa.Connection) -> None:
    cases = sa.table("cases", sa.column("id"), sa.column("patient_id"), sa.column("patient", sa.JSON))
    for case_id, patient_id in run.execute(sa.select(cases.c.id, cases.c.patient_id)).all():
        unknown = dict.fromkeys(("issuer", "birth_date", "sex", "name"))
        patient = {"source": "request", "patient_id": patient_id, **unknown, "removed": False}
        run.execute(sa.update(cases).where(cases.c.id == case_id).values(patient=patient))
    told = (sa.column(name) for name in ("case_id", "position", "name", "value", "unit"))
    labs = sa.table("labs", *told, sa.column("collected_at", Moment), sa.column("original", sa.JSON))
    for row in run.execute(sa.select(labs)).all():
        mine = (labs.c.case_id == row.case_id) & (labs.c.position == row.position)
        run.execute(sa.update(labs).where(mine).values(original=_sent(row)))
    keys = sa.table(
        "idempotency_keys", sa.column("client"), sa.column("key"), sa.column("case_id"), sa.column("headers", sa.JSON)
    )
    for row in run.execute(sa.select(keys.c.client, keys.c.key, keys.c.case_id)).all():
        mine = (keys.c.client == row.client) & (keys.c.key == row.key)
        run.execute(sa.update(keys).where(mine).values(headers={"Location": f"/v1/cases/{row.case_id}"}))


def _sent(lab: sa.Row[Any]) -> dict[str, Any]:
    """A value as the door keeps it from now on, without what was left out: sent again, it is the same value."""
    collected = lab.collected_at and lab.collected_at.isoformat().replace("+00:00", "Z")
    told = {"name": lab.name, "value": lab.value, "unit": lab.unit, "collected_at": collected}
    return {name: value for name, value in told.items() if value}


def _tighten() -> None:
    """Takes away what moved, the defaults that only filled, and the old bounds."""
    with op.batch_alter_table("cases") as cases:
        cases.drop_constraint("uq_cases_inputs_hash", type_="unique")
        cases.drop_column("note")
        cases.drop_column("note_acquired_at")
        cases.create_unique_constraint("uq_cases_created_hash", ["created_hash"])
        cases.create_index("ix_cases_reference", ["reference"])
    with op.batch_alter_table("images") as images:
        images.create_foreign_key("fk_images_sop_uid", "instances", ["sop_uid"], ["sop_uid"])
        images.create_index("ix_images_sop_uid", ["sop_uid"])
    with op.batch_alter_table("labs") as labs:
        labs.alter_column("received_at", existing_type=Moment(), nullable=False)
        labs.alter_column("value", existing_type=sa.String(64), nullable=True)
        labs.drop_column("outcome")
        labs.drop_column("code")
    with op.batch_alter_table("idempotency_keys") as keys:
        keys.drop_constraint("fk_idempotency_keys_case_id", type_="foreignkey")
        keys.drop_column("case_id")
    with op.batch_alter_table("results") as results:
        results.drop_constraint("uq_results_inputs_hash", type_="unique")
        results.create_unique_constraint("uq_results_inputs_hash", ["case_id", "inputs_hash", "model"])
        results.create_index("ix_results_supersedes", ["supersedes"])
    op.create_index("ix_flags_case_id", "flags", ["case_id"])
    with op.batch_alter_table("events") as events:
        events.create_index("ix_events_case_id", ["case_id"])
    for table, columns in _ADDED.items():
        with op.batch_alter_table(table) as changed:
            for column in columns:
                if column().server_default is not None:
                    changed.alter_column(column().name, existing_type=column().type, server_default=None)


_ADDED_SINCE = {
    # What 0002 took is known by the same hash as what it holds; of what is taken since, the two are made differently.
    "cases taken": "FROM cases JOIN case_versions ON case_id = id AND case_versions.version = 1 "
    "WHERE case_versions.inputs_hash <> created_hash",
    "versions added to cases": "FROM case_versions WHERE version > 1",
    "cases that wait to be quiet": "FROM due",
    "reviews": "FROM reviews",
    "results that say what they change": "FROM results WHERE CAST(changes AS TEXT) <> '{}'",
}


def downgrade() -> None:
    """The tables of before, as they were: for who upgraded, looked, and wants to go back. Refused once anything came
    that they have no room for: a case taken or added to, a review, a result that supersedes another.

    What is lost, since it says nothing of a case: workers' signs of life, request ids of jobs, and the answers to keys
    of posts that had no effect, which have none either when they are repeated. What was said of a lab is judged anew by
    its times; codes about units, which hang on the model, are not told again."""
    refuse_losses(op.get_bind(), _ADDED_SINCE)
    for name, kind, source in (("note", sa.Text, "text"), ("note_acquired_at", Moment, "acquired_at")):
        op.add_column("cases", sa.Column(name, kind, nullable=True))
        first = f"SELECT {source} FROM notes WHERE notes.case_id = cases.id AND position = 0"  # noqa: S608
        op.execute(f"UPDATE cases SET {name} = ({first})")  # noqa: S608
    for name, size in (("outcome", 16), ("code", 64)):
        op.add_column("labs", sa.Column(name, sa.String(size), nullable=False, server_default=""))
    _judge_labs()
    op.execute("DELETE FROM idempotency_keys WHERE fingerprint <> ''")
    op.add_column("idempotency_keys", sa.Column("case_id", sa.String(36), nullable=False, server_default=""))
    _name_cases()
    _drop()


def _judge_labs() -> None:
    """The two verdicts that kept a value from the model."""
    asked = "SELECT index_time FROM cases WHERE cases.id = labs.case_id"
    later = (
        "SELECT 1 FROM labs AS other WHERE other.case_id = labs.case_id AND other.name = labs.name AND other.code = '' "
        "AND other.collected_at IS NOT NULL AND (labs.collected_at IS NULL OR other.collected_at > labs.collected_at)"
    )
    for verdict, condition in (
        ("outcome = 'accepted'", "code = ''"),
        ("outcome = 'quarantined', code = 'after_index_time'", f"collected_at > ({asked})"),
        ("code = 'superseded'", f"code = '' AND EXISTS ({later})"),
    ):
        op.execute(f"UPDATE labs SET {verdict} WHERE {condition}")  # noqa: S608


def _name_cases() -> None:
    """The case that each kept key is of, from its Location."""
    start = len('{"Location": "/v1/cases/') + 1
    case_id = f"substr(CAST(headers AS TEXT), {start}, 36)"
    op.execute(f"UPDATE idempotency_keys SET case_id = {case_id}")  # noqa: S608


def _drop() -> None:
    """Takes away what was added, and puts back what was tightened."""
    for name in ("images_sop_uid", "cases_reference", "events_case_id", "flags_case_id", "results_supersedes"):
        op.drop_index(f"ix_{name}")
    with op.batch_alter_table("images") as images:
        images.drop_constraint("fk_images_sop_uid", type_="foreignkey")
    with op.batch_alter_table("cases") as cases:
        cases.drop_constraint("uq_cases_created_hash", type_="unique")
        cases.create_unique_constraint("uq_cases_inputs_hash", ["inputs_hash"])
    with op.batch_alter_table("labs") as labs:
        labs.alter_column("value", existing_type=sa.String(64), nullable=False)
        for name, size in (("outcome", 16), ("code", 64)):
            labs.alter_column(name, existing_type=sa.String(size), server_default=None)
    with op.batch_alter_table("idempotency_keys") as keys:
        keys.alter_column("case_id", existing_type=sa.String(36), server_default=None)
        keys.create_foreign_key("fk_idempotency_keys_case_id", "cases", ["case_id"], ["id"])
    for table in ("reviews", "reconciliations", "notes", "due", "case_versions", "instances"):
        op.drop_table(table)
    op.execute("DELETE FROM workers")
    for table, columns in _ADDED.items():
        with op.batch_alter_table(table) as changed:
            if table == "results":
                changed.drop_constraint("uq_results_inputs_hash", type_="unique")
                changed.create_unique_constraint("uq_results_inputs_hash", ["inputs_hash", "model"])
            for column in columns:
                changed.drop_column(str(column().name))
