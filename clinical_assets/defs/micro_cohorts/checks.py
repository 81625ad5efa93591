"""Promises about paired samples, gene sets and scores, as checks that can fail.

A check looks at the files themselves, not at what the step that wrote them said.
"""

import re

import dagster as dg

from clinical_assets.defs.micro_cohorts.micro_cohort import MicroCohort, micro_cohort_check, nothing_paired
from clinical_assets.defs.shared.asset_metadata import shown

LEAST_PER_LABEL = 2
#: A sample this many times deeper or shallower than the cohort's middle one is worth a look.
LIBRARY_FACTOR = 4.0
#: log2; the same for a matrix without library sizes: a sample whose middle gene lies a factor of two off.
LEVEL_SHIFT = 1.0
#: Below it most genes are unknown to the sets, which is what outdated names or another species look like.
LEAST_IN_SETS = 0.1


@micro_cohort_check(asset="paired_expression", blocking=True)
def every_subject_has_both_samples(cohort: MicroCohort) -> dg.AssetCheckResult:
    """Every subject has a finite value of every gene in both samples; one left out for want of it is a warning."""
    if cohort.ready:
        return nothing_paired()
    import numpy as np

    paired, _ = cohort.expression()
    holes = ~(np.isfinite(paired.control) & np.isfinite(paired.affected))
    broken = int(holes.any(axis=1).sum())
    left_out = len(paired.refused)
    wrong = [f"{broken} subjects lack values in one of their samples"] if broken else []
    wrong += [f"{left_out} subjects were left out for want of two usable samples"] if left_out else []
    reasons: dict[str, int] = {}
    for refused in paired.refused:
        # Reasons may name samples, and a sample may name its subject.
        reason = re.split("['(:]", refused.reason)[0].strip() or "refused"
        reasons[reason] = reasons.get(reason, 0) + 1
    left_out_for = [{"reason": reason, "subjects": count} for reason, count in reasons.items()]
    return dg.AssetCheckResult(
        passed=not wrong,
        severity=dg.AssetCheckSeverity.ERROR if broken else dg.AssetCheckSeverity.WARN,
        description="; ".join(wrong) or None,
        metadata=shown({"subjects": len(paired.subjects), "left out": left_out_for}),
    )


@micro_cohort_check(asset="paired_expression")
def both_samples_are_of_one_person(cohort: MicroCohort) -> dg.AssetCheckResult:
    """No subject's changes run against those that the others share, and no pair is half the same.

    What is beyond doubt (exchanged, equal, empty samples) has stopped its subject before; here the doubtful are shown.
    It stops nothing. With fewer than 4 subjects, or where the subjects share no change, agreement cannot tell.
    """
    if cohort.ready:
        return nothing_paired()
    import numpy as np

    from clinical_assets.pathways.expression.pair_checks import ENOUGH, OTHERS_AGREE, agreement

    paired, _ = cohort.expression()
    enough = len(paired.subjects) >= ENOUGH
    seen = agreement(paired.differences) if enough else np.full(len(paired.subjects), np.nan)
    place = {subject: i for i, subject in enumerate(paired.subjects)}
    rows = [
        {
            "subject number": place[one.subject] + 1,
            "agreement with the others": f"{seen[place[one.subject]]:+.2f}",
            "doubt": one.reason,
        }
        for one in paired.doubtful
    ]
    usual = float(np.nanmedian(seen)) if np.isfinite(seen).any() else None
    remark = None if usual is not None and usual >= OTHERS_AGREE else "the subjects share too little to tell a swap"
    return dg.AssetCheckResult(
        passed=not rows,
        severity=dg.AssetCheckSeverity.WARN,
        description="; ".join(filter(None, [f"{len(rows)} doubtful pairs" if rows else None, remark])) or None,
        metadata=shown({"median agreement": usual, "doubtful": rows}),
    )


