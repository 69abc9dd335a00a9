"""How the tables of the record grew: alembic's scripts, in the order of their numbers."""
