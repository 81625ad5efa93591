"""Promises about studies and ablations of micro-cohorts, as checks that can fail."""

from typing import Any

import dagster as dg

from clinical_assets.assets import evidence
from clinical_assets.assets.paired_cohort import micro_cohort
from clinical_assets.assets.partitions import PAIRED
from clinical_assets.assets.resources import Platform, told

#: How far the mean of the honest null may lie above one half, in its own standard errors.
NULL_ERRORS = 3.0


@dg.asset_check(asset="micro_cohort_study", partitions_def=PAIRED)
def left_out_is_chance_without_labels(
    context: dg.AssetCheckExecutionContext, platform: Platform
) -> dg.AssetCheckResult:
    """With permuted labels the honest protocol scores one half on average, within 3 standard errors.

    If it does better, something that looks at labels lies outside the folds. It stops nothing, and without permutations
    it cannot be told and warns.
    """
    with told():
        cohort = micro_cohort(platform, context.partition_key)
        result, _ = cohort.studied(cohort.scored())
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
    table = evidence.records_table(rows)
    return dg.AssetCheckResult(
        passed=not wrong,
        severity=dg.AssetCheckSeverity.WARN,
        description="; ".join(wrong) or None,
        metadata={"permuted labels": table} if table else {},
    )


@dg.asset_check(asset="ablation_report", partitions_def=PAIRED)
def ablation_is_of_the_kept_study(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    """The report was made from the study that is kept now, and neither file was changed since."""
    from clinical_assets.pathways.kept_study import ABLATION, read_kept

    with told():
        cohort = micro_cohort(platform, context.partition_key)
        _, study = cohort.studied(cohort.scored())
        _, made_from, _ = read_kept(cohort.folder / ABLATION, asset="ablation_report")
    passed = made_from["study"] == study
    return dg.AssetCheckResult(
        passed=passed,
        description=None if passed else "the study was run again since: materialise ablation_report",
        metadata={"study": study},
    )


STUDY_CHECKS = [left_out_is_chance_without_labels, ablation_is_of_the_kept_study]
