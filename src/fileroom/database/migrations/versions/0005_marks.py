"""Which of the places that rows named until they were deleted are told of beside the blobs.

Revision ID: 0005
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column and its index."""
    mark = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.add_column("blob_drops", sa.Column("mark", mark))
    op.create_index("ix_blob_drops_mark", "blob_drops", ["mark"])


def downgrade() -> None:
    """Drop them."""
    op.drop_index("ix_blob_drops_mark", table_name="blob_drops")
    op.drop_column("blob_drops", "mark")
