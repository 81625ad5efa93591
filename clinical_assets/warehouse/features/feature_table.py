"""What training reads: features, outcome and protected attributes of every unit that may be used, in key order.

What belongs here: joining the stored tables. Building them is the work of ``features``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import duckdb

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.cohorts.tables import CASE_WEIGHT, KEPT_TOGETHER
from clinical_assets.foundation.errors import WarehouseError
from clinical_assets.warehouse.snapshots import ingestion_log
from clinical_assets.warehouse.snapshots.digests import column_families, table_digest
from clinical_assets.warehouse.store.sql_text import quoted
from clinical_assets.warehouse.store.warehouse import Warehouse

if TYPE_CHECKING:
    import polars

_NUMBERS = ("integer", "real", "boolean", "decimal")


@dataclass(frozen=True)
class FeatureTable:
    """One row per prediction unit whose outcome is known, sorted by key.

    Attributes
    ----------
    frame : polars.DataFrame
        Key columns, subject column, features (Float64, null is missing), ``outcome`` (Int64: 0, 1, ...),
        ``case_weight`` (Float64) where the description or the outcome has weights (their product where both have),
        ``kept_together`` (String) where a column has role group, protected attributes (String, null is unknown).
    key : tuple of str
        Columns that name a unit.
    subject : str
        Column that names the person.
    feature_columns : tuple of str
        Features in the order of the model.
    protected : tuple of str
        Protected attributes as the description names them. ``protected_column`` says in which column of the frame
        each stands.
    digest : str
        Digest of the frame's content.
    """

    frame: polars.DataFrame
    key: tuple[str, ...]
    subject: str
    feature_columns: tuple[str, ...]
    protected: tuple[str, ...]
    digest: str

    def protected_column(self, attribute: str) -> str:
        """Column of the frame with a protected attribute as text: its name, or ``<name>_group`` beside a feature."""
        if attribute not in self.protected:
            raise KeyError(attribute)
        return _group_column(attribute, taken=(*self.key, self.subject, *self.feature_columns))


def load_feature_table(warehouse: Warehouse, spec: CohortSpec) -> FeatureTable:
    """Join ``model.features``, ``model.outcomes`` and the protected attributes of the subject table.

    Raises
    ------
    WarehouseError
        When features were not built yet, or the stored tables do not fit one another.
    """
    subjects = f"validated.{quoted(spec.subject_table)}"
    with warehouse.reader() as connection:
        ingestion_log.refuse_other_origin(connection, spec)
        features = _features(connection, spec, needed=("model.features", "model.outcomes", subjects))
        _check_outcomes(connection, spec)
        weights = _weights(connection, spec, features)
        statement = _statement(spec, features, subjects, weights)
        frame = connection.execute(f"{statement} ORDER BY {', '.join(f'f.{quoted(name)}' for name in spec.key)}").pl()
        usable = connection.execute("SELECT count(*) FROM model.outcomes WHERE exclusion IS NULL").fetchone()
        if usable is None or usable[0] != frame.height or frame.select(spec.key).is_duplicated().any():
            raise WarehouseError(
                f"Cohort {spec.name!r} has {usable[0] if usable else 0} units with a known outcome, but features and "
                f"{subjects} give {frame.height} rows for them: the tables are of different age.",
                cure=f"Build them again: clinical-assets materialize {spec.name} --select features",
            )
        digest = table_digest(connection, f"({statement})", exclude=())
    return FeatureTable(
        frame=frame,
        key=spec.key,
        subject=spec.subject_of(spec.subject_table),
        feature_columns=features,
        protected=spec.protected,
        digest=digest,
    )


def _features(connection: duckdb.DuckDBPyConnection, spec: CohortSpec, *, needed: tuple[str, ...]) -> tuple[str, ...]:
    cure = f"Build them: clinical-assets materialize {spec.name} --select features"
    for relation in needed:
        try:
            connection.sql(f"SELECT * FROM {relation} LIMIT 0")
        except duckdb.CatalogException as error:
            raise WarehouseError(f"Cohort {spec.name!r} has no table {relation} yet.", cure=cure) from error
    families = column_families(connection, "model.features", exclude=spec.key)
    for name, (family, _) in families.items():
        if not family.startswith(_NUMBERS):
            raise WarehouseError(f"model.features: feature {name!r} of cohort {spec.name!r} is no number.", cure=cure)
    return tuple(families)


def _weights(connection: duckdb.DuckDBPyConnection, spec: CohortSpec, features: tuple[str, ...]) -> list[str]:
    """What a unit counts, as factors in SQL: its case weight, and for how many censored ones it stands."""
    factors = [] if spec.weight is None else [f"CAST(s.{quoted(spec.weight)} AS DOUBLE)"]
    if CASE_WEIGHT in column_families(connection, "model.outcomes", exclude=spec.key):
        factors.append(f"o.{CASE_WEIGHT}")
    for used, name, what in (
        (bool(factors), CASE_WEIGHT, "case weights are"),
        (spec.group is not None, KEPT_TOGETHER, "what keeps records together is"),
    ):
        if used and name in features:
            raise WarehouseError(
                f"model.features: a feature of cohort {spec.name!r} is called {name}, as the {what}.",
                cure="Give the feature another name.",
            )
    return factors


def _check_outcomes(connection: duckdb.DuckDBPyConnection, spec: CohortSpec) -> None:
    found = connection.execute(
        "SELECT count(*) FROM model.outcomes WHERE exclusion IS NULL AND outcome IS NULL"
    ).fetchone()
    if found and found[0]:
        raise WarehouseError(
            f"model.outcomes: {found[0]} units of cohort {spec.name!r} have neither an outcome nor a reason why not.",
            cure=f"Let the outcome model {spec.outcome!r} give a reason in `exclusion` wherever `outcome` is NULL.",
        )


def _statement(spec: CohortSpec, features: tuple[str, ...], subjects: str, weights: list[str]) -> str:
    subject = spec.subject_of(spec.subject_table)
    taken = tuple(dict.fromkeys((*spec.key, subject, *features)))
    columns = [f"f.{quoted(name)}" for name in spec.key]
    if subject not in spec.key:
        columns.append(f"s.{quoted(subject)}")
    for name in features:
        number = f"CAST(f.{quoted(name)} AS DOUBLE)"
        columns.append(f"CASE WHEN isnan({number}) THEN NULL ELSE {number} END AS {quoted(name)}")
    columns.append("CAST(o.outcome AS BIGINT) AS outcome")
    if weights:
        columns.append(f"{' * '.join(weights)} AS {CASE_WEIGHT}")
    if spec.group is not None:
        columns.append(f"CAST(s.{quoted(spec.group)} AS VARCHAR) AS {KEPT_TOGETHER}")
    columns.extend(
        f"CAST(s.{quoted(name)} AS VARCHAR) AS {quoted(_group_column(name, taken=taken))}" for name in spec.protected
    )
    same_unit = [
        " AND ".join(f"f.{quoted(name)} IS NOT DISTINCT FROM {other}.{quoted(name)}" for name in spec.key)
        for other in ("o", "s")
    ]
    return (
        f"SELECT {', '.join(columns)} FROM model.features AS f JOIN model.outcomes AS o ON {same_unit[0]} "
        f"JOIN {subjects} AS s ON {same_unit[1]} WHERE o.exclusion IS NULL"
    )


def _group_column(attribute: str, *, taken: tuple[str, ...]) -> str:
    return f"{attribute}_group" if attribute in taken else attribute
