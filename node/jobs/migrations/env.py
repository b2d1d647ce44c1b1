"""Alembic's entry: run the migrations on the connection that `node.jobs.schema.migrate` opened."""

from alembic import context

from node.jobs.schema import metadata

context.configure(
    connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True
)
with context.begin_transaction():
    context.run_migrations()
