"""A reader's first read of a case is one, also where two servers save at the same moment."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_FIRST = "read = 'first' AND revokes IS NULL"


def upgrade() -> None:
    """Have the database refuse a second one; a record that already holds one is left as it is."""
    doubled = f"SELECT 1 FROM verdicts WHERE {_FIRST} GROUP BY out_key, case_id, reviewer HAVING count(*) > 1"  # noqa: S608 - words of ours
    if op.get_bind().execute(sa.text(doubled)).first() is None:
        where = sa.text(_FIRST)
        op.create_index(
            "one_first_read",
            "verdicts",
            ["out_key", "case_id", "reviewer"],
            unique=True,
            sqlite_where=where,
            postgresql_where=where,
        )
