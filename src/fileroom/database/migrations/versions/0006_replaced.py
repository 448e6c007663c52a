"""Which import replaced the bytes that are queued to be dropped, so that it can be undone.

Revision ID: 0006
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns and their index."""
    row_id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.add_column("blob_drops", sa.Column("replaced_by", row_id))
    op.add_column("blob_drops", sa.Column("sha256", sa.LargeBinary()))
    of_some = sa.text("replaced_by IS NOT NULL")
    op.create_index(
        "ix_blob_drops_replaced",
        "blob_drops",
        ["replaced_by", "sop_instance_uid"],
        sqlite_where=of_some,
        postgresql_where=of_some,
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_index("ix_blob_drops_replaced", table_name="blob_drops")
    op.drop_column("blob_drops", "sha256")
    op.drop_column("blob_drops", "replaced_by")
