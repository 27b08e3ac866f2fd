"""Up to which revision removed images have been forgotten."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """What was forgotten before is not known any more; services that ran then have ended."""
    op.add_column("catalogue_state", sa.Column("forgotten", sa.BigInteger, nullable=False, server_default="0"))


def downgrade() -> None:
    """The revision stays."""
    op.drop_column("catalogue_state", "forgotten")
