"""From validated tables to what a model reads: ``features``, and ``cohort_overview`` for the platform's eye.

The SQL lives in ``dbt_like_sql/``; running it is the work of ``clinical_assets.warehouse``.
"""

import dagster as dg

from clinical_assets.assets import evidence
from clinical_assets.assets.partitions import COHORTS
from clinical_assets.assets.resources import Platform, told

GROUP = "features"
OWNERS = ["team:data-platform"]


@dg.asset(
    partitions_def=COHORTS,
    group_name=GROUP,
    owners=OWNERS,
    deps=["validated_records"],
    kinds={"duckdb", "sql"},
    code_version="1",
    tags={"layer": "model"},
)
def features(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
    """Numbers that a model may read, and the outcome it learns: one row per prediction unit.

    The statement sees only what was known when the prediction is made: columns known later do not exist for it, and
    rows recorded later are hidden. The same statement runs in training and in scoring. Units that cannot
    be used for training (censored, not at risk) keep their features and carry the reason.
    """
    from clinical_assets.warehouse.features import build_features
    from clinical_assets.warehouse.pictures import distributions_picture, missing_shares, missingness_picture

    cohort = platform.cohort(context.partition_key)
    spec = cohort.spec
    with told(), cohort.warehouse.exclusive():
        built = build_features(spec, cohort.sql, cohort.warehouse)
        with cohort.warehouse.reader() as connection:
            previews = evidence.preview(connection, "model.features", clear=cohort.in_clear(built.feature_columns))
            shares = missing_shares(connection, "model.features", built.feature_columns)
            distributions = distributions_picture(connection, "model.features", built.feature_columns)
    outcomes = [{"outcome": label, "units": count} for label, count in built.outcome_counts.items()]
    outcomes += [{"outcome": f"not used: {why}", "units": count} for why, count in built.exclusions.items()]
    lineage = {
        column: [
            dg.TableColumnDep(
                asset_key=dg.AssetKey("validated_records"),
                column_name=name if len(spec.tables) == 1 else f"{table}.{name}",
            )
            for table, name in sources
        ]
        for column, sources in built.lineage.items()
    }
    return dg.MaterializeResult(
        data_version=dg.DataVersion(built.digest),
        metadata={
            "dagster/row_count": built.rows,
            "dagster/column_schema": dg.TableSchema(
                columns=[
                    dg.TableColumn(name=column.name, type=column.type, description=column.description or None)
                    for column in built.columns
                ]
            ),
            "dagster/column_lineage": dg.TableColumnLineage(deps_by_column=lineage),
            "outcome": evidence.records_table(outcomes),
            "feature statement": dg.MetadataValue.md(f"```sql\n{built.features_sql}\n```"),
            "outcome statement": dg.MetadataValue.md(f"```sql\n{built.outcome_sql}\n```"),
            **evidence.identity(spec),
            **previews,
            **evidence.picture(missingness_picture(shares), "missing values"),
            **evidence.picture(distributions, "distributions"),
        },
    )


@dg.asset(
    partitions_def=COHORTS,
    group_name=GROUP,
    owners=OWNERS,
    deps=[features, "quarantined_records"],
    kinds={"duckdb", "sql"},
    code_version="1",
    tags={"layer": "marts"},
)
def cohort_overview(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
    """The cohort in one row: size, events, missingness, refusals, freshness. The platform page is made of these."""
    cohort = platform.cohort(context.partition_key)
    with told(), cohort.warehouse.exclusive():
        cohort.sql.run(cohort.warehouse, "cohort_overview")
        row = cohort.warehouse.query("SELECT * FROM marts.cohort_overview").row(0, named=True)
    numbers = {name: float(value) for name, value in row.items() if isinstance(value, int | float)}
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": 1,
            "overview": evidence.records_table([row]),
            **numbers,
            **evidence.identity(cohort.spec),
        }
    )
