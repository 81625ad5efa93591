"""Version 1: ledger, gate runs, verdicts, people, signatures, promotions.

Databases of this version were made by ``schema`` of their time, without alembic, and are stamped with it. The tables
are written out here so that the versions behind it can be made from nothing, in a test.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None
ADDS_ONLY = True

_DIGEST, _UTC, _NAME = sa.String(71), sa.String(32), sa.String(63)


def upgrade() -> None:
    """Make the tables of version 1."""
    op.create_table(
        "ledger",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=False),
        sa.Column("at", _UTC, nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("action", sa.String(63), nullable=False),
        sa.Column("cohort", _NAME),
        sa.Column("digest", _DIGEST),
        sa.Column("reason", sa.Text),
        sa.Column("facts", sa.Text, nullable=False),
        sa.Column("previous", _DIGEST, nullable=False),
        sa.Column("hash", _DIGEST, nullable=False, unique=True),
    )
    op.create_index("ledger_by_cohort", "ledger", ["cohort", "action"])
    op.create_index("ledger_by_digest", "ledger", ["digest", "action"])
    op.create_table(
        "gate_runs",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("cohort", _NAME, nullable=False),
        sa.Column("bundle_digest", _DIGEST, nullable=False),
        sa.Column("gate", _NAME, nullable=False),
        sa.Column("evaluated_at", _UTC, nullable=False),
        sa.Column("run_id", sa.String(64)),
        sa.Column("verdicts_digest", _DIGEST, nullable=False),
        sa.Column("ledger_seq", sa.BigInteger, nullable=False),
    )
    op.create_index("gate_runs_by_bundle", "gate_runs", ["bundle_digest", "gate", "ledger_seq"])
    op.create_table(
        "verdicts",
        sa.Column("gate_run", sa.String(36), sa.ForeignKey("gate_runs.id"), primary_key=True),
        sa.Column("criterion", sa.String(200), primary_key=True),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("verdict", sa.String(16), nullable=False),
        sa.Column("value", sa.Float),
        sa.Column("limit", sa.String(200)),
        sa.Column("ci_low", sa.Float),
        sa.Column("ci_high", sa.Float),
        sa.Column("n", sa.BigInteger),
        sa.Column("events", sa.BigInteger),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("evidence", sa.Text, nullable=False),
    )
    op.create_table(
        "people",
        sa.Column("login", sa.String(63), primary_key=True),
        sa.Column("printed_name", sa.String(200), nullable=False),
        sa.Column("roles", sa.Text, nullable=False),
        sa.Column("accounts", sa.Text, nullable=False),
        sa.Column("password_hash", sa.Text),
        sa.Column("identity_provider", sa.String(200)),
        sa.Column("active", sa.Boolean, nullable=False),
        sa.Column("created_at", _UTC, nullable=False),
    )
    op.create_table(
        "signatures",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("cohort", _NAME, nullable=False),
        sa.Column("bundle_digest", _DIGEST, nullable=False),
        sa.Column("dossier_digest", _DIGEST, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("meaning", sa.Text, nullable=False),
        sa.Column("gate", _NAME),
        sa.Column("criterion", sa.String(200)),
        sa.Column("reason", sa.Text),
        sa.Column("login", sa.String(63), nullable=False),
        sa.Column("printed_name", sa.String(200), nullable=False),
        sa.Column("role", _NAME, nullable=False),
        sa.Column("signed_at", _UTC, nullable=False),
        sa.Column("expires_at", _UTC, nullable=False),
        sa.Column("ledger_seq", sa.BigInteger, nullable=False),
    )
    op.create_index("signatures_by_bundle", "signatures", ["bundle_digest", "kind"])
    op.create_table(
        "promotions",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("cohort", _NAME, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("bundle_digest", _DIGEST, nullable=False),
        sa.Column("previous_digest", _DIGEST),
        sa.Column("dossier_digest", _DIGEST),
        sa.Column("at", _UTC, nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("ledger_seq", sa.BigInteger, nullable=False),
    )
    op.create_index("promotions_by_cohort", "promotions", ["cohort", "ledger_seq"])
