"""From a source to validated tables: ``raw_records`` -> ``validated_records`` (+ ``quarantined_records``).

What belongs here: what Dagster needs to know. Reading, keeping and checking records are the work of
``clinical_assets.warehouse``.
"""

from typing import Any

import dagster as dg

from clinical_assets.defs.shared import asset_metadata, freshness, ledger_events
from clinical_assets.defs.shared.cohort_asset import AssetPart, AssetResult, cohort_asset
from clinical_assets.defs.shared.made_from import MadeFrom, has_warehouse, record_parts, source_parts
from clinical_assets.workspace import CohortHandle

GROUP = "cohorts"
OWNER = "team:data-platform"


@cohort_asset(
    group=GROUP,
    owner=OWNER,
    kinds={"duckdb", "parquet"},
    tags={"layer": "raw"},
    exclusive=True,
    freshness=freshness.SOURCE,
    made_from=MadeFrom(source_parts, has_warehouse, also=("incoming_records",)),
)
def raw_records(context: dg.AssetExecutionContext, cohort: CohortHandle) -> AssetResult:
    """Records of the cohort exactly as the source gave them: one row per record of each source table.

    The same rows are kept as an unchanged Parquet snapshot under the digest of their content, so that the data
    behind any later model can be had again. The data version is that digest: the same records in another order, or
    read on another machine, have the same version.
    """
    from clinical_assets.records.ledger.facts.intake import IngestionFacts, TableCount
    from clinical_assets.warehouse.intake.ingestion import ingest
    from clinical_assets.warehouse.validation.findings import confidential

    report = ingest(cohort.spec, settings=cohort.settings, folder=cohort.entry.folder, progress=context.log.info)
    with cohort.warehouse.reader() as connection:
        relations = {name: f'raw."{name}"' for name in cohort.spec.tables}
        schema = asset_metadata.found_schema(connection, relations)
        previews: dict[str, Any] = {}
        for name, table in cohort.spec.tables.items():
            clear = {
                column.source_name or column_name
                for column_name, column in table.columns.items()
                if column_name not in confidential(table)
            }
            previews |= asset_metadata.preview(connection, relations[name], cohort=cohort, clear=clear)
    counted = {
        name: TableCount(rows=table.rows, unreadable_lines=table.rejects) for name, table in report.tables.items()
    }
    ledger_events.record(context, cohort, "ingestion", digest=report.digest, facts=IngestionFacts(tables=counted))
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
    return AssetResult(
        report.digest,
        {
            "dagster/row_count": sum(table.rows for table in report.tables.values()),
            "dagster/column_schema": schema,
            "tables": rows,
            "unreadable lines": sum(table.rejects for table in report.tables.values()),
            **previews,
        },
    )


@cohort_asset(
    group=GROUP,
    owner=OWNER,
    exclusive=True,
    made_from=MadeFrom(record_parts, has_warehouse),
    parts=[
        AssetPart(
            "validated_records",
            deps=["raw_records"],
            kinds=frozenset({"duckdb", "pandera"}),
            tags={"layer": "validated"},
            description=(
                "Records that keep every promise of the cohort's description: one row per accepted record of each "
                "table, typed, in the units that the column names carry. Values that stand for *not measured* are "
                "missing and counted. Row numbers lead back to the raw record."
            ),
        ),
        AssetPart(
            "quarantined_records",
            deps=["raw_records"],
            kinds=frozenset({"duckdb"}),
            tags={"layer": "quarantine"},
            description=(
                "Records that were refused, whole and unchanged: one row per refused record, with one finding per "
                "broken promise (table, row, column, rule, value, cure). Every raw record is either here or "
                "validated, never both."
            ),
        ),
    ],
)
def record_validation(context: dg.AssetExecutionContext, cohort: CohortHandle) -> dict[str, AssetResult]:
    """Check every raw record against the cohort's description; accept it or put it in quarantine."""
    from clinical_assets.records.ledger.facts.intake import QuarantineFacts
    from clinical_assets.warehouse.features.feature_plots import (
        distributions_picture,
        missing_shares,
        missingness_picture,
    )
    from clinical_assets.warehouse.validation.findings import confidential
    from clinical_assets.warehouse.validation.validation import validate_cohort

    spec = cohort.spec
    report = validate_cohort(spec, cohort.warehouse)
    assert report.digest is not None  # it raises where it keeps nothing
    previews: dict[str, Any] = {}
    pictures: dict[str, bytes | None] = {}
    shares: dict[str, float | None] = {}
    with cohort.warehouse.reader() as connection:
        for name, table in spec.tables.items():
            relation = f'validated."{name}"'
            columns = [column for column in table.columns if column not in confidential(table)]
            previews |= asset_metadata.preview(connection, relation, cohort=cohort, clear=columns)
            counted = missing_shares(connection, relation, columns)
            shares |= {f"{name}.{column}": share for column, share in counted.items()}
            pictures[f"distributions of {name}"] = distributions_picture(connection, relation, columns)
        findings = connection.execute(
            "SELECT table_name, column_name, rule, count(*) AS findings, min(_row) AS first_record, "
            "any_value(reason ORDER BY _row) AS example, any_value(cure ORDER BY _row) AS cure "
            "FROM quarantine.findings GROUP BY ALL ORDER BY findings DESC, table_name, column_name, rule LIMIT 50"
        ).pl()
    refused = {name: table.rows_refused for name, table in report.tables.items()}
    if any(refused.values()):
        facts = QuarantineFacts(refused=refused)
        ledger_events.record(context, cohort, "quarantine", digest=report.quarantine_digest, facts=facts)
    rows = [
        {
            "table": name,
            "read": table.rows_in,
            "validated": table.rows_valid,
            "refused": table.rows_refused,
            "values that stood for missing": sum(table.missing_made.values()),
            "implausible values kept": sum(table.implausible.values()),
            "records corrected": sum(table.corrected.values()),
        }
        for name, table in report.tables.items()
    ]
    hints = [
        {"table": name, "values": count, "hint": hint}
        for name, table in report.tables.items()
        for hint, count in table.unit_hints.items()
    ]
    corrections = [
        {"table": name, "correction": one.name, "records": report.tables[name].corrected.get(one.name, 0)}
        | {"reason": one.reason}
        for name, table in spec.tables.items()
        for one in table.corrections
    ]
    return {
        "validated_records": AssetResult(
            report.digest,
            {
                "dagster/row_count": sum(table.rows_valid for table in report.tables.values()),
                "dagster/column_schema": asset_metadata.all_tables_schema(spec),
                "dagster/column_lineage": asset_metadata.validated_lineage(spec),
                "tables": rows,
                "units to look at": hints,
                "corrections": corrections,
                **previews,
                **pictures,
                "missing values": missingness_picture(shares),
            },
        ),
        "quarantined_records": AssetResult(
            report.quarantine_digest,
            {"dagster/row_count": sum(refused.values()), "findings": findings.to_dicts()},
        ),
    }
