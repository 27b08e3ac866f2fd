"""Images and jobs.

Makes only what is missing: releases before these migrations made the same tables by themselves, and their databases are
taken over as they are.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    moment = sa.DateTime(timezone=True)
    image_id = sa.String(200).with_variant(sa.String(200, collation="C"), "postgresql")
    version = op.create_table(
        "schema_version",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("version", sa.Integer, nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "images",
        sa.Column("id", image_id, primary_key=True),
        sa.Column("url", sa.Text),
        sa.Column("width", sa.Integer),
        sa.Column("height", sa.Integer),
        sa.Column("graph", sa.Text, nullable=False),
        sa.Column("updated_at", moment, nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("slot", sa.String(32), unique=True),
        sa.Column("idempotency_key", sa.String(200), unique=True),
        sa.Column("checkpoint", sa.Text, nullable=False),
        sa.Column("done", sa.Integer, nullable=False),
        sa.Column("total", sa.Integer, nullable=False),
        sa.Column("index_version", sa.String(64)),
        sa.Column("error", sa.Text),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("started_at", moment),
        sa.Column("heartbeat_at", sa.Float, nullable=False),
        sa.Column("finished_at", moment),
        if_not_exists=True,
    )
    op.create_index("ix_jobs_state", "jobs", ["state"], if_not_exists=True)
    connection = op.get_bind()
    if connection.scalar(sa.select(version.c.id)) is None:
        connection.execute(version.insert().values(id=1, version=1))


def downgrade() -> None:
    """Drop everything."""
    for table in ("jobs", "images", "schema_version"):
        op.drop_table(table)
