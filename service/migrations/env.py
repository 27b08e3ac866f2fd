"""What Alembic runs for each command; `service.schema` gives it the connection, and the transaction is its."""

from alembic import context

from service.tables import Base

context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata)
context.run_migrations()
