"""From records to scores: the bundle's own statement, its risk, the tier; for a received batch.

What belongs here: the decisions that every way of scoring shares, and keeping a batch's scores and features for
monitoring. What does not: one patient at a time (``record_scoring``), taking the batch in (``warehouse.received``).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.cohorts.tables import GROUP_PREFIX
from clinical_assets.foundation.types import BoolArray, FloatArray, IntArray
from clinical_assets.modelling.bundle.bundle import Bundle
from clinical_assets.modelling.table.row_losses import action_risk
from clinical_assets.warehouse.outcomes.received_tables import (
    BATCH,
    FEATURES,
    SCORED,
    VALID,
    append,
    columns_of,
    has_table,
)
from clinical_assets.warehouse.sql.schema import create_validated_tables, table_types
from clinical_assets.warehouse.store.connections import scratch
from clinical_assets.warehouse.store.sql_text import literal, quoted
from clinical_assets.warehouse.store.warehouse import Warehouse

if TYPE_CHECKING:
    import duckdb
    import polars as pl
    import pyarrow as pa

    from clinical_assets.modelling.bundle.scorer import RiskIntervals

SCHEMA = "monitoring"
#: Which model each recalibrated one was made from: what its base has seen, it has seen.
BASES = f"{SCHEMA}.model_bases"
#: Rows scored at once by one thread, a row group of DuckDB; they bound the memory.
CHUNK_ROWS = 122_880
#: With more than two classes, the class decided by least expected cost.
DECIDED = "decided_class"
#: Of models that say how certain a risk is: bounds of its interval, and the probability of another tier.
UNCERTAINTY = ("risk_low", "risk_high", "other_tier_prob")
_RESULT = ("risk", *UNCERTAINTY, "is_alert", "tier", DECIDED)
# Columns beside the features carry this mark, so that no feature can have their name.
_BESIDE = "_beside_"


@dataclass(frozen=True)
class ScoredBatch:
    """What scoring a batch came to.

    Attributes
    ----------
    rows, alerts : int
        Units scored, and those at or above the bundle's threshold.
    tiers : dict
        Units by risk tier, in the order of the tiers.
    classes : dict
        Units by the class decided, in the order of the classes; empty with two classes.
    new : bool
        False when this bundle had scored the batch before; nothing was changed then.
    """

    batch: str
    bundle_digest: str
    rows: int
    alerts: int
    tiers: dict[str, int]
    new: bool
    classes: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class RowDecisions:
    """What served probabilities mean for each row.

    Attributes
    ----------
    risk : array of shape (n,)
        Of class ``action_from`` or a more severe one.
    is_alert : array of bool, shape (n,)
        At or above the bundle's threshold.
    tier : array of int, shape (n,)
        Place among the bundle's tiers.
    decided : array of int, shape (n,), or None
        With more than two classes, the one that costs least.
    intervals : RiskIntervals or None
        Of the risks, where the bundle gives any.
    probabilities : array of shape (n, k), or None
        With more than two classes, that of each.
    """

    risk: FloatArray
    is_alert: BoolArray
    tier: IntArray
    decided: IntArray | None
    intervals: RiskIntervals | None
    probabilities: FloatArray | None


def decisions_of(bundle: Bundle, features: pl.DataFrame | FloatArray, served: FloatArray) -> RowDecisions:
    """Risk, alert, tier, class and interval of probabilities (n,) or (n, k) as `Bundle.score` gave them of features."""
    risk = action_risk(served, action_from=bundle.description.action_from)
    lowers = [tier.lower for tier in bundle.description.tiers]
    return RowDecisions(
        risk=risk,
        is_alert=risk >= bundle.description.threshold,
        tier=np.searchsorted(lowers, risk, side="right") - 1,
        decided=None if served.ndim == 1 else bundle.decide(served),
        intervals=bundle.intervals(features, served),
        probabilities=None if served.ndim == 1 else served,
    )


def with_scores(bundle: Bundle, features: pl.DataFrame) -> pl.DataFrame:
    """Add ``risk`` (of class ``action_from`` or a more severe one), ``is_alert`` and ``tier`` to features.

    With more than two classes ``decided_class`` too: the label of the class that costs least (``Bundle.decide``).
    Where the bundle says how certain its risks are, ``risk_low``, ``risk_high`` and ``other_tier_prob`` too
    (``Bundle.intervals``).

    Parameters
    ----------
    bundle : Bundle
        A verified bundle.
    features : polars.DataFrame
        The bundle's features among other columns; a row's scores do not depend on the other rows.

    Raises
    ------
    BundleError
        A feature is missing, is no number, or is infinite.
    """
    import polars as pl

    X = bundle.matrix(features)
    found = decisions_of(bundle, X, bundle.score(X))
    names = pl.Series([tier.name for tier in bundle.description.tiers], dtype=pl.String)
    scored = features.with_columns(
        pl.Series("risk", found.risk),
        pl.Series("is_alert", found.is_alert),
        names.gather(found.tier).alias("tier"),
    )
    if found.intervals is not None:
        bounds = (found.intervals.low, found.intervals.high, found.intervals.other_tier_prob)
        scored = scored.with_columns(pl.Series(name, values) for name, values in zip(UNCERTAINTY, bounds, strict=True))
    if found.decided is None:
        return scored
    labels = pl.Series(bundle.classes, dtype=pl.String)
    return scored.with_columns(labels.gather(found.decided).alias(DECIDED))


def score_relation(
    connection: duckdb.DuckDBPyConnection,
    bundle: Bundle,
    *,
    statement: str | None = None,
    chunk_rows: int = CHUNK_ROWS,
    workers: int = 1,
) -> Iterator[pl.DataFrame]:
    """Score every row that a statement yields, chunk by chunk in its order.

    Parameters
    ----------
    connection : DuckDBPyConnection
        Has a schema ``validated`` as the statement expects it. It is busy until the last chunk was taken.
    bundle : Bundle
        A verified bundle.
    statement : str, optional
        Yields the bundle's features; default the bundle's own.
    chunk_rows : int
        Most rows of a chunk; no more than ``workers + 2`` chunks are in memory at once.
    workers : int
        Chunks scored side by side, each in one thread. Neither number changes a score.

    Yields
    ------
    polars.DataFrame
        What the statement yields, and the columns of `with_scores`.
    """
    import polars as pl

    bundle.score(np.empty((0, len(bundle.feature_columns))))  # opens the model once, before threads share it
    reader = connection.execute(statement or bundle.statement).to_arrow_reader(chunk_rows)
    frames = (pl.DataFrame(pl.from_arrow(found)) for found in reader if found.num_rows)
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[Future[pl.DataFrame]] = deque()
        for frame in frames:
            waiting.append(pool.submit(with_scores, bundle, frame))
            # A bounded queue bounds the memory; the oldest chunk comes first, so rows keep their order.
            if len(waiting) > workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def score_batch(
    warehouse: Warehouse,
    spec: CohortSpec,
    bundle: Bundle,
    batch: str,
    *,
    chunk_rows: int = CHUNK_ROWS,
    workers: int | None = None,
) -> ScoredBatch:
    """Score the records of a batch and keep the result in one transaction.

    Writes ``monitoring.scored_records`` (batch, key, subject, ``index_date``, ``risk`` of class `action_from` or a more
    severe one, ``risk_low``, ``risk_high``, ``other_tier_prob`` where the bundle gives them, ``is_alert``, ``tier``,
    with more than two classes ``decided_class``, ``bundle_digest``, ``scored_at`` in UTC) and
    ``monitoring.batch_features`` (batch, bundle, key, subject, features, protected attributes as text with
    ``protected_`` before their names).

    Parameters
    ----------
    warehouse : Warehouse
        The cohort's records; the result goes into the same file.
    spec : CohortSpec
        The cohort's description.
    bundle : Bundle
        The model, verified.
    batch : str
        Name of a received batch.
    chunk_rows : int
        Rows scored at once by one thread.
    workers : int, optional
        Threads that score; default those of the warehouse's settings.

    Raises
    ------
    SqlModelError, BundleError
        The bundle's statement or features do not fit the records.
    """
    with warehouse.reader() as connection:
        if _is_scored(connection, batch, bundle.digest):
            return _counted(connection, spec, batch, bundle, new=False)
    with warehouse.writer() as target:
        if _is_scored(target, batch, bundle.digest):  # by another process, since the look above
            return _counted(target, spec, batch, bundle, new=False)
        with scratch(warehouse.settings, warehouse.cohort) as memory:
            _load(target, memory, spec, batch)
            target.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
            scored = score_relation(
                memory,
                bundle,
                statement=_with_facts(spec, bundle),
                chunk_rows=chunk_rows,
                workers=workers or warehouse.settings.threads,
            )
            _write(target, scored, spec, bundle, batch)
            _note_base(target, bundle)
        return _counted(target, spec, batch, bundle, new=True)


def _load(source: duckdb.DuckDBPyConnection, memory: duckdb.DuckDBPyConnection, spec: CohortSpec, batch: str) -> None:
    """The batch's validated records, and no others, where the bundle's statement looks for records."""
    create_validated_tables(memory, spec)
    for name in spec.tables:
        if not has_table(source, VALID, name):
            continue
        # Columns that the description no longer has are left out; those that it has got since are missing.
        there = columns_of(source, f"{VALID}.{quoted(name)}")
        columns = ", ".join(quoted(column) for column in table_types(spec, name) if column in there)
        rows = source.execute(f"SELECT {columns} FROM {VALID}.{quoted(name)} WHERE {BATCH} = {literal(batch)}")
        insert_arrow(memory, name, rows.to_arrow_reader(CHUNK_ROWS))
    # Whatever the statement says, it sees these records and nothing else.
    memory.execute("SET enable_external_access = false")
    memory.execute("SET python_enable_replacements = false")
    memory.execute("SET lock_configuration = true")


def insert_arrow(connection: duckdb.DuckDBPyConnection, table: str, rows: pa.Table | pa.RecordBatchReader) -> None:
    """Insert rows into ``validated.<table>`` by the names of their columns."""
    connection.register("_rows", rows)
    try:
        connection.execute(f"INSERT INTO validated.{quoted(table)} BY NAME SELECT * FROM _rows")
    finally:
        connection.unregister("_rows")


def _with_facts(spec: CohortSpec, bundle: Bundle) -> str:
    """The bundle's statement with subject, index date and protected attributes beside each unit."""
    on = " AND ".join(f"unit.{quoted(name)} = about.{quoted(name)}" for name in spec.key)
    facts = ", ".join(f"{source} AS {quoted(_BESIDE + name)}" for name, source in _facts(spec).items())
    about = f"validated.{quoted(spec.subject_table)}"
    return f"SELECT unit.*, {facts} FROM (\n{bundle.statement}\n) AS unit LEFT JOIN {about} AS about ON {on}"


