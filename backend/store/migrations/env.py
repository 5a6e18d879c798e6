"""What the migration tool runs: the revisions, on the connection it was given."""

from alembic import context

from backend.store.migrate import settings

context.configure(**settings(context.config.attributes["connection"]))
with context.begin_transaction():
    context.run_migrations()
