"""The study of a micro-cohort and the ablation of what it saved.

``pathway_scores`` -> ``micro_cohort_study`` -> ``ablation_report``.

What belongs here: what Dagster needs to know. Studying, ablating and drawing are the work of
``clinical_assets.pathways``.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import dagster as dg

from clinical_assets.assets import evidence
from clinical_assets.assets.paired_cohort import GROUP, OWNERS, MicroCohort, Scored, identity, micro_cohort, numbered
from clinical_assets.assets.partitions import PAIRED
from clinical_assets.assets.resources import Platform, told

if TYPE_CHECKING:
    from clinical_assets.pathways.ablation import AblationResult
    from clinical_assets.pathways.designs import StudyData
    from clinical_assets.pathways.protocols import Performance
    from clinical_assets.pathways.study import StudyResult


@dg.asset(
    partitions_def=PAIRED,
    group_name=GROUP,
    owners=OWNERS,
    deps=["paired_expression", "pathway_scores"],
    kinds={"scikitlearn"},
    code_version="2",
)
def micro_cohort_study(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
    """Designs and families side by side: one row per pair, judged by the study's own protocol and honestly.

    Honestly: on subjects left out of the whole sweep. The headline is the optimism between the two, with the null of
    permuted labels. The cohort is small: the intervals are the result.
    """
    from clinical_assets.pathways.figures import optimism_picture, precision_recall_panel
    from clinical_assets.pathways.kept_study import keep_study
    from clinical_assets.pathways.opening import FAMILIES, budget
    from clinical_assets.pathways.study import micro_cohort_study as study
    from clinical_assets.whole_files import PRIVATE, write_whole

    with told():
        cohort = micro_cohort(platform, context.partition_key)
        scored = cohort.scored()
        plan = cohort.spec.study
        data = _data(cohort, scored)
        result = study(data, budget=budget(plan), seed=plan.seed, progress=_progress(context))
        kept = keep_study(cohort.folder, result, plan=cohort.plan(), expression=scored.expression, scores=scored.digest)
        drawn: dict[str, bytes | None] = {
            f"precision and recall, {family.replace('_', ' ')}": precision_recall_panel(result, family=FAMILIES[family])
            for family in plan.families
        }
        drawn["permuted labels"] = optimism_picture(result) if result.nulls else None
        for title, png in drawn.items():
            path = cohort.folder / f"{title.replace(', ', '_').replace(' ', '_')}.png"
            if png is None:
                path.unlink(missing_ok=True)  # of a study that had a null
            else:
                write_whole(path, png, mode=PRIVATE)
    pictures: dict[str, dg.MetadataValue] = {}
    for title, png in drawn.items():
        pictures |= evidence.picture(png, title)
    null = _null_rows(result)
    return dg.MaterializeResult(
        data_version=dg.DataVersion(kept.digest),
        metadata={
            "dagster/row_count": len(result.rows),
            "headline": dg.MetadataValue.md("\n".join(f"- {line}" for line in result.headline().splitlines())),
            "mean optimism": sum(row.optimism for row in result.rows) / len(result.rows),
            "largest optimism": max(row.optimism for row in result.rows),
            "designs and families": evidence.records_table(_study_rows(result)),
            **({"permuted labels, whole sweep": evidence.records_table(null)} if null else {}),
            "subjects": result.n,
            "subjects without a label": len(data.left_out),
            "file": dg.MetadataValue.path(str(kept.path)),
            **pictures,
            **identity(cohort, scored.paired),
        },
    )


@dg.asset(
    partitions_def=PAIRED,
    group_name=GROUP,
    owners=OWNERS,
    deps=["pathway_scores", micro_cohort_study],
    kinds={"scikitlearn"},
    code_version="2",
)
def ablation_report(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
    """What remains without the most important features: one row per ablated design, and a verdict in words.

    The saved best of the study is retrained as the study did it, and again with importances inside the folds, against
    random removal and with a new sweep.
    """
    from clinical_assets.pathways.ablation import ablation
    from clinical_assets.pathways.designs import PATHWAYS
    from clinical_assets.pathways.figures import pathway_heat_map, precision_recall_panel
    from clinical_assets.pathways.kept_study import keep_ablations
    from clinical_assets.pathways.opening import DESIGNS, ablated_family, budget
    from clinical_assets.whole_files import PRIVATE, write_whole

    with told():
        cohort = micro_cohort(platform, context.partition_key)
        scored = cohort.scored()
        result, study_digest = cohort.studied(scored)
        data = _data(cohort, scored)
        plan = cohort.spec.study
        family = ablated_family(plan)
        saved = {row.design: row for row in result.rows if row.family == family.name}
        reports = [
            ablation(
                data,
                design=DESIGNS[design],
                family=family,
                n_removed=plan.ablation.remove,
                n_random=plan.ablation.random_removals,
                budget=budget(plan),
                seed=plan.seed,
                saved=saved[DESIGNS[design]],
                progress=_progress(context),
            )
            for design in plan.ablation.designs
        ]
        kept = keep_ablations(cohort.folder, reports, study=study_digest)
        panel = precision_recall_panel(result, family=family.name, ablations=reports)
        write_whole(cohort.folder / "ablation.png", panel, mode=PRIVATE)
        removed = {r.design: [name for name, _ in r.honest.often_removed] for r in reports}
        heat_map = None
        if PATHWAYS in removed:
            heat_map = pathway_heat_map(
                numbered(scored.scores), scored.sets, scored.paired.labels, names=removed[PATHWAYS]
            )
            write_whole(cohort.folder / "removed_pathways.png", heat_map, mode=PRIVATE)
        else:
            (cohort.folder / "removed_pathways.png").unlink(missing_ok=True)
    verdicts = "\n".join(f"- **{report.design}: {report.conclusion}.** {report.verdict}" for report in reports)
    return dg.MaterializeResult(
        data_version=dg.DataVersion(kept.digest),
        metadata={
            "dagster/row_count": len(reports),
            "verdicts": dg.MetadataValue.md(verdicts),
            "ablations": evidence.records_table([_ablation_row(report) for report in reports]),
            "file": dg.MetadataValue.path(str(kept.path)),
            **evidence.picture(panel, "with and without the top features"),
            **evidence.picture(heat_map, "pathways most often removed"),
            **identity(cohort, scored.paired),
        },
    )


def _data(cohort: MicroCohort, scored: Scored) -> "StudyData":
    from clinical_assets.pathways.designs import study_data

    return study_data(scored.paired, scored.scores, positive=cohort.spec.positive)


def _progress(context: dg.AssetExecutionContext) -> Callable[[str, int, int], None]:
    """Tell the run's log how far a long computation has come."""

    def tell(what: str, done: int, total: int) -> None:
        context.log.info(f"{what}: {done} of {total}")

    return tell


