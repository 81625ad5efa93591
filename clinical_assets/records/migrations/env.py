"""What alembic runs for every step; the connection is the caller's, within the caller's transaction."""

from __future__ import annotations

from alembic import context

from clinical_assets.records import schema

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=schema.METADATA,
    version_table=schema.REVISION_TABLE,
)
with context.begin_transaction():
    context.run_migrations()
