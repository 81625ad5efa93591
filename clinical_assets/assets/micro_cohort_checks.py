"""Promises about paired samples, gene sets and scores, as checks that can fail.

A check looks at the files themselves, not at what the step that wrote them said.
"""

import dagster as dg

from clinical_assets.assets import evidence
from clinical_assets.assets.micro_cohorts import micro_cohort
from clinical_assets.assets.partitions import PAIRED
from clinical_assets.assets.resources import Platform, told

LEAST_PER_LABEL = 2


@dg.asset_check(asset="paired_expression", partitions_def=PAIRED, blocking=True)
def every_subject_has_both_samples(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    """Every subject has a finite value of every gene in both samples; one left out for want of it is a warning."""
    import numpy as np

    with told():
        paired, _ = micro_cohort(platform, context.partition_key).expression()
    holes = ~(np.isfinite(paired.control) & np.isfinite(paired.affected))
    broken = int(holes.any(axis=1).sum())
    left_out = len(paired.refused)
    wrong = [f"{broken} subjects lack values in one of their samples"] if broken else []
    wrong += [f"{left_out} subjects were left out for want of two usable samples"] if left_out else []
    reasons: dict[str, int] = {}
    for refused in paired.refused:
        # Reasons may name samples, and a sample may name its subject.
        reason = refused.reason.split("'")[0].strip() or "refused"
        reasons[reason] = reasons.get(reason, 0) + 1
    table = evidence.records_table([{"reason": reason, "subjects": count} for reason, count in reasons.items()])
    return dg.AssetCheckResult(
        passed=not wrong,
        severity=dg.AssetCheckSeverity.ERROR if broken else dg.AssetCheckSeverity.WARN,
        description="; ".join(wrong) or None,
        metadata={"subjects": len(paired.subjects), **({"left out": table} if table else {})},
    )


@dg.asset_check(asset="paired_expression", partitions_def=PAIRED)
def labels_have_subjects(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    """There are two labels, one of them the positive one, with at least 2 subjects each.

    It stops nothing: scores and pages of single subjects need no label. The study itself asks for more.
    """
    with told():
        cohort = micro_cohort(platform, context.partition_key)
        paired, _ = cohort.expression()
        positive = cohort.spec.positive
    counted = {label: paired.labels.count(label) for label in sorted({x for x in paired.labels if x is not None})}
    wrong = [f"label {label!r} has {count} subject" for label, count in counted.items() if count < LEAST_PER_LABEL]
    if positive not in counted:
        wrong.append(f"no subject has the positive label {positive!r}")
    if len(counted) != 2:
        wrong.append(f"there are {len(counted)} labels, a study needs two")
    rows = [{"label": label, "subjects": count} for label, count in counted.items()]
    table = evidence.records_table(rows)
    return dg.AssetCheckResult(
        passed=not wrong, description="; ".join(wrong) or None, metadata={"labels": table} if table else {}
    )


@dg.asset_check(asset="gene_sets", partitions_def=PAIRED, blocking=True)
def sets_keep_their_limits(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    """Every set has as many measured genes as the description allows, and no two sets hold the same genes."""
    with told():
        cohort = micro_cohort(platform, context.partition_key)
        _, sets, _, _ = cohort.sets()
        limits = cohort.spec.sizes
    outside = int(((sets.sizes < limits.smallest) | (sets.sizes > limits.largest)).sum())
    twins = len(sets.positions) - len({positions.tobytes() for positions in sets.positions})
    wrong = [f"{outside} sets outside {limits.smallest} to {limits.largest} measured genes"] if outside else []
    wrong += [f"{twins} sets hold the genes of another set"] if twins else []
    return dg.AssetCheckResult(
        passed=not wrong,
        description="; ".join(wrong) or None,
        metadata={"sets": len(sets.names), "smallest": int(sets.sizes.min()), "largest": int(sets.sizes.max())},
    )


@dg.asset_check(asset="pathway_scores", partitions_def=PAIRED, blocking=True)
def scores_are_independent(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    """The first, the middle and the last subject, each scored alone, have the kept scores to the last bit."""
    from clinical_assets.pathways.opening import scoring_method
    from clinical_assets.pathways.pairing import subject_rows
    from clinical_assets.pathways.scores import score_subjects

    with told():
        cohort = micro_cohort(platform, context.partition_key)
        paired, sets, kept = cohort.scored()
        method = scoring_method(cohort.spec)
        n = len(paired.subjects)
        rows = []
        for row in sorted({0, n // 2, n - 1}):
            alone = score_subjects(
                subject_rows(paired, [paired.subjects[row]]),
                sets,
                method=method,
                alpha=kept.alpha,
                decide_on=kept.decided_on,
            )
            differ = sum(
                # Bytes, because NaN equals itself there.
                getattr(kept, name)[row, column].tobytes() != getattr(alone, name)[0, column].tobytes()
                for name in ("statistic", "p_value", "fdr", "median_effect", "score")
                for column in range(len(sets.names))
            )
            rows.append({"subject number": row + 1, "sets": len(sets.names), "values that differ": differ})
    differ = sum(row["values that differ"] for row in rows)
    return dg.AssetCheckResult(
        passed=not differ,
        description=f"{differ} values change when a subject is scored alone" if differ else None,
        metadata={"subjects scored alone": evidence.records_table(rows)},
    )


CHECKS = [every_subject_has_both_samples, labels_have_subjects, sets_keep_their_limits, scores_are_independent]
