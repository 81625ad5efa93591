"""Version 4: protocols of experiments."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None
ADDS_ONLY = True


def upgrade() -> None:
    """Add the table; its guards are made with those of the others."""
    op.create_table(
        "experiments",
        sa.Column("digest", sa.String(71), primary_key=True),
        sa.Column("cohort", sa.String(63), nullable=False),
        sa.Column("name", sa.String(63), nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("entered_at", sa.String(32), nullable=False),
        sa.Column("ledger_seq", sa.BigInteger, nullable=False),
    )
    op.create_index("experiments_by_cohort", "experiments", ["cohort", "ledger_seq"])
