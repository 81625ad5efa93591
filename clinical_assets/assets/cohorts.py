"""From a source to validated tables: ``raw_records`` -> ``validated_records`` (+ ``quarantined_records``).

What belongs here: what Dagster needs to know. Reading, keeping and checking records are the work of
``clinical_assets.warehouse``.
"""

from collections.abc import Iterator

import dagster as dg

from clinical_assets.assets import audit, evidence, freshness
from clinical_assets.assets.partitions import COHORTS
from clinical_assets.assets.resources import Platform, told

GROUP = "cohorts"
OWNERS = ["team:data-platform"]


@dg.asset(
    partitions_def=COHORTS,
    group_name=GROUP,
    owners=OWNERS,
    kinds={"duckdb", "parquet"},
    code_version="1",
    tags={"layer": "raw"},
    freshness_policy=freshness.SOURCE,
)
def raw_records(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
    """Records of the cohort exactly as the source gave them: one row per record of each source table.

    The same rows are kept as an unchanged Parquet snapshot under the digest of their content, so that the data
    behind any later model can be had again. The data version is that digest: the same records in another order, or
    read on another machine, have the same version.
    """
    from clinical_assets.warehouse.findings import confidential
    from clinical_assets.warehouse.ingestion import ingest

    cohort = platform.cohort(context.partition_key)
    with told(), cohort.warehouse.exclusive():
        report = ingest(cohort.spec, settings=cohort.settings, folder=cohort.entry.folder, progress=context.log.info)
        with cohort.warehouse.reader() as connection:
            relations = {name: f'raw."{name}"' for name in cohort.spec.tables}
            schema = evidence.found_schema(connection, relations)
            previews: dict[str, dg.MetadataValue] = {}
            for name, table in cohort.spec.tables.items():
                clear = {
                    column.source_name or column_name
                    for column_name, column in table.columns.items()
                    if column_name not in confidential(table)
                }
                previews |= evidence.preview(connection, relations[name], clear=cohort.in_clear(clear))
        counted = {
            name: {"rows": table.rows, "unreadable_lines": table.rejects} for name, table in report.tables.items()
        }
        audit.record(context, cohort, "ingestion", digest=report.digest, facts={"tables": counted})
    rows = [
        {
            "table": name,
            "rows": table.rows,
            "columns": len(table.columns),
            "unreadable lines": table.rejects,
            "files": ", ".join(file.name for file in table.files) or "-",
            "digest": table.digest,
            "seconds": round(table.seconds, 3),
        }
        for name, table in report.tables.items()
    ]
    return dg.MaterializeResult(
        data_version=dg.DataVersion(report.digest),
        metadata={
            "dagster/row_count": sum(table.rows for table in report.tables.values()),
            "dagster/column_schema": schema,
            "tables": evidence.records_table(rows),
            "unreadable lines": sum(table.rejects for table in report.tables.values()),
            **evidence.identity(cohort.spec),
            **previews,
        },
    )


@dg.multi_asset(
    name="record_validation",
    partitions_def=COHORTS,
    group_name=GROUP,
    specs=[
        dg.AssetSpec(
            "validated_records",
            deps=[raw_records],
            owners=OWNERS,
            kinds={"duckdb", "pandera"},
            code_version="1",
            tags={"layer": "validated"},
            description=(
                "Records that keep every promise of the cohort's description: one row per accepted record of each "
                "table, typed, in the units that the column names carry. Values that stand for *not measured* are "
                "missing and counted. Row numbers lead back to the raw record."
            ),
        ),
        dg.AssetSpec(
            "quarantined_records",
            deps=[raw_records],
            owners=OWNERS,
            kinds={"duckdb"},
            code_version="1",
            tags={"layer": "quarantine"},
            description=(
                "Records that were refused, whole and unchanged: one row per refused record, with one finding per "
                "broken promise (table, row, column, rule, value, cure). Every raw record is either here or "
                "validated, never both."
            ),
        ),
    ],
)
def record_validation(context: dg.AssetExecutionContext, platform: Platform) -> Iterator[dg.MaterializeResult]:
    """Check every raw record against the cohort's description; accept it or put it in quarantine."""
    from clinical_assets.warehouse.findings import confidential
    from clinical_assets.warehouse.pictures import distributions_picture, missing_shares, missingness_picture
    from clinical_assets.warehouse.validation import validate_cohort

    cohort = platform.cohort(context.partition_key)
    spec = cohort.spec
    with told(), cohort.warehouse.exclusive():
        report = validate_cohort(spec, cohort.warehouse)
        previews: dict[str, dg.MetadataValue] = {}
        pictures: dict[str, dg.MetadataValue] = {}
        shares: dict[str, float | None] = {}
        with cohort.warehouse.reader() as connection:
            for name, table in spec.tables.items():
                relation = f'validated."{name}"'
                shown = [column for column in table.columns if column not in confidential(table)]
                previews |= evidence.preview(connection, relation, clear=cohort.in_clear(shown))
                counted = missing_shares(connection, relation, shown)
                shares |= {f"{name}.{column}": share for column, share in counted.items()}
                pictures |= evidence.picture(
                    distributions_picture(connection, relation, shown), f"distributions of {name}"
                )
            pictures |= evidence.picture(missingness_picture(shares), "missing values")
            findings = connection.execute(
                "SELECT table_name, column_name, rule, count(*) AS findings, min(_row) AS first_record, "
                "any_value(reason ORDER BY _row) AS example, any_value(cure ORDER BY _row) AS cure "
                "FROM quarantine.findings GROUP BY ALL ORDER BY findings DESC, table_name, column_name, rule LIMIT 50"
            ).pl()
        refused_by_table = {name: table.rows_refused for name, table in report.tables.items()}
        if any(refused_by_table.values()):
            audit.record(
                context, cohort, "quarantine", digest=report.quarantine_digest, facts={"refused": refused_by_table}
            )
    rows = [
        {
            "table": name,
            "read": table.rows_in,
            "validated": table.rows_valid,
            "refused": table.rows_refused,
            "values that stood for missing": sum(table.missing_made.values()),
            "implausible values kept": sum(table.implausible.values()),
        }
        for name, table in report.tables.items()
    ]
    hints = evidence.records_table(
        [
            {"table": name, "values": count, "hint": hint}
            for name, table in report.tables.items()
            for hint, count in table.unit_hints.items()
        ]
    )
    yield dg.MaterializeResult(
        asset_key="validated_records",
        data_version=dg.DataVersion(report.digest),
        metadata={
            "dagster/row_count": sum(table.rows_valid for table in report.tables.values()),
            "dagster/column_schema": evidence.all_tables_schema(spec),
            "dagster/column_lineage": evidence.validated_lineage(spec),
            "tables": evidence.records_table(rows),
            **({"units to look at": hints} if hints else {}),
            **evidence.identity(spec),
            **previews,
            **pictures,
        },
    )
    refused = sum(table.rows_refused for table in report.tables.values())
    found = evidence.records_table(findings.to_dicts())
    yield dg.MaterializeResult(
        asset_key="quarantined_records",
        data_version=dg.DataVersion(report.quarantine_digest),
        metadata={
            "dagster/row_count": refused,
            **({"findings": found} if found else {}),
            **evidence.identity(spec),
        },
    )
