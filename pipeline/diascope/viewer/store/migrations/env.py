"""What alembic runs: the migrations, over the connection that `store.opening` hands it."""

from alembic import context

from diascope.viewer.store.schema import METADATA

# Only alembic gives the module a config; whoever just imports it makes no migration.
if config := getattr(context, "config", None):
    connection = config.attributes["connection"]
    context.configure(connection=connection, target_metadata=METADATA)
    with context.begin_transaction():
        context.run_migrations()
