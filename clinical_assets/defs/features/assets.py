"""From validated tables to what a model reads: ``features``, and ``cohort_overview`` for the platform's eye.

The SQL lives in ``dbt_like_sql/``; running it is the work of ``clinical_assets.warehouse``.
"""

import dagster as dg

from clinical_assets.defs.shared import asset_metadata
from clinical_assets.defs.shared.cohort_asset import AssetResult, cohort_asset
from clinical_assets.defs.shared.made_from import MadeFrom, feature_parts, has_warehouse, overview_parts
from clinical_assets.workspace import CohortHandle

GROUP = "features"
OWNER = "team:data-platform"


@cohort_asset(
    group=GROUP,
    owner=OWNER,
    deps=["validated_records"],
    kinds={"duckdb", "sql"},
    tags={"layer": "model"},
    exclusive=True,
    made_from=MadeFrom(feature_parts, has_warehouse),
)
def features(_: dg.AssetExecutionContext, cohort: CohortHandle) -> AssetResult:
    """Numbers that a model may read, and the outcome it learns: one row per prediction unit.

    The statement sees only what was known when the prediction is made: columns known later do not exist for it, and
    rows recorded later are hidden. The same statement runs in training and in scoring. Units that cannot
    be used for training (censored, not at risk) keep their features and carry the reason.
    """
    from clinical_assets.warehouse.features.feature_plots import (
        distributions_picture,
        missing_shares,
        missingness_picture,
    )
    from clinical_assets.warehouse.features.features import build_features

    built = build_features(cohort.spec, cohort.sql, cohort.warehouse)
    with cohort.warehouse.reader() as connection:
        previews = asset_metadata.preview(connection, "model.features", cohort=cohort, clear=built.feature_columns)
        shares = missing_shares(connection, "model.features", built.feature_columns)
        distributions = distributions_picture(connection, "model.features", built.feature_columns)
    outcomes = [{"outcome": label, "units": count} for label, count in built.outcome_counts.items()]
    outcomes += [{"outcome": f"not used: {why}", "units": count} for why, count in built.exclusions.items()]
    single = len(cohort.spec.tables) == 1
    lineage = {
        column: [
            dg.TableColumnDep(
                asset_key=dg.AssetKey("validated_records"), column_name=name if single else f"{table}.{name}"
            )
            for table, name in sources
        ]
        for column, sources in built.lineage.items()
    }
    return AssetResult(
        built.digest,
        {
            "dagster/row_count": built.rows,
            "dagster/column_schema": dg.TableSchema(
                columns=[
                    dg.TableColumn(name=column.name, type=column.type, description=column.description or None)
                    for column in built.columns
                ]
            ),
            "dagster/column_lineage": dg.TableColumnLineage(deps_by_column=lineage),
            "outcome": outcomes,
            "feature statement": dg.MetadataValue.md(f"```sql\n{built.features_sql}\n```"),
            "outcome statement": dg.MetadataValue.md(f"```sql\n{built.outcome_sql}\n```"),
            **previews,
            "missing values": missingness_picture(shares),
            "distributions": distributions,
        },
    )


@cohort_asset(
    group=GROUP,
    owner=OWNER,
    deps=["features", "quarantined_records"],
    kinds={"duckdb", "sql"},
    tags={"layer": "marts"},
    exclusive=True,
    made_from=MadeFrom(overview_parts, has_warehouse),
)
def cohort_overview(_: dg.AssetExecutionContext, cohort: CohortHandle) -> AssetResult:
    """The cohort in one row: size, events, missingness, refusals, freshness. The platform page is made of these."""
    cohort.sql.run(cohort.warehouse, "cohort_overview")
    row = cohort.warehouse.query("SELECT * FROM marts.cohort_overview").row(0, named=True)
    numbers = {name: float(value) for name, value in row.items() if isinstance(value, int | float)}
    return AssetResult(metadata={"dagster/row_count": 1, "overview": [row], **numbers})
