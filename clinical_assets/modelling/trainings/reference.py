"""The rows that a model was made from and judged on, kept beside the warehouse's tables under the model's digest.

Gates, drift reports and later comparisons look at these rows long after the feature table has moved on. One table a
bundle, in the cohort's own warehouse: encrypted and erased with everything else there.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Literal

from clinical_assets.cohorts.tables import CASE_WEIGHT, GROUP_PREFIX, KEPT_TOGETHER
from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.foundation.types import FloatArray
from clinical_assets.warehouse.features.feature_table import FeatureTable
from clinical_assets.warehouse.store.sql_text import literal, quoted

if TYPE_CHECKING:
    import duckdb
    import polars as pl


SCHEMA = "reference"
SplitPart = Literal["train", "holdout"]


class ReferenceMissing(ClinicalAssetsError):
    """A bundle whose rows are not in the warehouse."""


def relation_of(digest: str) -> str:
    """The table of a bundle: ``reference."<first 16 hexadecimal digits of its digest>"``."""
    return f"{SCHEMA}.{quoted(digest.removeprefix('sha256:')[:16])}"


def write_reference(
    connection: duckdb.DuckDBPyConnection,
    *,
    table: FeatureTable,
    out_of_fold: pl.DataFrame,
    holdout_scores: pl.DataFrame,
    digest: str,
) -> str:
    """Keep the rows of a training under its bundle's digest.

    Columns: key, subject, ``part`` (``train`` or ``holdout``), ``outcome``, ``risk`` (of class `action_from` or a more
    severe one: out-of-fold for training rows, as the bundle scores them for the holdout), every feature (null is
    missing), ``case_weight`` where there are case weights, and every protected attribute as text with ``protected_``
    before its name.

    Returns
    -------
    str
        The relation.
    """
    import polars as pl

    key = list(table.key)
    scored = pl.concat(
        [
            out_of_fold.select(*key, pl.lit("train").alias("part"), "risk"),
            holdout_scores.select(*key, pl.lit("holdout").alias("part"), "risk"),
        ]
    )
    groups = [pl.col(table.protected_column(name)).alias(f"{GROUP_PREFIX}{name}") for name in table.protected]
    first = list(dict.fromkeys((*key, table.subject)))
    beside = (CASE_WEIGHT, KEPT_TOGETHER)
    more = [name for name in beside if name in table.frame.columns and name not in table.feature_columns]
    rows = table.frame.select(*first, "outcome", *table.feature_columns, *more, *groups).join(scored, on=key)
    rows = rows.select(*first, "part", "outcome", "risk", *rows.columns[len(first) + 1 : -2]).sort(key)
    relation = relation_of(digest)
    connection.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
    connection.register("_reference", rows.to_arrow())
    try:
        connection.execute(f"CREATE OR REPLACE TABLE {relation} AS SELECT * FROM _reference")
    finally:
        connection.unregister("_reference")
    return relation


def read_reference(
    connection: duckdb.DuckDBPyConnection, digest: str, *, part: SplitPart | None = None
) -> pl.DataFrame:
    """The rows of a bundle, sorted as they were kept.

    Raises
    ------
    ReferenceMissing
        The model was trained elsewhere, or before rows were kept.
    """
    import duckdb as db

    condition = "" if part is None else f" WHERE part = {literal(part)}"
    try:
        return connection.execute(f"SELECT * FROM {relation_of(digest)}{condition}").pl()
    except db.CatalogException:
        raise reference_missing(digest) from None


def case_weights(rows: pl.DataFrame, feature_columns: Collection[str]) -> FloatArray | None:
    """Case weights of reference rows (n,) over their mean; None where the training had none, or all count alike.

    Parameters
    ----------
    rows : polars.DataFrame
        As `read_reference` gives them, or some of them.
    feature_columns : collection of str
        The bundle's: one of them may have that name where there are no weights.
    """
    if CASE_WEIGHT not in rows.columns or CASE_WEIGHT in feature_columns or rows.is_empty():
        return None
    import numpy as np

    weights = rows[CASE_WEIGHT].to_numpy()
    return None if np.ptp(weights) == 0 else np.asarray(weights / weights.mean(), dtype=np.float64)


def reference_missing(digest: str) -> ReferenceMissing:
    """The error for a bundle whose rows are not here."""
    return ReferenceMissing(
        f"The warehouse holds no rows of the model {digest}.", cure="Train the cohort again on this installation."
    )
