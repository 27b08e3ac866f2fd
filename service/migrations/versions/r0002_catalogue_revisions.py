"""A revision for each change of the catalogue, metadata of images, and no schema_version, which Alembic keeps now."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the columns and tables; what is there has revision 0."""
    image_id = sa.String(200).with_variant(sa.String(200, collation="C"), "postgresql")
    state = op.create_table(
        "catalogue_state",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
    )
    op.bulk_insert(state, [{"id": 1, "revision": 0}])
    op.add_column("images", sa.Column("metadata", sa.Text))
    op.add_column("images", sa.Column("revision", sa.BigInteger, nullable=False, server_default="0"))
    op.create_index("ix_images_revision", "images", ["revision", "id"])
    op.create_table(
        "removed_images",
        sa.Column("id", image_id, primary_key=True),
        sa.Column("revision", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_removed_images_revision", "removed_images", ["revision", "id"])
    op.drop_table("schema_version")


def downgrade() -> None:
    """Images stay, without their metadata."""
    version = op.create_table(
        "schema_version",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("version", sa.Integer, nullable=False),
    )
    op.bulk_insert(version, [{"id": 1, "version": 1}])
    op.drop_table("removed_images")
    op.drop_index("ix_images_revision", "images")
    op.drop_column("images", "revision")
    op.drop_column("images", "metadata")
    op.drop_table("catalogue_state")