def _facts(spec: CohortSpec) -> dict[str, str]:
    """Subject, index date and protected attributes of a unit: names, and their SQL over the subject table ``about``."""
    subject, index = spec.subject_of(spec.subject_table), spec.index_column
    facts = {} if subject in spec.key else {subject: f"about.{quoted(subject)}"}
    # A day number of no known clock is no date.
    facts["index_date"] = f"about.{quoted(index)}::DATE" if index and not spec.counts_days else "NULL::DATE"
    return facts | {f"{GROUP_PREFIX}{name}": f"about.{quoted(name)}::VARCHAR" for name in spec.protected}


def _write(
    target: duckdb.DuckDBPyConnection, scored: Iterator[pl.DataFrame], spec: CohortSpec, bundle: Bundle, batch: str
) -> None:
    import polars as pl

    constants = {BATCH: batch, "bundle_digest": bundle.digest}
    now = {"scored_at": datetime.now(UTC).isoformat(timespec="microseconds")}
    facts = {name: pl.col(_BESIDE + name).alias(name) for name in _facts(spec)}
    groups = {name for name in facts if name.startswith(GROUP_PREFIX)}
    about = [column for name, column in facts.items() if name not in groups]
    beside = [column for name, column in facts.items() if name != "index_date"]
    features = [pl.col(name).cast(pl.Float64) for name in bundle.feature_columns]
    for frame in scored:
        results = [name for name in _RESULT if name in frame.columns]
        append(target, SCORED, frame.select(*spec.key, *results, *about).to_arrow(), constants=constants | now)
        append(target, FEATURES, frame.select(*spec.key, *features, *beside).to_arrow(), constants=constants)


