"""Alembic's entry: runs the revisions on the connection that ``upgrade`` hands over."""

from __future__ import annotations

from alembic import context

from fileroom.database import schema

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=schema.metadata,
    render_as_batch=True,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
