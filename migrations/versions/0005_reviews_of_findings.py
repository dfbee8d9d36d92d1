"""Reviews say something of each finding, and which record of a report was looked at."""

import sqlalchemy as sa
from alembic import op

from services.db.losses import refuse_losses

revision = "0005"
down_revision = "0004"

NEW = {"findings": (sa.JSON, "[]"), "record_sha256": (lambda: sa.String(64), "")}  # earlier ones said nothing of these
KEPT = {"reviews of findings or records": "FROM reviews WHERE CAST(findings AS TEXT) <> '[]' OR record_sha256 <> ''"}


def upgrade() -> None:
    for name, (kind, blank) in NEW.items():
        op.add_column("reviews", sa.Column(name, kind(), nullable=False, server_default=blank))
    with op.batch_alter_table("reviews") as reviews:
        for name in NEW:
            reviews.alter_column(name, server_default=None)


def downgrade() -> None:
    """The table of before, unless a review says what it has no room for."""
    refuse_losses(op.get_bind(), KEPT)
    with op.batch_alter_table("reviews") as reviews:
        for name in NEW:
            reviews.drop_column(name)
