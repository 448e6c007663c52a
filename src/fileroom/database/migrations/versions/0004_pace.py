"""How fast operations go.

Revision ID: 0004
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns."""
    op.add_column("operations", sa.Column("objects_per_second", sa.Float()))
    op.add_column("operations", sa.Column("bytes_per_second", sa.Float()))


def downgrade() -> None:
    """Drop them."""
    op.drop_column("operations", "bytes_per_second")
    op.drop_column("operations", "objects_per_second")
