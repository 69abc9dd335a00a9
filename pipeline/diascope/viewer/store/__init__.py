"""The record of what readers said: append-only, in SQLite or PostgreSQL."""
