"""Tables of the database of records: what was decided, by whom, on which digest.

What belongs here: the shape of the tables, and which of them never change. What does not: reading or writing them;
each table has one module that does.
"""

from __future__ import annotations

import sqlalchemy as sa

METADATA = sa.MetaData()
#: Of the tables below. A change of a table raises it, with a step in ``migrations``.
VERSION = 4
#: Where alembic notes what it has run; the table appears with the first upgrade.
REVISION_TABLE = "records_revision"

_DIGEST = sa.String(71)  # "sha256:" and 64 hexadecimal digits
_UTC = sa.String(32)  # ISO 8601, UTC, microseconds: text sorts by time in both databases
_NAME = sa.String(63)
_PUBLIC_KEY = sa.String(44)  # Ed25519, 32 bytes as base64
_SIGNATURE = sa.String(88)  # Ed25519, 64 bytes as base64

# Which version the tables have, and when they came to it: the greatest counts. The times are held against the ledger.
_MARKS = sa.MetaData()
version = sa.Table(
    "records_version",
    _MARKS,
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("made_at", _UTC, nullable=False),
)

# The audit ledger: one chain for the installation.
ledger = sa.Table(
    "ledger",
    METADATA,
    sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=False),
    sa.Column("at", _UTC, nullable=False),
    sa.Column("actor", sa.String(200), nullable=False),
    sa.Column("action", sa.String(63), nullable=False),
    sa.Column("cohort", _NAME),
    sa.Column("digest", _DIGEST),
    sa.Column("reason", sa.Text),
    sa.Column("facts", sa.Text, nullable=False),  # canonical JSON
    sa.Column("previous", _DIGEST, nullable=False),
    sa.Column("hash", _DIGEST, nullable=False, unique=True),
    sa.Column("seal", _SIGNATURE),  # by the installation's key; null before version 2
    sa.Index("ledger_by_cohort", "cohort", "action"),
    sa.Index("ledger_by_digest", "digest", "action"),
)

# One evaluation of one gate on one bundle; the newest counts.
gate_runs = sa.Table(
    "gate_runs",
    METADATA,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("cohort", _NAME, nullable=False),
    sa.Column("bundle_digest", _DIGEST, nullable=False),
    sa.Column("gate", _NAME, nullable=False),
    sa.Column("evaluated_at", _UTC, nullable=False),
    sa.Column("run_id", sa.String(64)),
    sa.Column("verdicts_digest", _DIGEST, nullable=False),
    sa.Column("ledger_seq", sa.BigInteger, nullable=False),
    sa.Index("gate_runs_by_bundle", "bundle_digest", "gate", "ledger_seq"),
)

verdicts = sa.Table(
    "verdicts",
    METADATA,
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
    sa.Column("evidence", sa.Text, nullable=False),  # canonical JSON
)

# People who may sign. The only table that changes; each change is in the ledger.
people = sa.Table(
    "people",
    METADATA,
    sa.Column("login", sa.String(63), primary_key=True),
    sa.Column("printed_name", sa.String(200), nullable=False),
    sa.Column("roles", sa.Text, nullable=False),  # JSON list
    sa.Column("accounts", sa.Text, nullable=False),  # JSON list: accounts under which this person starts runs
    sa.Column("password_hash", sa.Text),  # argon2id; null where an identity provider vouches
    sa.Column("identity_provider", sa.String(200)),
    sa.Column("active", sa.Boolean, nullable=False),
    sa.Column("created_at", _UTC, nullable=False),
    sa.Column("public_key", _PUBLIC_KEY),  # null for somebody who was entered before version 2, until a new password
    sa.Column("private_key", sa.Text),  # encrypted; see governance.signing.person_keys
)

signatures = sa.Table(
    "signatures",
    METADATA,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("cohort", _NAME, nullable=False),
    sa.Column("bundle_digest", _DIGEST, nullable=False),
    sa.Column("dossier_digest", _DIGEST, nullable=False),
    sa.Column("kind", sa.String(16), nullable=False),  # approval, rejection, waiver
    sa.Column("meaning", sa.Text, nullable=False),
    sa.Column("gate", _NAME),  # of a waiver
    sa.Column("criterion", sa.String(200)),
    sa.Column("reason", sa.Text),
    sa.Column("login", sa.String(63), nullable=False),
    sa.Column("printed_name", sa.String(200), nullable=False),
    sa.Column("role", _NAME, nullable=False),
    sa.Column("signed_at", _UTC, nullable=False),
    sa.Column("expires_at", _UTC, nullable=False),
    sa.Column("ledger_seq", sa.BigInteger, nullable=False),
    sa.Column("public_key", _PUBLIC_KEY),  # of the signer; null before version 2
    sa.Column("signature", _SIGNATURE),
    sa.Index("signatures_by_bundle", "bundle_digest", "kind"),
)

# Which bundle was champion from when: promotions, rollbacks and retirements, each with the state before and after.
promotions = sa.Table(
    "promotions",
    METADATA,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("cohort", _NAME, nullable=False),
    sa.Column("kind", sa.String(16), nullable=False),  # promotion, rollback, retirement
    sa.Column("bundle_digest", _DIGEST, nullable=False),
    sa.Column("previous_digest", _DIGEST),
    sa.Column("dossier_digest", _DIGEST),
    sa.Column("at", _UTC, nullable=False),
    sa.Column("actor", sa.String(200), nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("ledger_seq", sa.BigInteger, nullable=False),
    sa.Index("promotions_by_cohort", "cohort", "ledger_seq"),
)

# Keys of callers of the prediction API; that one was revoked stands in the ledger.
api_keys = sa.Table(
    "api_keys",
    METADATA,
    sa.Column("id", sa.String(16), primary_key=True),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("secret_hash", _DIGEST, nullable=False),  # of 256 random bits, so that no slow hash is needed
    sa.Column("rights", sa.Text, nullable=False),  # JSON list
    sa.Column("cohorts", sa.Text),  # JSON list; null is all
    sa.Column("created_at", _UTC, nullable=False),
    sa.Column("expires_at", _UTC, nullable=False),
    sa.Column("replaces", sa.String(16)),
    sa.Column("ledger_seq", sa.BigInteger, nullable=False),
)

# Protocols of experiments as they were signed; what became of each stands in the ledger.
experiments = sa.Table(
    "experiments",
    METADATA,
    sa.Column("digest", _DIGEST, primary_key=True),
    sa.Column("cohort", _NAME, nullable=False),
    sa.Column("name", _NAME, nullable=False),
    sa.Column("document", sa.Text, nullable=False),  # canonical JSON; the digest is of it
    sa.Column("entered_at", _UTC, nullable=False),
    sa.Column("ledger_seq", sa.BigInteger, nullable=False),
    sa.Index("experiments_by_cohort", "cohort", "ledger_seq"),
)

# Rows of these tables are written once; triggers refuse UPDATE and DELETE.
APPEND_ONLY = (ledger, gate_runs, verdicts, signatures, promotions, api_keys, experiments)