def _study_rows(result: "StudyResult") -> list[dict[str, Any]]:
    return [
        {
            "design": row.design,
            "model": row.family,
            "features": result.n_features[row.design],
            "study: precision, recall": _both(row.study.cross_validated),
            "left out: precision, recall": _both(row.honest.performance),
            "study: balanced accuracy": row.study.cross_validated.balanced_accuracy.value,
            "left out: balanced accuracy": row.honest.performance.balanced_accuracy.value,
            "low": row.honest.performance.balanced_accuracy.ci_low,
            "high": row.honest.performance.balanced_accuracy.ci_high,
            "optimism": row.optimism,
            "study's 20 % test set: precision, recall": (
                "one class only" if row.study.held_out is None else _both(row.study.held_out)
            ),
        }
        for row in result.rows
    ]


def _null_rows(result: "StudyResult") -> list[dict[str, Any]]:
    return [
        {
            "design": null.design,
            "model": null.family,
            "protocol": protocol,
            "true labels": part.observed,
            "permuted labels, mean": float(part.permuted.mean()),
            "permuted labels, largest": float(part.permuted.max()),
            "permutations": int(part.permuted.size),
            "p": part.p_value,
        }
        for null in result.nulls
        for protocol, part in (("the study's", null.study), ("left out", null.honest))
    ]


def _both(performance: "Performance") -> str:
    shown = [
        "not estimable" if part is None else f"{part.value:.2f} [{part.ci_low:.2f}, {part.ci_high:.2f}]"
        for part in (performance.precision, performance.recall)
    ]
    return ", ".join(shown)


def _ablation_row(report: "AblationResult") -> dict[str, Any]:
    honest = report.honest
    return {
        "design": report.design,
        "model": report.family,
        "removed": report.n_removed,
        "study: before": _both(report.study.before.cross_validated),
        "study: after": _both(report.study.cross_validated),
        "left out: all features": honest.full.performance.balanced_accuracy.value,
        "left out: without the top": honest.same_configuration.balanced_accuracy.value,
        "left out: after a new sweep": honest.new_sweep.balanced_accuracy.value,
        "random removal": float(honest.random_removal.mean()),
        "p": honest.p_value,
        "conclusion": report.conclusion,
    }
