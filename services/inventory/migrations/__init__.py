"""The history of the tables; Alembic's environment."""
