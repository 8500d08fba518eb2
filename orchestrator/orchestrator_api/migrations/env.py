"""Alembic's entry: works on the connection that `orchestrator_api.migrating` gives it."""

from __future__ import annotations

from alembic import context

from orchestrator_api.tables import Table

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Table.metadata,
    # SQLite changes a table by making it anew.
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
