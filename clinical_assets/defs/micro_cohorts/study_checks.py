"""Promises about studies and ablations of micro-cohorts, as checks that can fail."""

from typing import Any

import dagster as dg

from clinical_assets.defs.micro_cohorts.micro_cohort import MicroCohort, micro_cohort_check
from clinical_assets.defs.shared.asset_metadata import shown

#: How far the mean of the honest null may lie above one half, in its own standard errors.
NULL_ERRORS = 3.0


@micro_cohort_check(asset="micro_cohort_study")
def left_out_is_chance_without_labels(cohort: MicroCohort) -> dg.AssetCheckResult:
    """With permuted labels the honest protocol scores one half on average, within 3 standard errors.

    If it does better, something that looks at labels lies outside the folds. It stops nothing, and without permutations
    it cannot be told and warns.
    """
    result, _ = cohort.studied(cohort.source())
    rows: list[dict[str, Any]] = []
    for null in result.nulls:
        values = null.honest.permuted
        error = float(values.std(ddof=1) / values.size**0.5) if values.size > 1 else float("inf")
        rows.append(
            {
                "design": null.design,
                "model": null.family,
                "left out, mean": float(values.mean()),
                "standard error": error,
                "study's protocol, mean": float(null.study.permuted.mean()),
                "permutations": int(values.size),
            }
        )
    wrong = [
        f"{row['design']}, {row['model']}: {row['left out, mean']:.2f} with permuted labels"
        for row in rows
        if row["left out, mean"] - 0.5 > NULL_ERRORS * row["standard error"]
    ]
    if not rows or any(row["permutations"] < 2 for row in rows):
        wrong.append("insufficient: at least 2 permutations are needed to tell")
    return dg.AssetCheckResult(
        passed=not wrong,
        severity=dg.AssetCheckSeverity.WARN,
        description="; ".join(wrong) or None,
        metadata=shown({"permuted labels": rows}),
    )


@micro_cohort_check(asset="ablation_report")
def ablation_is_of_the_kept_study(cohort: MicroCohort) -> dg.AssetCheckResult:
    """The report was made from the study that is kept now, and neither file was changed since."""
    from clinical_assets.pathways.results.kept_results import ABLATION, read_kept

    _, study = cohort.studied(cohort.source())
    _, made_from, _ = read_kept(cohort.folder / ABLATION, asset="ablation_report")
    passed = made_from["study"] == study
    return dg.AssetCheckResult(
        passed=passed,
        description=None if passed else "the study was run again since: materialise ablation_report",
        metadata={"study": study},
    )
