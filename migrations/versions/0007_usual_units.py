"""Laboratory values are of a series, and tell the unit that all others of it were in. Those of before are of none: what
was said of them stays, and senders are known anew."""

import sqlalchemy as sa
from alembic import op

from services.db.losses import refuse_losses

revision = "0007"
down_revision = "0006"

NEW = {"series": 32, "usual_unit": 64}


def upgrade() -> None:
    for name, most in NEW.items():
        op.add_column("labs", sa.Column(name, sa.String(most), nullable=False, server_default=""))
    with op.batch_alter_table("labs") as labs:
        for name in NEW:
            labs.alter_column(name, server_default=None)
    op.create_index("ix_labs_series", "labs", ["series", "received_at"])


def downgrade() -> None:
    """The table of before, unless a value was doubted for its unit: it would be used then."""
    refuse_losses(op.get_bind(), {"values whose unit is not their sender's": "FROM labs WHERE usual_unit <> ''"})
    op.drop_index("ix_labs_series", "labs")
    with op.batch_alter_table("labs") as labs:
        for name in NEW:
            labs.drop_column(name)
