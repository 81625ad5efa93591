"""Scores of a batch of new records: the champion's own statement over the batch's records, then its graph.

What belongs here: scoring a received batch once and keeping scores and features for monitoring. What does not: taking
the batch in (``warehouse.received``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from clinical_assets.modelling.losses import action_risk
from clinical_assets.warehouse.received_tables import BATCH, VALID, append, columns_of, has_table
from clinical_assets.warehouse.sql_schema import create_validated_tables, table_types
from clinical_assets.warehouse.sql_text import literal, quoted

if TYPE_CHECKING:
    import duckdb

    from clinical_assets.cohorts.spec import CohortSpec
    from clinical_assets.modelling.bundle import Bundle
    from clinical_assets.warehouse.store import Warehouse

SCHEMA = "monitoring"
SCORED, FEATURES = f"{SCHEMA}.scored_records", f"{SCHEMA}.batch_features"
#: Which model each recalibrated one was made from: what its base has seen, it has seen.
BASES = f"{SCHEMA}.model_bases"
_CHUNK_ROWS = 65_536


@dataclass(frozen=True)
class ScoredBatch:
    """What scoring a batch came to.

    Attributes
    ----------
    rows, alerts : int
        Units scored, and those at or above the bundle's threshold.
    tiers : dict
        Units by risk tier, in the order of the tiers.
    new : bool
        False when this bundle had scored the batch before; nothing was changed then.
    """

    batch: str
    bundle_digest: str
    rows: int
    alerts: int
    tiers: dict[str, int]
    new: bool


def score_batch(warehouse: Warehouse, spec: CohortSpec, bundle: Bundle, batch: str) -> ScoredBatch:
    """Score the records of a batch and keep the result in one transaction.

    Writes ``monitoring.scored_records`` (batch, key, subject, ``index_date``, ``risk`` of class `action_from` or a more
    severe one, ``is_alert``, ``tier``, ``bundle_digest``, ``scored_at`` in UTC) and ``monitoring.batch_features``
    (batch, bundle, key, subject, features, protected attributes as text with ``protected_`` before their names).

    Raises
    ------
    SqlModelError, BundleError
        The bundle's statement or features do not fit the records.
    """
    import duckdb as db

    with warehouse.reader() as connection:
        if _is_scored(connection, batch, bundle.digest):
            return _counted(connection, spec, batch, bundle.digest, new=False)
    with warehouse.writer() as target:
        if _is_scored(target, batch, bundle.digest):  # by another process, since the look above
            return _counted(target, spec, batch, bundle.digest, new=False)
        with db.connect(
            config={
                "enable_external_access": "false",
                "python_enable_replacements": "false",
                "threads": str(warehouse.settings.threads),
                "memory_limit": warehouse.settings.memory_limit,
            }
        ) as memory:
            _load(target, memory, spec, batch)
            target.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
            _score(target, memory, spec, bundle, batch)
            _note_base(target, bundle)
        return _counted(target, spec, batch, bundle.digest, new=True)


def _load(source: duckdb.DuckDBPyConnection, memory: duckdb.DuckDBPyConnection, spec: CohortSpec, batch: str) -> None:
    """The batch's validated records, and no others, where the bundle's statement looks for records."""
    create_validated_tables(memory, spec)
    for name in spec.tables:
        if not has_table(source, VALID, name):
            continue
        # Columns that the description no longer has are left out; those that it has got since are missing.
        there = columns_of(source, f"{VALID}.{quoted(name)}")
        columns = ", ".join(quoted(column) for column in table_types(spec, name) if column in there)
        rows = source.execute(
            f"SELECT {columns} FROM {VALID}.{quoted(name)} WHERE {BATCH} = {literal(batch)}"
        ).to_arrow_table()
        memory.register("_rows", rows)
        memory.execute(f"INSERT INTO validated.{quoted(name)} BY NAME SELECT * FROM _rows")
        memory.unregister("_rows")


def _score(
    target: duckdb.DuckDBPyConnection, memory: duckdb.DuckDBPyConnection, spec: CohortSpec, bundle: Bundle, batch: str
) -> None:
    import polars as pl

    key, subject = list(spec.key), spec.subject_of(spec.subject_table)
    tiers = bundle.description["tiers"]
    lowers, names = np.array([tier["lower"] for tier in tiers]), [tier["name"] for tier in tiers]
    threshold = float(bundle.description["threshold"])
    facts = [
        pl.lit(bundle.digest).alias("bundle_digest"),
        pl.lit(datetime.now(UTC).isoformat(timespec="microseconds")).alias("scored_at"),
    ]
    about = pl.DataFrame(memory.execute(_about(spec)).to_arrow_table())
    groups = [name for name in about.columns if name.startswith("protected_")]
    for found in memory.execute(bundle.statement).to_arrow_reader(_CHUNK_ROWS):
        frame = pl.DataFrame(pl.from_arrow(found))
        if not frame.height:
            continue
        risk = action_risk(bundle.score(frame), action_from=int(bundle.description["action_from"]))
        place = np.searchsorted(lowers, risk, side="right") - 1
        scored = frame.select(key).with_columns(
            pl.Series("risk", risk),
            pl.Series("is_alert", risk >= threshold),
            pl.Series("tier", [names[i] for i in place], dtype=pl.String),
            pl.lit(batch).alias(BATCH),
            *facts,
        )
        scored = scored.join(about.drop(groups), on=key, how="left", maintain_order="left")
        append(target, SCORED, scored.to_arrow())
        features = frame.select(*key, *(pl.col(name).cast(pl.Float64) for name in bundle.feature_columns))
        whose = about.select(*key, *(name for name in (subject,) if name not in key), *groups)
        features = features.join(whose, on=key, how="left", maintain_order="left")
        features = features.with_columns(pl.lit(batch).alias(BATCH), facts[0])
        append(target, FEATURES, features.to_arrow())


def _note_base(target: duckdb.DuckDBPyConnection, bundle: Bundle) -> None:
    base = bundle.description.get("derived", {}).get("from")
    target.execute(f"CREATE TABLE IF NOT EXISTS {BASES} (bundle_digest VARCHAR PRIMARY KEY, base_digest VARCHAR)")
    if base is not None:
        target.execute(f"INSERT OR IGNORE INTO {BASES} VALUES ({literal(bundle.digest)}, {literal(base)})")


def _about(spec: CohortSpec) -> str:
    """Subject, index date and protected attributes of each unit."""
    subject = spec.subject_of(spec.subject_table)
    columns = [quoted(name) for name in dict.fromkeys((*spec.key, subject))]
    date = spec.prediction.index_date
    columns.append(f"{quoted(date.split('.')[1]) if date else 'NULL'}::DATE AS index_date")
    columns += [f"CAST({quoted(name)} AS VARCHAR) AS {quoted(f'protected_{name}')}" for name in spec.protected]
    return f"SELECT {', '.join(columns)} FROM validated.{quoted(spec.subject_table)}"


def _is_scored(connection: duckdb.DuckDBPyConnection, batch: str, digest: str) -> bool:
    if not has_table(connection, *SCORED.split(".")):
        return False
    found = connection.execute(f"SELECT count(*) FROM {SCORED} WHERE {_of(batch, digest)}").fetchone()
    return bool(found and found[0])


def _counted(
    connection: duckdb.DuckDBPyConnection, spec: CohortSpec, batch: str, digest: str, *, new: bool
) -> ScoredBatch:
    tiers = dict.fromkeys((tier.name for tier in spec.decisions.tiers), 0)
    alerts = 0
    if has_table(connection, *SCORED.split(".")):
        found = connection.execute(
            f"SELECT tier, count(*), count(*) FILTER (is_alert) FROM {SCORED} WHERE {_of(batch, digest)} GROUP BY tier"
        ).fetchall()
        for tier, rows, alerted in found:
            tiers[tier] = int(rows)
            alerts += int(alerted)
    return ScoredBatch(batch=batch, bundle_digest=digest, rows=sum(tiers.values()), alerts=alerts, tiers=tiers, new=new)


def _of(batch: str, digest: str) -> str:
    return f"{BATCH} = {literal(batch)} AND bundle_digest = {literal(digest)}"