@micro_cohort_check(asset="paired_expression", blocking=True)
def genes_are_unique_and_of_one_kind(cohort: MicroCohort) -> dg.AssetCheckResult:
    """Every gene stands there once, and the identifiers are of the kind that was stated."""
    if cohort.ready:
        return nothing_paired()
    from clinical_assets.pathways.expression.expression import ExpressionError, recognise_identifiers

    paired, _ = cohort.expression()
    repeated = len(paired.genes) - len(set(paired.genes))
    wrong = [f"{repeated} genes are repeated"] if repeated else []
    try:
        kind = recognise_identifiers(paired.genes, where="paired_expression")
    except ExpressionError as error:
        wrong.append(error.message)
    else:
        if kind != paired.identifier_kind:
            wrong.append(f"the identifiers look like {kind}, stated is {paired.identifier_kind}")
    return dg.AssetCheckResult(
        passed=not wrong,
        description="; ".join(wrong) or None,
        metadata={"genes": len(paired.genes), "identifiers": paired.identifier_kind},
    )


@micro_cohort_check(asset="paired_expression")
def libraries_are_alike(cohort: MicroCohort) -> dg.AssetCheckResult:
    """No sample is 4 times deeper or shallower than the cohort's middle one.

    A matrix that came as log2 values has no library sizes; there the middle gene of each sample is compared, and may
    lie 1 log2 unit off. It stops nothing: normalisation may have cured it, and the reader should know.
    """
    if cohort.ready:
        return nothing_paired()
    import numpy as np

    paired, _ = cohort.expression()
    known = bool(np.isfinite(paired.library_sizes).all())
    if known:
        level = np.log2(np.maximum(paired.library_sizes, 1e-300))
        limit, said = float(np.log2(LIBRARY_FACTOR)), f"by more than a factor of {LIBRARY_FACTOR:g}"
    else:
        level = np.stack([np.median(paired.control, axis=1), np.median(paired.affected, axis=1)], axis=1)
        limit, said = LEVEL_SHIFT, f"by more than {LEVEL_SHIFT:g} log2 in their middle gene"
    away = level - np.median(level)
    outside = np.abs(away) > limit
    rows = [
        {"subject number": int(i) + 1, "sample": paired.conditions[j], "log2 off the cohort": float(away[i, j])}
        for i, j in np.argwhere(outside)
    ]
    return dg.AssetCheckResult(
        passed=not rows,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{len(rows)} samples are off the cohort's middle one {said}" if rows else None,
        metadata=shown(
            {
                "judged by": "library sizes" if known else "middle gene, as the matrix came as log2 values",
                "largest": float(np.abs(away).max()),
                "samples": rows,
            }
        ),
    )


@micro_cohort_check(asset="paired_expression")
def batches_do_not_stand_for_answers(cohort: MicroCohort) -> dg.AssetCheckResult:
    """Both samples of a subject are of one batch, and no batch holds one label only.

    Otherwise a difference between batches passes for a difference between samples, or between groups. It stops
    nothing: the reader should know. Without batch labels nothing can be said, and the check says so.
    """
    if cohort.ready:
        return nothing_paired()
    paired, _ = cohort.expression()
    unknown = sum(None in pair for pair in paired.batches)
    crossed = sum(before != after for before, after in paired.batches if None not in (before, after))
    seen: dict[str, set[str]] = {}
    for (_, after), label in zip(paired.batches, paired.labels, strict=True):
        if after is not None and label is not None:
            seen.setdefault(after, set()).add(label)
    several = len(seen) > 1 and len(set().union(*seen.values())) > 1
    single = [batch for batch, labels in seen.items() if several and len(labels) == 1]
    wrong = [f"{crossed} subjects have their samples in different batches"] if crossed else []
    wrong += [f"{len(single)} of {len(seen)} batches hold one label only"] if single else []
    said = f"no batch is stated for {unknown} of {len(paired.subjects)} subjects" if unknown else None
    return dg.AssetCheckResult(
        passed=not wrong,
        severity=dg.AssetCheckSeverity.WARN,
        description="; ".join([*wrong, *([said] if said else [])]) or None,
        metadata={"batches": len(seen), "subjects without a batch": unknown},
    )


