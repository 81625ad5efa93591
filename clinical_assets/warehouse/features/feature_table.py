"""What training reads: features, outcome and protected attributes of every unit that may be used, in key order.

What belongs here: joining the stored tables. Building them is the work of ``features``.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

import duckdb

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.cohorts.tables import CASE_WEIGHT, EVENT_CODE, FOLLOW_UP_DAYS, KEPT_TOGETHER, RECORD_WEIGHT
from clinical_assets.foundation.errors import WarehouseError
from clinical_assets.warehouse.snapshots import ingestion_log
from clinical_assets.warehouse.snapshots.digests import column_families, table_digest
from clinical_assets.warehouse.store.sql_text import quoted
from clinical_assets.warehouse.store.warehouse import Warehouse

if TYPE_CHECKING:
    import polars

#: Why ``fixed_horizon`` gives a unit at risk no outcome; models of times to an event learn from it all the same.
CENSORED = "censored before the horizon"
_NUMBERS = ("integer", "real", "boolean", "decimal")


@dataclass(frozen=True)
class FeatureTable:
    """One row per prediction unit whose outcome is known, sorted by key, and those censored before it was.

    Attributes
    ----------
    frame : polars.DataFrame
        Key columns, subject column, features (Float64, null is missing), ``outcome`` (Int64: 0, 1, ...),
        ``case_weight`` (Float64) where the description or the outcome has weights (their product where both have),
        ``kept_together`` (String) where a column has role group, protected attributes (String, null is unknown).
        Where the outcome is a time to an event: ``follow_up_days`` (Float64: from the prediction, after the horizon
        too), ``event_code`` (Int64: 0 censored, 1 the event, 2 a competing event), and ``record_weight`` (Float64),
        the case weight by the description alone, where it has one.
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
        Digest of the content of both frames.
    censored : polars.DataFrame or None
        Columns of `frame`, of the units that were censored before the horizon: ``outcome`` and ``case_weight`` are
        null. None where the outcome is no time to an event.
    """

    frame: polars.DataFrame
    key: tuple[str, ...]
    subject: str
    feature_columns: tuple[str, ...]
    protected: tuple[str, ...]
    digest: str
    censored: polars.DataFrame | None = None

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
        outcome_columns = column_families(connection, "model.outcomes", exclude=spec.key)
        timed = spec.time_to_event is not None and {FOLLOW_UP_DAYS, EVENT_CODE} <= outcome_columns.keys()
        weights = _weights(spec, outcome_columns)
        _refuse_taken_names(spec, features, weighted=bool(weights), timed=timed)
        statement = _statement(spec, features, subjects, weights, timed=timed)
        frame = connection.execute(f"{statement} ORDER BY {', '.join(f'f.{quoted(name)}' for name in spec.key)}").pl()
        usable = connection.execute(f"SELECT count(*) FROM model.outcomes AS o WHERE {_chosen(timed)}").fetchone()
        if usable is None or usable[0] != frame.height or frame.select(spec.key).is_duplicated().any():
            raise WarehouseError(
                f"Cohort {spec.name!r} has {usable[0] if usable else 0} units with a known outcome, but features and "
                f"{subjects} give {frame.height} rows for them: the tables are of different age.",
                cure=f"Build them again: clinical-assets materialize {spec.name} --select features",
            )
        digest = table_digest(connection, f"({statement})", exclude=())
    known = frame["outcome"].is_not_null()
    return FeatureTable(
        frame=frame.filter(known),
        key=spec.key,
        subject=spec.subject_of(spec.subject_table),
        feature_columns=features,
        protected=spec.protected,
        digest=digest,
        censored=frame.filter(~known) if timed else None,
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


def _chosen(timed: bool) -> str:
    return f"(o.exclusion IS NULL OR o.exclusion = '{CENSORED}')" if timed else "o.exclusion IS NULL"


def _weights(spec: CohortSpec, outcome_columns: Collection[str]) -> list[str]:
    """What a unit counts, as factors in SQL: its case weight, and for how many censored ones it stands."""
    factors = [] if spec.weight is None else [f"CAST(s.{quoted(spec.weight)} AS DOUBLE)"]
    if CASE_WEIGHT in outcome_columns:
        factors.append(f"o.{CASE_WEIGHT}")
    return factors


def _refuse_taken_names(spec: CohortSpec, features: tuple[str, ...], *, weighted: bool, timed: bool) -> None:
    for used, name, what in (
        (weighted, CASE_WEIGHT, "case weights are"),
        (timed and spec.weight is not None, RECORD_WEIGHT, "case weights of records are"),
        (timed, FOLLOW_UP_DAYS, "time of follow-up is"),
        (timed, EVENT_CODE, "what ended the follow-up is"),
        (spec.group is not None, KEPT_TOGETHER, "what keeps records together is"),
    ):
        if used and name in features:
            raise WarehouseError(
                f"model.features: a feature of cohort {spec.name!r} is called {name}, as the {what}.",
                cure="Give the feature another name.",
            )


def _check_outcomes(connection: duckdb.DuckDBPyConnection, spec: CohortSpec) -> None:
    found = connection.execute(
        "SELECT count(*) FROM model.outcomes WHERE exclusion IS NULL AND outcome IS NULL"
    ).fetchone()
    if found and found[0]:
        raise WarehouseError(
            f"model.outcomes: {found[0]} units of cohort {spec.name!r} have neither an outcome nor a reason why not.",
            cure=f"Let the outcome model {spec.outcome!r} give a reason in `exclusion` wherever `outcome` is NULL.",
        )


def _statement(spec: CohortSpec, features: tuple[str, ...], subjects: str, weights: list[str], *, timed: bool) -> str:
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
    if timed:
        columns += [f"CAST(o.{FOLLOW_UP_DAYS} AS DOUBLE) AS {FOLLOW_UP_DAYS}"]
        columns += [f"CAST(o.{EVENT_CODE} AS BIGINT) AS {EVENT_CODE}"]
        columns += [] if spec.weight is None else [f"{weights[0]} AS {RECORD_WEIGHT}"]
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
        f"JOIN {subjects} AS s ON {same_unit[1]} WHERE {_chosen(timed)}"
    )


def _group_column(attribute: str, *, taken: tuple[str, ...]) -> str:
    return f"{attribute}_group" if attribute in taken else attribute
