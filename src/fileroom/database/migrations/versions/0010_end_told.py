"""Operations know who asked for them, and whether the audit log tells of their end.

Revision ID: 0010
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

UNTOLD = sa.text("state = 'DONE' AND NOT is_end_told")


def upgrade() -> None:
    """Add the columns; what ended before is told already, or never will be."""
    op.add_column(
        "operations",
        sa.Column("principal", sa.Text(), server_default=sa.text("''"), nullable=False),
    )
    op.add_column(
        "operations",
        sa.Column("is_end_told", sa.Boolean(), server_default=sa.text("FALSE"), nullable=False),
    )
    op.execute("UPDATE operations SET is_end_told = TRUE WHERE state = 'DONE'")
    op.create_index(
        "ix_operations_untold",
        "operations",
        ["ended_at"],
        sqlite_where=UNTOLD,
        postgresql_where=UNTOLD,
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_index("ix_operations_untold", "operations")
    op.drop_column("operations", "is_end_told")
    op.drop_column("operations", "principal")
