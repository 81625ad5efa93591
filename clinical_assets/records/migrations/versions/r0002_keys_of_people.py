"""Version 2: seals of entries, keys of people, signatures by these keys."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None
ADDS_ONLY = True


def upgrade() -> None:
    """Add the columns; what was written before has none of them."""
    op.add_column("ledger", sa.Column("seal", sa.String(88)))
    op.add_column("people", sa.Column("public_key", sa.String(44)))
    op.add_column("people", sa.Column("private_key", sa.Text))
    op.add_column("signatures", sa.Column("public_key", sa.String(44)))
    op.add_column("signatures", sa.Column("signature", sa.String(88)))
