"""Service accounts and the public halves of their keys.

Revision ID: 0009
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the tables."""
    row_id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "service_accounts",
        sa.Column("id", row_id, nullable=False),
        sa.Column("project", KEY, nullable=False),
        sa.Column("account_id", KEY, nullable=False),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.Column("disabled", sa.Boolean(), server_default=sa.text("FALSE"), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_service_accounts")),
        sa.UniqueConstraint(
            "project", "account_id", name=op.f("uq_service_accounts_project_account_id")
        ),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "service_account_keys",
        sa.Column("key_id", KEY, nullable=False),
        sa.Column("account_id", row_id, nullable=False),
        sa.Column("public_key", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key_id", name=op.f("pk_service_account_keys")),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["service_accounts.id"],
            name=op.f("fk_service_account_keys_account_id"),
            ondelete="CASCADE",
        ),
    )
    op.create_index("ix_service_account_keys_account", "service_account_keys", ["account_id"])


def downgrade() -> None:
    """Drop them."""
    op.drop_table("service_account_keys")
    op.drop_table("service_accounts")
