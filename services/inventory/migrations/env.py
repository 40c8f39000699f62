"""Alembic runs this file: the migrations use the connection that the caller opened."""

from alembic import context

from services.inventory.models import Base

context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata)
with context.begin_transaction():
    context.run_migrations()
