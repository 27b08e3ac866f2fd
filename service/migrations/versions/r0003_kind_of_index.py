"""The kind of index that a job makes."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Jobs until now made exact indexes."""
    op.add_column("jobs", sa.Column("index_kind", sa.String(32), nullable=False, server_default="flat"))


def downgrade() -> None:
    """Jobs stay, without it."""
    op.drop_column("jobs", "index_kind")
