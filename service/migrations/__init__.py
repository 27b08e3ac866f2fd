"""How the database came to have the tables it has; Alembic runs these."""
