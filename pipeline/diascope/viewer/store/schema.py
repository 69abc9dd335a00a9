"""The tables of the record. They change by a migration only (`migrations/versions`), never by hand."""

from sqlalchemy import Column, Float, Integer, MetaData, String, Table, Text, UniqueConstraint

METADATA = MetaData()

VERDICTS = Table(
    "verdicts",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("out_key", String(64), nullable=False),
    Column("case_id", String(100), nullable=False),
    Column("patient_key", String(64), nullable=False),
    Column("reviewer", String(100), nullable=False),
    Column("saved_at", String(40), nullable=False),
    Column("request_key", String(64), nullable=False),
    Column("revokes", Integer, nullable=True, unique=True),
    Column("digest", String(64), nullable=False),
    Column("verdict", String(20), nullable=False),
    Column("score", Integer, nullable=True),
    Column("comment", Text, nullable=False),
    Column("urgent", Integer, nullable=False),
    Column("read", String(10), nullable=False),
    Column("ai_visible", Integer, nullable=False),
    Column("shown_ms", Integer, nullable=True),
    Column("sampling", String(20), nullable=False),
    Column("sampling_probability", Float, nullable=True),
    Column("details", Text, nullable=False),
    UniqueConstraint("out_key", "reviewer", "request_key", name="one_answer_per_request"),
)
"""A row per verdict, and one per verdict that was taken back (`revokes`)."""

CLAIMS = Table(
    "claims",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("out_key", String(64), nullable=False),
    Column("case_id", String(100), nullable=False),
    Column("saved_by", String(100), nullable=False),
    Column("saved_at", String(40), nullable=False),
    Column("action", String(10), nullable=False),
    Column("reviewer", String(100), nullable=False),
)
"""Who took or was given a case: `claim`, `release`, `assign`; the newest row counts."""
