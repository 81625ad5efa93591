"""Promises about records and features, as checks that can fail.

A check looks at the tables themselves, not at what the step that wrote them said, so that it can be run again at any
time. Blocking ones stop the rest of their own run; whoever promotes or serves looks again.
"""

from typing import TYPE_CHECKING

import dagster as dg

from clinical_assets.assets import evidence
from clinical_assets.assets.partitions import COHORTS
from clinical_assets.assets.resources import Platform, told

if TYPE_CHECKING:
    from clinical_assets.warehouse.sql_tests import Kind, SqlTestResult

SQL_TESTS: "tuple[Kind, ...]" = ("not_null", "unique", "accepted_values", "relationships", "expression")


@dg.asset_check(asset="raw_records", partitions_def=COHORTS, blocking=True)
def snapshot_is_restorable(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    """The newest snapshot of every table still has the bytes and the content that its name promises."""
    from clinical_assets.errors import WarehouseError
    from clinical_assets.warehouse.snapshot_files import list_snapshots
    from clinical_assets.warehouse.snapshots import verify_snapshot

    cohort = platform.cohort(context.partition_key)
    sound, wrong = [], []
    with told():
        for table in cohort.spec.tables:
            try:
                kept = list_snapshots(cohort.name, table, settings=cohort.settings)
                if kept:
                    verify_snapshot(kept[0], settings=cohort.settings)
                    sound.append(kept[0])
                else:
                    wrong.append(f"There is no snapshot of table {table!r}.")
            except WarehouseError as error:
                wrong.append(str(error))
    return dg.AssetCheckResult(
        passed=not wrong,
        description="\n".join(wrong) or None,
        metadata={"snapshots verified": len(sound), "rows": sum(snapshot.rows for snapshot in sound)},
    )


@dg.asset_check(asset="validated_records", partitions_def=COHORTS, blocking=True)
def no_record_is_lost(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    """Every raw record is either validated or in quarantine, and none is in both."""
    # Literals, because bound parameters would import pandas.
    from clinical_assets.warehouse.sql_text import literal

    cohort = platform.cohort(context.partition_key)
    rows = []
    with told(), cohort.warehouse.reader() as connection:
        for name in cohort.spec.tables:
            raw, validated, refused, both = connection.execute(
                f"""
                SELECT (SELECT count(*) FROM raw."{name}"), (SELECT count(*) FROM validated."{name}"),
                       (SELECT count(_row) FROM quarantine.records WHERE table_name = {literal(name)}),
                       (SELECT count(*) FROM validated."{name}" AS v JOIN quarantine.records AS q
                          ON q.table_name = {literal(name)} AND q._row = v._row)
                """
            ).fetchone() or (0, 0, 0, 0)
            rows.append({"table": name, "raw": raw, "validated": validated, "refused": refused, "in both": both})
    wrong = [
        f"table {row['table']}: {row['raw']} raw, {row['validated']} validated, {row['refused']} refused records, "
        f"{row['in both']} of them both"
        for row in rows
        if row["raw"] != row["validated"] + row["refused"] or row["in both"]
    ]
    return dg.AssetCheckResult(
        passed=not wrong, description="; ".join(wrong) or None, metadata={"counts": evidence.records_table(rows)}
    )


@dg.asset_check(asset="validated_records", partitions_def=COHORTS, blocking=True)
def refused_share_is_small(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    """No table has more refused records than the cohort's description allows."""
    # Literals, because bound parameters would import pandas.
    from clinical_assets.warehouse.sql_text import literal

    cohort = platform.cohort(context.partition_key)
    rows = []
    with told(), cohort.warehouse.reader() as connection:
        for name, table in cohort.spec.tables.items():
            raw, refused, unreadable = connection.execute(
                f"""SELECT (SELECT count(*) FROM raw."{name}"), count(_row), count(*) - count(_row)
                    FROM quarantine.records WHERE table_name = {literal(name)}"""
            ).fetchone() or (0, 0, 0)
            # A line that could not be read is a refused record, too, though it never became a raw one.
            share = (refused + unreadable) / (raw + unreadable) if raw + unreadable else None
            rows.append(
                {
                    "table": name,
                    "raw": raw,
                    "refused": refused,
                    "unreadable lines": unreadable,
                    "share": share,
                    "limit": table.refused_limit,
                }
            )
    wrong = [
        f"table {row['table']}: "
        + ("no records" if row["share"] is None else f"{row['share']:.1%} refused, {row['limit']:.1%} allowed")
        for row in rows
        if row["share"] is None or row["share"] > row["limit"]
    ]
    return dg.AssetCheckResult(
        passed=not wrong, description="; ".join(wrong) or None, metadata={"shares": evidence.records_table(rows)}
    )


@dg.asset_check(asset="validated_records", partitions_def=COHORTS)
def values_are_plausible(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    """Values are within the plausible limits of the description; those outside were kept, and are worth a look."""
    from clinical_assets.warehouse.sql_text import quoted

    cohort = platform.cohort(context.partition_key)
    rows = []
    with told(), cohort.warehouse.reader() as connection:
        for name, table in cohort.spec.tables.items():
            for column, described in table.columns.items():
                if described.plausible is None:
                    continue
                low, high = described.plausible
                limits = [f"{quoted(column)} < {low!r}"] * (low is not None)
                limits += [f"{quoted(column)} > {high!r}"] * (high is not None)
                (outside,) = connection.execute(
                    f"""SELECT count(*) FROM validated."{name}" WHERE {" OR ".join(limits) or "false"}"""
                ).fetchone() or (0,)
                rows.append({"table": name, "column": column, "low": low, "high": high, "outside": outside})
    outside = sum(row["outside"] for row in rows)
    table_of_rows = evidence.records_table(rows)
    return dg.AssetCheckResult(
        passed=outside == 0,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{outside} values outside their plausible limits",
        metadata={"limits": table_of_rows} if table_of_rows else {},
    )


@dg.asset_check(asset="features", partitions_def=COHORTS, blocking=True)
def outcome_has_every_class(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    """Every class of the outcome occurs among the units that may be used for training."""
    cohort = platform.cohort(context.partition_key)
    with told():
        found = dict(
            cohort.warehouse.query(
                "SELECT outcome, count(*) FROM model.outcomes WHERE exclusion IS NULL GROUP BY outcome ORDER BY outcome"
            ).rows()
        )
    rows = [{"class": label, "units": found.get(index, 0)} for index, label in enumerate(cohort.spec.target.classes)]
    wrong = [f"no unit has the class {row['class']!r}" for row in rows if not row["units"]]
    wrong += [f"{count} units have the unknown class {index}" for index, count in found.items() if index >= len(rows)]
    return dg.AssetCheckResult(
        passed=not wrong, description="; ".join(wrong) or None, metadata={"classes": evidence.records_table(rows)}
    )


def _sql_check(kind: "Kind") -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset="features",
        name=f"sql_{kind}",
        partitions_def=COHORTS,
        blocking=True,
        description=f"Every `{kind}` test that stands beside the cohort's SQL models holds.",
    )
    def check(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
        from clinical_assets.warehouse.sql_tests import run_tests

        cohort = platform.cohort(context.partition_key)
        with told():
            results = [
                result
                for model in (cohort.sql.feature_model, cohort.sql.outcome_model)
                for result in run_tests(cohort.sql, cohort.warehouse, model, kinds=(kind,))
            ]
        return _verdict(results, kind)

    return check


def _verdict(results: "list[SqlTestResult]", kind: str) -> dg.AssetCheckResult:
    failed = [result for result in results if result.failures]
    hard = [result for result in failed if result.severity == "error"]
    rows = [
        {
            "model": result.model,
            "column": result.column or "-",
            "test": result.test,
            "failures": result.failures,
            "severity": result.severity,
            "examples": "; ".join(map(str, result.examples)),
        }
        for result in results
    ]
    table = evidence.records_table(rows)
    said = f"{len(failed)} of {len(results)} {kind} tests fail" if results else f"no {kind} test is declared"
    return dg.AssetCheckResult(
        passed=not failed,
        severity=dg.AssetCheckSeverity.ERROR if hard else dg.AssetCheckSeverity.WARN,
        description=said,
        metadata={"tests": table} if table else {},
    )


CHECKS = [
    snapshot_is_restorable,
    no_record_is_lost,
    refused_share_is_small,
    values_are_plausible,
    outcome_has_every_class,
    *(_sql_check(kind) for kind in SQL_TESTS),
]
