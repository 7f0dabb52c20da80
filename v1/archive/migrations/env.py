"""Runs migrations on the connection that it is handed, in the transaction that is open there. No setting is read."""

from alembic import context

given = context.config.attributes
context.configure(connection=given["connection"], version_table=given["version_table"])
with context.begin_transaction():
    context.run_migrations()
