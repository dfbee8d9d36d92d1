"""Answers in short, for lists and charts, and samples of them.

What is in a result's record is taken from there. What a report says of its explanations is in a file, which no
migration reads: reports of before are `unknown`."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from alembic import op

from services.db.losses import refuse_losses
from services.tables import Moment

revision = "0006"
down_revision = "0005"

BLOCK = 500
RESULTS = sa.table(
    "results",
    *(sa.column(name, sa.String) for name in ("id", "case_id", "model", "supersedes")),
    sa.column("record", sa.JSON),
    sa.column("created_at", Moment),
)
REPORTS = sa.table("reports", sa.column("result_id", sa.String))


def upgrade() -> None:
    answers, findings, readings = _answers(), _findings(), _readings()
    _samples()
    connection, last = op.get_bind(), ""
    later, reported = RESULTS.alias(), sa.exists().where(REPORTS.c.result_id == RESULTS.c.id)
    superseded = sa.exists().where(later.c.supersedes == RESULTS.c.id)
    query = sa.select(RESULTS, superseded.label("superseded"), reported.label("reported")).order_by(RESULTS.c.id)
    while rows := connection.execute(query.where(RESULTS.c.id > last).limit(BLOCK)).mappings().all():
        connection.execute(sa.insert(answers), [_answer(row) for row in rows])
        for table, told in ((findings, _found), (readings, _read)):
            if values := [one for row in rows for one in told(row)]:
                connection.execute(sa.insert(table), values)
        last = rows[-1]["id"]


def downgrade() -> None:
    """The tables of before. Refused where samples were drawn: what people reviewed by them was chosen by lot, and the
    lot is nowhere else."""
    refuse_losses(op.get_bind(), {"samples": "FROM samples"})
    op.drop_index("ix_cases_client", "cases")
    op.drop_index("ix_cases_created_at", "cases")
    for table in ("sample_results", "samples", "readings", "findings", "answers"):
        op.drop_table(table)


def _answers() -> sa.Table:
    made = op.create_table(
        "answers",
        sa.Column("result_id", sa.String(length=48), nullable=False),
        sa.Column("case_id", sa.String(length=36), nullable=False),
        sa.Column("model", sa.String(length=64), nullable=False),
        sa.Column("current", sa.Boolean(), nullable=False),
        sa.Column("reliability", sa.String(length=16), nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"], name="fk_answers_case_id"),
        sa.ForeignKeyConstraint(["result_id"], ["results.id"], name="fk_answers_result_id"),
        sa.PrimaryKeyConstraint("result_id", name="pk_answers"),
    )
    op.create_index("ix_answers_case_id", "answers", ["case_id", "current"])
    op.create_index("ix_answers_model", "answers", ["model", "created_at"])
    op.create_index("ix_answers_reliability", "answers", ["reliability"])
    op.create_index("ix_cases_client", "cases", ["client", "seq"])
    op.create_index("ix_cases_created_at", "cases", ["created_at"])
    return made


def _findings() -> sa.Table:
    made = op.create_table(
        "findings",
        sa.Column("result_id", sa.String(length=48), nullable=False),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("probability", sa.Double(), nullable=True),
        sa.Column("threshold", sa.Double(), nullable=False),
        sa.Column("decision", sa.Boolean(), nullable=True),
        sa.Column("undecided", sa.Boolean(), nullable=False),
        sa.Column("abstained", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(["result_id"], ["results.id"], name="fk_findings_result_id"),
        sa.PrimaryKeyConstraint("result_id", "target", name="pk_findings"),
    )
    op.create_index("ix_findings_target", "findings", ["target", "decision", "undecided"])
    return made


def _readings() -> sa.Table:
    return op.create_table(
        "readings",
        sa.Column("result_id", sa.String(length=48), nullable=False),
        sa.Column("input", sa.String(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("weight", sa.Double(), nullable=False),
        sa.Column("share", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["result_id"], ["results.id"], name="fk_readings_result_id"),
        sa.PrimaryKeyConstraint("result_id", "input", name="pk_readings"),
    )


def _samples() -> None:
    op.create_table(
        "samples",
        sa.Column("seq", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("plan", sa.String(length=16), nullable=False),
        sa.Column("seed", sa.Integer(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("population", sa.Integer(), nullable=False),
        sa.Column("filters", sa.JSON(), nullable=False),
        sa.Column("client", sa.String(length=64), nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_samples"),
        sa.UniqueConstraint("id", name="uq_samples_id"),
    )
    op.create_table(
        "sample_results",
        sa.Column("sample_id", sa.String(length=36), nullable=False),
        sa.Column("result_id", sa.String(length=48), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("inclusion", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["result_id"], ["results.id"], name="fk_sample_results_result_id"),
        sa.ForeignKeyConstraint(["sample_id"], ["samples.id"], name="fk_sample_results_sample_id"),
        sa.PrimaryKeyConstraint("sample_id", "result_id", name="pk_sample_results"),
    )


def _answer(row: Mapping[str, Any]) -> dict[str, Any]:
    told = {name: row[name] for name in ("case_id", "model", "created_at")}
    reliability = "unknown" if row["reported"] else ""
    return told | {"result_id": row["id"], "current": not row["superseded"], "reliability": reliability}


def _found(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "result_id": row["id"],
            "target": one["target"],
            "probability": one["probability"],
            "threshold": one["threshold"],
            "decision": one["decision"],
            "undecided": one.get("conformal_set") is not None and len(one["conformal_set"]) != 1,
            "abstained": one["abstained"] or "",
        }
        for one in row["record"]["targets"]
    ]


def _read(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    record = row["record"]
    return [
        {
            "result_id": row["id"],
            "input": name,
            "status": state["status"],
            "weight": record["weights"].get(name, 0.0),
            "share": None,
        }
        for name, state in record["inputs"].items()
    ]
