"""Promises about what a model reads, as checks that can fail."""

from typing import TYPE_CHECKING

import dagster as dg

from clinical_assets.defs.shared.asset_metadata import shown
from clinical_assets.defs.shared.cohort_asset import broken, cohort_check, cohort_checks
from clinical_assets.workspace import CohortHandle

if TYPE_CHECKING:
    from clinical_assets.warehouse.sql.docs import SqlTestKind
    from clinical_assets.warehouse.sql.tests import SqlTestResult

SQL_TESTS: "tuple[SqlTestKind, ...]" = ("not_null", "unique", "accepted_values", "relationships", "expression")


@cohort_check(asset="features", blocking=True)
def outcome_has_every_class(cohort: CohortHandle) -> dg.AssetCheckResult:
    """Every class of the outcome occurs among the units that may be used for training."""
    found = dict(
        cohort.warehouse.query(
            "SELECT outcome, count(*) FROM model.outcomes WHERE exclusion IS NULL GROUP BY outcome ORDER BY outcome"
        ).rows()
    )
    rows = [{"class": label, "units": found.get(index, 0)} for index, label in enumerate(cohort.spec.target.classes)]
    wrong = [f"no unit has the class {row['class']!r}" for row in rows if not row["units"]]
    wrong += [f"{count} units have the unknown class {index}" for index, count in found.items() if index >= len(rows)]
    return broken(wrong, classes=rows)


@cohort_check(asset="features", blocking=True)
def features_are_truncation_invariant(cohort: CohortHandle) -> dg.AssetCheckResult:
    """No feature changes when everything that came after the prediction is deleted from the tables."""
    from clinical_assets.warehouse.features.truncation import truncation_invariance

    with cohort.warehouse.reader() as connection:
        found = truncation_invariance(connection, cohort.spec, cohort.sql.compile(cohort.sql.feature_model))
    wrong = [f"{name} changes in {units} of {found.units} units" for name, units in found.changed.items()]
    if found.lost:
        wrong.append(f"{found.lost} of {found.units} units yield no features")
    return broken(
        wrong,
        units_compared=found.units,
        rows_that_came_later=[{"table": name, "rows": rows} for name, rows in found.removed.items()],
        tables_without_time=", ".join(found.undated) or None,
        not_compared=None if found.units else "no index date: nothing in the tables is later than the prediction",
    )


@cohort_checks(
    asset="features",
    name="features_sql",
    blocking=True,
    promises={
        f"sql_{kind}": f"Every `{kind}` test that stands beside the cohort's SQL models holds." for kind in SQL_TESTS
    },
)
def sql_tests(cohort: CohortHandle) -> dict[str, dg.AssetCheckResult]:
    """Compute each model once, and ask all that is promised of its rows."""
    from clinical_assets.warehouse.sql.tests import run_tests_on

    with cohort.warehouse.reader() as connection:
        results = [
            result
            for model in (cohort.sql.feature_model, cohort.sql.outcome_model)
            for result in run_tests_on(connection, cohort.sql, model)
        ]
    return {f"sql_{kind}": _verdict([each for each in results if each.test == kind], kind) for kind in SQL_TESTS}


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
    said = f"{len(failed)} of {len(results)} {kind} tests fail" if results else f"no {kind} test is declared"
    return dg.AssetCheckResult(
        passed=not failed,
        severity=dg.AssetCheckSeverity.ERROR if hard else dg.AssetCheckSeverity.WARN,
        description=said,
        metadata=shown({"tests": rows}),
    )
