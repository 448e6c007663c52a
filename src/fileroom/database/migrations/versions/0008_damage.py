"""Places whose bytes were found damaged, so that the same file stored again takes their place.

Revision ID: 0008
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the table."""
    row_id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "damaged_places",
        sa.Column("store_id", row_id, autoincrement=False, nullable=False),
        sa.Column("place_key", KEY, nullable=False),
        sa.Column("place_offset", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("found_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "store_id", "place_key", "place_offset", name=op.f("pk_damaged_places")
        ),
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_table("damaged_places")
