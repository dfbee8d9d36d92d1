"""The first tables."""

import sqlalchemy as sa
from alembic import op

from services.db.losses import refuse_losses
from services.tables import Moment

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "cases",
        sa.Column("seq", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("client", sa.String(length=64), nullable=False),
        sa.Column("reference", sa.String(length=200), nullable=True),
        sa.Column("patient_id", sa.String(length=200), nullable=False),
        sa.Column("index_time", Moment, nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("note_acquired_at", Moment, nullable=True),
        sa.Column("inputs_hash", sa.String(length=64), nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_cases"),
        sa.UniqueConstraint("id", name="uq_cases_id"),
        sa.UniqueConstraint("inputs_hash", name="uq_cases_inputs_hash"),
    )
    op.create_table(
        "events",
        sa.Column("seq", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("time", Moment, nullable=False),
        sa.Column("actor", sa.String(length=120), nullable=False),
        sa.Column("action", sa.String(length=48), nullable=False),
        sa.Column("object_id", sa.String(length=160), nullable=False),
        sa.Column("request_id", sa.String(length=64), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_events"),
    )
    op.create_index("ix_events_object_id", "events", ["object_id"], unique=False)
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(length=160), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("subject", sa.String(length=48), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(length=64), nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
    )
    op.create_index("ix_jobs_state", "jobs", ["state", "kind"], unique=False)
    op.create_index("ix_jobs_subject", "jobs", ["subject"], unique=False)
    op.create_table(
        "workers",
        sa.Column("id", sa.String(length=120), nullable=False),
        sa.Column("model", sa.String(length=64), nullable=False),
        sa.Column("beats", sa.Integer(), nullable=False),
        sa.Column("seen_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_workers"),
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("client", sa.String(length=64), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("case_id", sa.String(length=36), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"], name="fk_idempotency_keys_case_id"),
        sa.PrimaryKeyConstraint("client", "key", name="pk_idempotency_keys"),
    )
    op.create_table(
        "images",
        sa.Column("case_id", sa.String(length=36), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("modality", sa.String(length=64), nullable=True),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("code", sa.String(length=64), nullable=False),
        sa.Column("bytes", sa.Integer(), nullable=False),
        sa.Column("original_sha256", sa.String(length=64), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=True),
        sa.Column("preamble_nulled", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"], name="fk_images_case_id"),
        sa.PrimaryKeyConstraint("case_id", "position", name="pk_images"),
    )
    op.create_index("ix_images_sha256", "images", ["sha256"], unique=False)
    op.create_table(
        "labs",
        sa.Column("case_id", sa.String(length=36), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("value", sa.String(length=64), nullable=False),
        sa.Column("unit", sa.String(length=64), nullable=False),
        sa.Column("collected_at", Moment, nullable=True),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("code", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"], name="fk_labs_case_id"),
        sa.PrimaryKeyConstraint("case_id", "position", name="pk_labs"),
    )
    op.create_table(
        "results",
        sa.Column("id", sa.String(length=48), nullable=False),
        sa.Column("case_id", sa.String(length=36), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("inputs_hash", sa.String(length=64), nullable=False),
        sa.Column("model", sa.String(length=64), nullable=False),
        sa.Column("record", sa.JSON(), nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"], name="fk_results_case_id"),
        sa.PrimaryKeyConstraint("id", name="pk_results"),
        sa.UniqueConstraint("case_id", "version", name="uq_results_case_id"),
        sa.UniqueConstraint("inputs_hash", "model", name="uq_results_inputs_hash"),
    )
    op.create_table(
        "flags",
        sa.Column("result_id", sa.String(length=48), nullable=False),
        sa.Column("flag", sa.String(length=120), nullable=False),
        sa.Column("case_id", sa.String(length=36), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"], name="fk_flags_case_id"),
        sa.ForeignKeyConstraint(["result_id"], ["results.id"], name="fk_flags_result_id"),
        sa.PrimaryKeyConstraint("result_id", "flag", name="pk_flags"),
    )
    op.create_index("ix_flags_flag", "flags", ["flag", "case_id"], unique=False)
    op.create_table(
        "reports",
        sa.Column("result_id", sa.String(length=48), nullable=False),
        sa.Column("record_sha256", sa.String(length=64), nullable=False),
        sa.Column("page_sha256", sa.String(length=64), nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.ForeignKeyConstraint(["result_id"], ["results.id"], name="fk_reports_result_id"),
        sa.PrimaryKeyConstraint("result_id", name="pk_reports"),
    )
    op.create_index("ix_reports_page_sha256", "reports", ["page_sha256"], unique=False)
    op.create_index("ix_reports_record_sha256", "reports", ["record_sha256"], unique=False)


def downgrade() -> None:
    """No tables. Refused where there is a case or an event: the tables are all there is of them."""
    refuse_losses(op.get_bind(), {"cases": "FROM cases", "events": "FROM events"})
    op.drop_index("ix_reports_record_sha256", table_name="reports")
    op.drop_index("ix_reports_page_sha256", table_name="reports")
    op.drop_table("reports")
    op.drop_index("ix_flags_flag", table_name="flags")
    op.drop_table("flags")
    op.drop_table("results")
    op.drop_table("labs")
    op.drop_index("ix_images_sha256", table_name="images")
    op.drop_table("images")
    op.drop_table("idempotency_keys")
    op.drop_table("workers")
    op.drop_index("ix_jobs_subject", table_name="jobs")
    op.drop_index("ix_jobs_state", table_name="jobs")
    op.drop_table("jobs")
    op.drop_index("ix_events_object_id", table_name="events")
    op.drop_table("events")
    op.drop_table("cases")
