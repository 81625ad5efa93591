"""From models to the two tables that training reads: ``model.features`` and ``model.outcomes``.

What belongs here: running the cohort's feature and outcome model in one transaction and refusing what must never reach
a model: lost or doubled units, text, infinite numbers, identifiers, features that depend on other patients.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.canonical import value_digest
from clinical_assets.warehouse.features.feature_checks import (
    FEATURES,
    OUTCOME_EXTRAS,
    OUTCOMES,
    check_finite,
    check_index_dates,
    check_outcome_columns,
    check_units,
    count_outcomes,
    feature_columns_of,
    refuse_identifiers,
    refuse_rare_words,
)
from clinical_assets.warehouse.features.row_independence import check_one_at_a_time
from clinical_assets.warehouse.snapshots import ingestion_log
from clinical_assets.warehouse.snapshots.digests import table_digest
from clinical_assets.warehouse.sql.guard.confined import write_result
from clinical_assets.warehouse.sql.lineage import ColumnOrigin
from clinical_assets.warehouse.sql.model import CompiledModel
from clinical_assets.warehouse.sql.project import ModelColumn, SqlProject
from clinical_assets.warehouse.store.sql_text import quoted
from clinical_assets.warehouse.store.warehouse import Warehouse

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True)
class FeatureBuild:
    """What was written, and from what.

    Attributes
    ----------
    rows : int
        Prediction units.
    feature_columns : tuple of str
        Names of the features, in the order of the model.
    columns : tuple of ModelColumn
        Name, type and description of the key and feature columns.
    outcome_counts : dict
        Units that may be used for training, by the label of their class, in the order of the classes.
    exclusions : dict
        Units that may not, by reason, most frequent first.
    lineage : dict
        Validated columns that each column is made of.
    compared_alone : int
        Units whose features were computed alone and found equal.
    features_sql, outcome_sql : str
        The statements.
    features_digest, outcomes_digest : str
        Of the tables' content.
    digest : str
        Of both tables and both statements together.
    """

    rows: int
    feature_columns: tuple[str, ...]
    columns: tuple[ModelColumn, ...]
    outcome_counts: dict[str, int]
    exclusions: dict[str, int]
    lineage: dict[str, tuple[ColumnOrigin, ...]]
    compared_alone: int
    features_sql: str
    outcome_sql: str
    features_digest: str
    outcomes_digest: str
    digest: str

    @property
    def used(self) -> int:
        """Units that may be used for training."""
        return sum(self.outcome_counts.values())


def build_features(spec: CohortSpec, project: SqlProject, warehouse: Warehouse) -> FeatureBuild:
    """Write ``model.features`` and ``model.outcomes`` in one transaction.

    Raises
    ------
    SqlModelError
        When a model cannot be run or yields what must not reach a model; the old tables then stay.
    InsufficientData
        When no unit may be used for training.
    WarehouseError
        When the records are a stand-in's and its files are there by now, or the other way round.
    """
    names = check_models(spec, project)
    with warehouse.exclusive(), warehouse.writer() as connection:
        ingestion_log.refuse_other_origin(connection, spec)
        return build_on(connection, spec, project, names=names)


def check_models(spec: CohortSpec, project: SqlProject) -> tuple[str, ...]:
    """Everything that can be said of the cohort's models before there is data.

    Returns
    -------
    tuple of str
        Names of the features.

    Raises
    ------
    SqlModelError
        When a model cannot be compiled or bound, yields other columns than it should, or makes a feature of an
        identifier.
    """
    names = feature_columns_of(spec, project.compile(project.feature_model), project.types(project.feature_model))
    refuse_identifiers(spec, project.compile(project.feature_model), names)
    check_outcome_columns(spec, project.compile(project.outcome_model), project.types(project.outcome_model))
    return names


def build_on(
    connection: duckdb.DuckDBPyConnection, spec: CohortSpec, project: SqlProject, *, names: Sequence[str] | None = None
) -> FeatureBuild:
    """As ``build_features``, on a connection that has the validated tables; the transaction is the caller's.

    ``names`` are the features as ``check_models`` gave them, when it was called already.
    """
    names = check_models(spec, project) if names is None else tuple(names)
    features, outcome = project.compile(project.feature_model), project.compile(project.outcome_model)
    connection.execute("CREATE SCHEMA IF NOT EXISTS model")
    key = [quoted(name) for name in spec.key]
    numbers = [f"CAST({quoted(name)} AS DOUBLE) AS {quoted(name)}" for name in names]
    write_result(connection, FEATURES, features, columns=[*key, *numbers], order=key)
    outcomes = ['CAST("outcome" AS INTEGER) AS "outcome"', 'CAST("exclusion" AS VARCHAR) AS "exclusion"']
    yielded = project.types(project.outcome_model)
    outcomes += [f"CAST({name} AS {kind}) AS {name}" for name, kind in OUTCOME_EXTRAS.items() if name in yielded]
    write_result(connection, OUTCOMES, outcome, columns=[*key, *outcomes], order=key)
    rows = check_units(connection, spec, FEATURES, features)
    check_units(connection, spec, OUTCOMES, outcome)
    check_finite(connection, features, names)
    refuse_rare_words(connection, spec)
    counts, exclusions = count_outcomes(connection, spec, outcome)
    check_index_dates(connection, spec)
    compared = check_one_at_a_time(connection, spec, features)
    digests = (table_digest(connection, FEATURES), table_digest(connection, OUTCOMES))
    return FeatureBuild(
        rows=rows,
        feature_columns=names,
        columns=_described(project, features, (*spec.key, *names)),
        outcome_counts=counts,
        exclusions=exclusions,
        lineage=project.lineage(features.name),
        compared_alone=compared,
        features_sql=features.sql,
        outcome_sql=outcome.sql,
        features_digest=digests[0],
        outcomes_digest=digests[1],
        digest=value_digest({"features": digests[0], "outcomes": digests[1], "sql": [features.digest, outcome.digest]}),
    )


def _described(project: SqlProject, features: CompiledModel, stored: Sequence[str]) -> tuple[ModelColumn, ...]:
    described = {column.name: column for column in project.columns(features.name)}
    key = set(project.spec.key)
    return tuple(described[name]._replace(type=described[name].type if name in key else "DOUBLE") for name in stored)