@micro_cohort_check(asset="paired_expression")
def labels_have_subjects(cohort: MicroCohort) -> dg.AssetCheckResult:
    """There are two labels, one of them the positive one, with at least 2 subjects each.

    It stops nothing: scores and pages of single subjects need no label. The study itself asks for more.
    """
    if cohort.ready:
        return nothing_paired()
    paired, _ = cohort.expression()
    positive = cohort.spec.positive
    counted = {label: paired.labels.count(label) for label in sorted({x for x in paired.labels if x is not None})}
    wrong = [f"label {label!r} has {count} subject" for label, count in counted.items() if count < LEAST_PER_LABEL]
    if positive not in counted:
        wrong.append(f"no subject has the positive label {positive!r}")
    if len(counted) != 2:
        wrong.append(f"there are {len(counted)} labels, a study needs two")
    rows = [{"label": label, "subjects": count} for label, count in counted.items()]
    return dg.AssetCheckResult(
        passed=not wrong,
        severity=dg.AssetCheckSeverity.WARN,
        description="; ".join(wrong) or None,
        metadata=shown({"labels": rows}),
    )


@micro_cohort_check(asset="gene_sets", blocking=True)
def sets_keep_their_limits(cohort: MicroCohort) -> dg.AssetCheckResult:
    """Every set has as many measured genes as the description allows, and no two sets hold the same genes."""
    if cohort.ready:
        return nothing_paired()
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


@micro_cohort_check(asset="gene_sets")
def sets_know_the_genes(cohort: MicroCohort) -> dg.AssetCheckResult:
    """At least a tenth of the measured genes are in some set; fewer look like outdated names or another species.

    It stops nothing: a small collection may be what was wanted.
    """
    if cohort.ready:
        return nothing_paired()
    from clinical_assets.pathways.expression.gene_sets import genes_in_sets

    _, sets, _, _ = cohort.sets()
    inside, genes = genes_in_sets(sets), len(sets.genes)
    passed = inside >= LEAST_IN_SETS * genes
    return dg.AssetCheckResult(
        passed=passed,
        severity=dg.AssetCheckSeverity.WARN,
        description=None if passed else f"only {inside:,} of {genes:,} measured genes are in any set",
        metadata={"measured genes": genes, "of these in a set": inside},
    )


@micro_cohort_check(asset="pathway_scores", blocking=True)
def scores_are_independent(cohort: MicroCohort) -> dg.AssetCheckResult:
    """The first, the middle and the last subject, each scored alone, have the kept scores to the last bit."""
    if cohort.ready:
        return nothing_paired()
    from clinical_assets.pathways.expression.pairing import subject_rows
    from clinical_assets.pathways.inputs.study_inputs import scoring_method
    from clinical_assets.pathways.scores.scores import score_subjects

    scored = cohort.scored()
    paired, kept = scored.paired, scored.scores
    method = scoring_method(cohort.spec)
    n = len(paired.subjects)
    rows = []
    for row in sorted({0, n // 2, n - 1}):
        alone = score_subjects(
            subject_rows(paired, [paired.subjects[row]]),
            scored.sets,
            method=method,
            alpha=kept.alpha,
            decide_on=kept.decided_on,
        )
        differ = sum(
            # Bytes, because NaN equals itself there.
            getattr(kept, name)[row, column].tobytes() != getattr(alone, name)[0, column].tobytes()
            for name in ("statistic", "p_value", "fdr", "median_effect", "score")
            for column in range(len(kept.names))
        )
        rows.append({"subject number": row + 1, "sets": len(kept.names), "values that differ": differ})
    differ = sum(row["values that differ"] for row in rows)
    return dg.AssetCheckResult(
        passed=not differ,
        description=f"{differ} values change when a subject is scored alone" if differ else None,
        metadata=shown({"subjects scored alone": rows}),
    )
