"""Which records a report looks at: the newest batches, or the matured outcomes of the present champion.

What belongs here: reading rows of a window from a cohort's warehouse. What does not: judging them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from clinical_assets.modelling.reference import relation_of
from clinical_assets.modelling.scored import BASES, FEATURES, SCORED
from clinical_assets.warehouse.received_tables import BATCH, BATCHES, FEEDBACK, columns_of, has_table
from clinical_assets.warehouse.sql_text import literal, quoted

if TYPE_CHECKING:
    import duckdb
    import polars as pl

    from clinical_assets.cohorts.spec import CohortSpec

WINDOW_DAYS = 365


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
        Records scored by the champion in them.
    """

    batches: tuple[str, ...]
    since: str
    until: str
    rows: int

    @property
    def name(self) -> str:
        """The window in words, the same for the same batches."""
        return f"{self.since[:19]} to {self.until[:19]} UTC, {len(self.batches)} batches"


def newest_batches(connection: duckdb.DuckDBPyConnection, *, bundle_digest: str, at_least: int) -> BatchWindow | None:
    """The newest batches that the bundle scored, as many as are needed for `at_least` records; None without any."""
    if not has_table(connection, *SCORED.split(".")):
        return None
    found = connection.execute(
        f"SELECT {BATCH}, b.received_at, count(*) FROM {SCORED} JOIN {BATCHES} AS b USING ({BATCH}) "
        f"WHERE bundle_digest = {literal(bundle_digest)} GROUP BY ALL ORDER BY b.received_at DESC, {BATCH}"
    ).fetchall()
    chosen: list[tuple[str, str, int]] = []
    for batch, received_at, rows in found:
        chosen.append((str(batch), str(received_at), int(rows)))
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


def drift_relation(spec: CohortSpec, window: BatchWindow, *, bundle_digest: str, features: tuple[str, ...]) -> str:
    """A relation with features and served ``risk`` of every record of a window."""
    columns = ", ".join(f"f.{quoted(name)}" for name in features)
    same = " AND ".join(f"s.{quoted(name)} IS NOT DISTINCT FROM f.{quoted(name)}" for name in spec.key)
    return (
        f"(SELECT {columns}, s.risk FROM {FEATURES} AS f JOIN {SCORED} AS s "
        f"ON s.{BATCH} = f.{BATCH} AND s.bundle_digest = f.bundle_digest AND {same} "
        f"WHERE f.{BATCH} IN {literal(window.batches)} AND f.bundle_digest = {literal(bundle_digest)})"
    )


def matured_records(
    connection: duckdb.DuckDBPyConnection, spec: CohortSpec, *, bundle_digest: str, days: int = WINDOW_DAYS
) -> pl.DataFrame | None:
    """Records that a bundle scored and whose outcome is known, the newest score of each unit.

    Units that the model, or one that it was recalibrated from, was made from or judged with are left out: once their
    outcome is known, received records join the cohort's source, and a later model that scores them has seen them.

    Parameters
    ----------
    days : int
        Only records scored so long ago at most.

    Returns
    -------
    polars.DataFrame or None
        Key, subject, ``batch``, ``index_date``, ``risk``, ``is_alert``, ``tier``, ``scored_at``, ``known_at``,
        ``outcome``, ``shown``, ``acted``, features and ``protected_`` columns; None where nothing was scored or no
        outcome is known.
    """
    needed = (SCORED, FEATURES, "monitoring.outcomes")
    if not all(has_table(connection, *name.split(".")) for name in needed):
        return None
    key = ", ".join(quoted(name) for name in spec.key)
    feedback = ", ".join(f"o.{name}" for name in FEEDBACK)
    # A unit that was received with two index dates has an outcome for one of them.
    dated = "AND s.index_date IS NOT DISTINCT FROM CAST(o.index_date AS DATE) " if spec.prediction.index_date else ""
    about = {*spec.key, spec.subject_of(spec.subject_table), BATCH, "bundle_digest"}
    doubled = ", ".join(quoted(name) for name in columns_of(connection, FEATURES) if name in about)
    seen = "".join(
        f"AND NOT EXISTS (SELECT 1 FROM {relation} AS r WHERE "
        + " AND ".join(f"r.{quoted(name)} IS NOT DISTINCT FROM s.{quoted(name)}" for name in spec.key)
        + ") "
        for relation in _references(connection, bundle_digest)
    )
    return connection.execute(
        f"SELECT s.* EXCLUDE (bundle_digest), o.outcome, o.known_at, {feedback}, f.* EXCLUDE ({doubled}) "
        f"FROM {SCORED} AS s JOIN {FEATURES} AS f USING ({key}, {BATCH}, bundle_digest) "
        f"JOIN monitoring.outcomes AS o USING ({key}) "
        f"WHERE s.bundle_digest = {literal(bundle_digest)} {dated}{seen}"
        f"AND CAST(s.scored_at AS TIMESTAMPTZ) >= now() - INTERVAL {int(days)} DAY "
        f"QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY s.scored_at DESC, {BATCH}) = 1 ORDER BY {key}"
    ).pl()


def _references(connection: duckdb.DuckDBPyConnection, bundle_digest: str) -> list[str]:
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