def _note_base(target: duckdb.DuckDBPyConnection, bundle: Bundle) -> None:
    derived = bundle.description.derived
    target.execute(f"CREATE TABLE IF NOT EXISTS {BASES} (bundle_digest VARCHAR PRIMARY KEY, base_digest VARCHAR)")
    if derived is not None:
        target.execute(f"INSERT OR IGNORE INTO {BASES} VALUES ({literal(bundle.digest)}, {literal(derived.base)})")


def _is_scored(connection: duckdb.DuckDBPyConnection, batch: str, digest: str) -> bool:
    if not has_table(connection, *SCORED.split(".")):
        return False
    found = connection.execute(f"SELECT count(*) FROM {SCORED} WHERE {_of(batch, digest)}").fetchone()
    return bool(found and found[0])


def _counted(
    connection: duckdb.DuckDBPyConnection, spec: CohortSpec, batch: str, bundle: Bundle, *, new: bool
) -> ScoredBatch:
    tiers = dict.fromkeys((tier.name for tier in spec.decisions.tiers), 0)
    classes = dict.fromkeys(bundle.classes if len(bundle.classes) > 2 else (), 0)
    where, alerts = _of(batch, bundle.digest), 0
    if has_table(connection, *SCORED.split(".")):
        found = connection.execute(
            f"SELECT tier, count(*), count(*) FILTER (is_alert) FROM {SCORED} WHERE {where} GROUP BY tier"
        ).fetchall()
        for tier, rows, alerted in found:
            tiers[tier] = int(rows)
            alerts += int(alerted)
        # Batches scored before classes were decided have no such column, or nothing in it.
        if classes and DECIDED in columns_of(connection, SCORED):
            decided = f"SELECT {DECIDED}, count(*) FROM {SCORED} WHERE {where} AND {DECIDED} IS NOT NULL GROUP BY ALL"
            classes |= {label: int(rows) for label, rows in connection.execute(decided).fetchall()}
    return ScoredBatch(
        batch=batch,
        bundle_digest=bundle.digest,
        rows=sum(tiers.values()),
        alerts=alerts,
        tiers=tiers,
        new=new,
        classes=classes,
    )


def _of(batch: str, digest: str) -> str:
    return f"{BATCH} = {literal(batch)} AND bundle_digest = {literal(digest)}"
