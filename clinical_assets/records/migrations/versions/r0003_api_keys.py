"""Version 3: keys of callers of the prediction API."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None
ADDS_ONLY = True


def upgrade() -> None:
    """Add the table; its guards are made with those of the others."""
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(16), primary_key=True),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("secret_hash", sa.String(71), nullable=False),
        sa.Column("rights", sa.Text, nullable=False),
        sa.Column("cohorts", sa.Text),
        sa.Column("created_at", sa.String(32), nullable=False),
        sa.Column("expires_at", sa.String(32), nullable=False),
        sa.Column("replaces", sa.String(16)),
        sa.Column("ledger_seq", sa.BigInteger, nullable=False),
    )
