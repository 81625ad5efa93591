"""Which records a report looks at: the newest batches, or the matured outcomes of the present champion.

A unit that was delivered again is no new evidence: it counts once, in windows and among outcomes.

What belongs here: reading rows of a window from a cohort's warehouse. What does not: judging them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.cohorts.tables import EVENT_CODE, FOLLOW_UP_DAYS
from clinical_assets.modelling.bundle.batch_scoring import BASES
from clinical_assets.modelling.bundle.logged_scores import api_batches, api_matured, api_window
from clinical_assets.modelling.trainings.reference import relation_of
from clinical_assets.monitoring.performance.followed_records import known_records
from clinical_assets.reporting.formats import counted
from clinical_assets.warehouse.outcomes.received_tables import (
    BATCH,
    BATCHES,
    FEATURES,
    FEEDBACK,
    SCORED,
    columns_of,
    has_table,
)
from clinical_assets.warehouse.store.sql_text import literal, quoted

if TYPE_CHECKING:
    import duckdb
    import polars as pl


WINDOW_DAYS = 365
_WINDOW = "_window"


@dataclass(frozen=True)
class BatchWindow:
    """Batches that one report speaks of.

    Attributes
    ----------
    batches : tuple of str
        The oldest first.
    since, until : str
        When the first and the last of them was received, UTC.
    rows : int
        Units scored by the champion in them; one that was delivered several times counts once.
    """

    batches: tuple[str, ...]
    since: str
    until: str
    rows: int

    @property
    def name(self) -> str:
        """The window in words, the same for the same batches."""
        return f"{self.since[:19]} to {self.until[:19]} UTC, {counted(len(self.batches), 'batch', 'batches')}"


def newest_batches(
    connection: duckdb.DuckDBPyConnection, spec: CohortSpec, *, bundle_digest: str, at_least: int
) -> BatchWindow | None:
    """The newest batches that the bundle scored, as many as are needed for `at_least` units; None without any.

    A day of answers of the prediction API is a batch like any other.
    """
    found = api_batches(connection, bundle_digest=bundle_digest)
    if has_table(connection, *SCORED.split(".")):
        found += _batches(connection, spec, bundle_digest=bundle_digest)
    chosen: list[tuple[str, str, int]] = []
    # By name, and then the newest first: sorting keeps the order of equals.
    for batch, received_at, rows in sorted(sorted(found), key=lambda each: each[1], reverse=True):
        chosen.append((batch, received_at, rows))
        if sum(each[2] for each in chosen) >= at_least:
            break
    if not chosen:
        return None
    chosen.reverse()
    return BatchWindow(
        batches=tuple(each[0] for each in chosen),
        since=chosen[0][1],
        until=chosen[-1][1],
        rows=sum(each[2] for each in chosen),
    )


def _batches(
    connection: duckdb.DuckDBPyConnection, spec: CohortSpec, *, bundle_digest: str
) -> list[tuple[str, str, int]]:
    found = connection.execute(
        f"SELECT {BATCH}, received_at, count(*) FILTER (is_newest) FROM (SELECT {BATCH}, b.received_at, "
        f"row_number() OVER (PARTITION BY {_key(spec)} ORDER BY b.received_at DESC, {BATCH}) = 1 AS is_newest "
        f"FROM {SCORED} JOIN {BATCHES} AS b USING ({BATCH}) WHERE bundle_digest = {literal(bundle_digest)}) "
        "GROUP BY ALL"
    ).fetchall()
    return [(str(batch), str(received_at), int(rows)) for batch, received_at, rows in found]


def newest_of_units(spec: CohortSpec, relation: str, window: BatchWindow, *, bundle_digest: str) -> str:
    """SELECT of the rows of a window, of each unit the newest.

    Parameters
    ----------
    spec : CohortSpec
        The cohort's description.
    relation : str
        Scores or features by batch and bundle.
    window : BatchWindow
        The batches that are looked at.
    bundle_digest : str
        ``sha256:...`` of the bundle that scored.
    """
    chosen = f"FROM {relation} WHERE {BATCH} IN {literal(window.batches)} AND bundle_digest = {literal(bundle_digest)}"
    if len(window.batches) == 1:  # validation lets no unit stand twice in a batch
        return f"SELECT * {chosen}"
    place = f"list_position([{', '.join(map(literal, window.batches))}], {BATCH})"
    return f"SELECT * {chosen} QUALIFY row_number() OVER (PARTITION BY {_key(spec)} ORDER BY {place} DESC) = 1"


def _key(spec: CohortSpec) -> str:
    return ", ".join(map(quoted, spec.key))


def drift_relation(
    connection: duckdb.DuckDBPyConnection,
    spec: CohortSpec,
    window: BatchWindow,
    *,
    bundle_digest: str,
    features: tuple[str, ...],
) -> str:
    """A relation with features and served ``risk`` of every unit of a window, of each the newest.

    It is a temporary table of the connection, which spills to disk like any other: reports read it once per column,
    and a join of features and scores for each of them would take the most of their time.
    """
    columns = ", ".join(f"f.{quoted(name)}" for name in features)
    same = " AND ".join(f"s.{quoted(name)} IS NOT DISTINCT FROM f.{quoted(name)}" for name in spec.key)
    newest = newest_of_units(spec, FEATURES, window, bundle_digest=bundle_digest)
    chosen = f"{BATCH} IN {literal(window.batches)} AND bundle_digest = {literal(bundle_digest)}"
    parts = []
    if has_table(connection, *SCORED.split(".")):
        parts.append(
            f"SELECT {columns}, s.risk FROM ({newest}) AS f JOIN (FROM {SCORED} WHERE {chosen}) AS s "
            f"ON s.{BATCH} = f.{BATCH} AND {same}"
        )
    answered = api_window(connection, batches=window.batches, bundle_digest=bundle_digest, features=features)
    parts += [] if answered is None else [answered]
    connection.execute(f"CREATE OR REPLACE TEMP TABLE {_WINDOW} AS {' UNION ALL '.join(parts)}")
    return f"temp.{_WINDOW}"


def matured_records(
    connection: duckdb.DuckDBPyConnection, spec: CohortSpec, *, bundle_digest: str, days: int = WINDOW_DAYS
) -> pl.DataFrame | None:
    """Records that a bundle scored and whose outcome is known: those of `followed_records` with an outcome.

    Where anybody was censored before the horizon, ``case_weight`` says for how many each stands.
    """
    rows = followed_records(connection, spec, bundle_digest=bundle_digest, days=days)
    return None if rows is None else known_records(rows, spec)


def followed_records(
    connection: duckdb.DuckDBPyConnection, spec: CohortSpec, *, bundle_digest: str, days: int = WINDOW_DAYS
) -> pl.DataFrame | None:
    """Records that a bundle scored and that were followed until the outcome was known or they were censored.

    Of each unit the last that came before the outcome counts: a record that is sent after its outcome was known may
    have been written with the outcome in mind. When it was scored does not matter: a new champion scores older batches,
    too, and sees nothing of them that came later.

    Units that the model, or one that it was recalibrated from, was made from or judged with are left out: once their
    outcome is known, received records join the cohort's source, and a later model that scores them has seen them.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
        Of the cohort's warehouse.
    spec : CohortSpec
        The cohort's description.
    bundle_digest : str
        ``sha256:...`` of the bundle whose scores are judged.
    days : int
        Only records scored so long ago at most.

    Returns
    -------
    polars.DataFrame or None
        Key, subject, ``batch``, ``index_date``, ``risk``, ``is_alert``, ``tier``, ``scored_at``, ``known_at``,
        ``outcome`` (null for those censored before the horizon), ``follow_up_days`` and ``event_code`` (null where the
        outcome is no time), ``shown``, ``acted``, features and ``protected_`` columns; None where nothing was scored or
        no outcome is known.
    """
    import polars as pl

    batches = _matured_batches(connection, spec, bundle_digest=bundle_digest, days=days)
    answered = api_matured(connection, spec, bundle_digest=bundle_digest, days=days)
    if answered is not None:
        none = [pl.lit(None, pl.Float64).alias(FOLLOW_UP_DAYS), pl.lit(None, pl.Int32).alias(EVENT_CODE)]
        answered = answered.with_columns(none)
    if batches is None or answered is None:
        return answered if batches is None else batches
    # Types are those of the batches.
    same = [pl.col(name).cast(kind) for name, kind in batches.schema.items() if name in answered.columns]
    return pl.concat([batches, answered.with_columns(same)], how="diagonal")


def _matured_batches(
    connection: duckdb.DuckDBPyConnection, spec: CohortSpec, *, bundle_digest: str, days: int
) -> pl.DataFrame | None:
    needed = (SCORED, FEATURES, "monitoring.outcomes")
    if not all(has_table(connection, *name.split(".")) for name in needed):
        return None
    key = _key(spec)
    feedback = ", ".join(f"o.{name}" for name in FEEDBACK)
    # A unit that was received with two index dates has an outcome for one of them.
    has_dates = spec.index_column is not None and not spec.counts_days
    dated = "AND s.index_date IS NOT DISTINCT FROM CAST(o.index_date AS DATE) " if has_dates else ""
    about = {*spec.key, spec.subject_of(spec.subject_table), BATCH, "bundle_digest"}
    there = columns_of(connection, "monitoring.outcomes")
    follow_up = ", ".join(
        f"o.{name}" if name in there else f"NULL::{kind} AS {name}"
        for name, kind in ((FOLLOW_UP_DAYS, "DOUBLE"), (EVENT_CODE, "INTEGER"))
    )
    doubled = ", ".join(quoted(name) for name in columns_of(connection, FEATURES) if name in about)
    seen = "".join(
        f"AND NOT EXISTS (SELECT 1 FROM {relation} AS r WHERE "
        + " AND ".join(f"r.{quoted(name)} IS NOT DISTINCT FROM s.{quoted(name)}" for name in spec.key)
        + ") "
        for relation in references(connection, bundle_digest)
    )
    return connection.execute(
        f"SELECT s.* EXCLUDE (bundle_digest), o.outcome, {follow_up}, o.known_at, {feedback}, "
        f"f.* EXCLUDE ({doubled}) "
        f"FROM {SCORED} AS s JOIN {FEATURES} AS f USING ({key}, {BATCH}, bundle_digest) "
        f"JOIN monitoring.outcomes AS o USING ({key}) JOIN {BATCHES} AS b USING ({BATCH}) "
        f"WHERE b.received_at <= o.known_at AND s.bundle_digest = {literal(bundle_digest)} {dated}{seen}"
        f"AND CAST(s.scored_at AS TIMESTAMPTZ) >= now() - INTERVAL {int(days)} DAY "
        f"QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY b.received_at DESC, {BATCH}) = 1 ORDER BY {key}"
    ).pl()


def references(connection: duckdb.DuckDBPyConnection, bundle_digest: str) -> list[str]:
    """Reference tables of a model and of those that it was recalibrated from, as far as they are here."""
    digests: list[str] = [bundle_digest]
    while has_table(connection, *BASES.split(".")):
        found = connection.execute(
            f"SELECT base_digest FROM {BASES} WHERE bundle_digest = {literal(digests[-1])}"
        ).fetchone()
        if found is None or found[0] in digests:
            break
        digests.append(str(found[0]))
    relations = [relation_of(digest) for digest in digests]
    return [each for each in relations if has_table(connection, each.split(".")[0], each.split(".")[1].strip('"'))]
