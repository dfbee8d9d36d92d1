"""Where each result lies in its model's space."""

import sqlalchemy as sa
from alembic import op

from services.db.losses import refuse_losses

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "embeddings",
        sa.Column("case_id", sa.String(length=36), nullable=False),
        sa.Column("model", sa.String(length=64), nullable=False),
        sa.Column("result_id", sa.String(length=48), nullable=False),
        sa.Column("patient_id", sa.String(length=200), nullable=False),
        sa.Column("vector", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"], name="fk_embeddings_case_id"),
        sa.ForeignKeyConstraint(["result_id"], ["results.id"], name="fk_embeddings_result_id"),
        sa.PrimaryKeyConstraint("case_id", "model", name="pk_embeddings"),
        sa.UniqueConstraint("result_id", name="uq_embeddings_result_id"),
    )
    op.create_index("ix_embeddings_model", "embeddings", ["model"], unique=False)


def downgrade() -> None:
    """The tables of before. Refused where results have embeddings: only the pass of the net that gave a result gives
    its embedding, and an answer is not given twice."""
    refuse_losses(op.get_bind(), {"embeddings": "FROM embeddings"})
    op.execute("DROP TABLE IF EXISTS embedding_points")  # pgvector's copy, made where it is configured
    op.drop_index("ix_embeddings_model", table_name="embeddings")
    op.drop_table("embeddings")
