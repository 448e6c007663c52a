"""Operations that somebody has asked to wait.

Revision ID: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    op.add_column(
        "operations",
        sa.Column("pause_requested", sa.Boolean(), server_default=sa.text("FALSE"), nullable=False),
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_column("operations", "pause_requested")
