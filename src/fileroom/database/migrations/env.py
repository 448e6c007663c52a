"""Alembic's entry: runs the revisions on the connection that ``upgrade`` hands over."""

from __future__ import annotations

from alembic import context

from fileroom.crashpoints import crashpoint
from fileroom.database import schema

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=schema.metadata,
    render_as_batch=True,
    transactional_ddl=True,
    on_version_apply=lambda **_: crashpoint("revision.applied"),
)
with context.begin_transaction():
    context.run_migrations()
