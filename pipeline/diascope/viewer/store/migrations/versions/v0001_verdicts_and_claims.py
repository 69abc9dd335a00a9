"""Verdicts and claims, which nobody can change or delete: the database itself refuses."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_REFUSED = "this record is append-only"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "verdicts",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("out_key", sa.String(64), nullable=False),
        sa.Column("case_id", sa.String(100), nullable=False),
        sa.Column("patient_key", sa.String(64), nullable=False),
        sa.Column("reviewer", sa.String(100), nullable=False),
        sa.Column("saved_at", sa.String(40), nullable=False),
        sa.Column("request_key", sa.String(64), nullable=False),
        sa.Column("revokes", sa.Integer, nullable=True, unique=True),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("verdict", sa.String(20), nullable=False),
        sa.Column("score", sa.Integer, nullable=True),
        sa.Column("comment", sa.Text, nullable=False),
        sa.Column("urgent", sa.Integer, nullable=False),
        sa.Column("read", sa.String(10), nullable=False),
        sa.Column("ai_visible", sa.Integer, nullable=False),
        sa.Column("shown_ms", sa.Integer, nullable=True),
        sa.Column("sampling", sa.String(20), nullable=False),
        sa.Column("sampling_probability", sa.Float, nullable=True),
        sa.Column("details", sa.Text, nullable=False),
        sa.UniqueConstraint("out_key", "reviewer", "request_key", name="one_answer_per_request"),
    )
    op.create_index("verdicts_by_case", "verdicts", ["out_key", "case_id"])
    op.create_table(
        "claims",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("out_key", sa.String(64), nullable=False),
        sa.Column("case_id", sa.String(100), nullable=False),
        sa.Column("saved_by", sa.String(100), nullable=False),
        sa.Column("saved_at", sa.String(40), nullable=False),
        sa.Column("action", sa.String(10), nullable=False),
        sa.Column("reviewer", sa.String(100), nullable=False),
    )
    op.create_index("claims_by_case", "claims", ["out_key", "case_id"])
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS"
            f" $$ BEGIN RAISE EXCEPTION '{_REFUSED}'; END $$"
        )
    for table in ("verdicts", "claims"):
        _refuse_changes(table)


def _refuse_changes(table: str) -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute(f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} EXECUTE FUNCTION refuse_change()")
    for change in ("UPDATE", "DELETE"):
        name = f"{table}_no_{change.lower()}"
        if op.get_bind().dialect.name == "postgresql":
            op.execute(
                f"CREATE TRIGGER {name} BEFORE {change} ON {table} FOR EACH ROW EXECUTE FUNCTION refuse_change()"
            )
        else:
            op.execute(f"CREATE TRIGGER {name} BEFORE {change} ON {table} BEGIN SELECT RAISE(ABORT, '{_REFUSED}'); END")
