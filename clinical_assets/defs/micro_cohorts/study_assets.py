"""The study of a micro-cohort and the ablation of what it saved.

``pathway_scores`` -> ``micro_cohort_study`` -> ``ablation_report``.

What belongs here: what Dagster needs to know. Studying, ablating and drawing are the work of
``clinical_assets.pathways``.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from clinical_assets.defs.micro_cohorts.micro_cohort import (
    MicroCohort,
    StudySource,
    micro_cohort_asset,
    numbered,
)
from clinical_assets.defs.shared.cohort_asset import AssetResult

if TYPE_CHECKING:
    from clinical_assets.modelling.tracking.mlflow_runs import TrackedRun
    from clinical_assets.pathways.study.ablation_results import AblationResult
    from clinical_assets.pathways.study.protocols import Performance
    from clinical_assets.pathways.study.study_results import StudyResult


@micro_cohort_asset(deps=["paired_expression", "pathway_scores"], kinds={"scikitlearn", "mlflow"}, tracked=True)
def micro_cohort_study(context: dg.AssetExecutionContext, cohort: MicroCohort, run: "TrackedRun") -> AssetResult:
    """Designs and families side by side: one row per pair, judged by the study's own protocol and honestly.

    Honestly: on subjects left out of the whole sweep. The headline is the optimism between the two, with the null of
    permuted labels, the choice of the best row included. The cohort is small: the intervals are the result. Every
    configuration of every sweep is a nested MLflow run, with importances, models and the digests of all inputs.
    """
    from clinical_assets.foundation.atomic_files import PRIVATE, write_whole
    from clinical_assets.observability.portfolio import write_portfolio
    from clinical_assets.pathways.experiments.input_archive import archive_inputs
    from clinical_assets.pathways.experiments.tracked_study import record_study
    from clinical_assets.pathways.inputs.study_inputs import FAMILIES, budget
    from clinical_assets.pathways.results.figures import optimism_picture, precision_recall_panel
    from clinical_assets.pathways.results.study_store import keep_study
    from clinical_assets.pathways.results.unfinished_work import UnfinishedWork
    from clinical_assets.pathways.study.study import micro_cohort_study as study
    from clinical_assets.workspace import Workspace

    source = cohort.source()
    plan = cohort.spec.study
    data = source.data
    belongs_to = {"plan": cohort.plan(), "expression": source.expression, "scores": source.digest}
    work = UnfinishedWork(cohort.folder / "unfinished_study.jsonl", belongs_to)
    if work.taken_over:
        context.log.info(f"{work.taken_over} parts of a run that was stopped are taken over")
    spent = budget(plan, cohort.path.parent)
    result = study(data, budget=spent, seed=plan.seed, progress=_progress(context), pieces=work)
    kept = keep_study(cohort.folder, result, plan=cohort.plan(), expression=source.expression, scores=source.digest)
    work.finish()
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
    report = _report(cohort, source, result)
    write_whole(cohort.folder / "study.html", report, mode=PRIVATE)
    write_portfolio(Workspace(cohort.settings))
    record_study(
        run,
        data,
        result,
        spent.families,
        digests={"study": kept.digest, **source.digests()},
        description=cohort.path.read_text(encoding="utf-8"),
        inputs=archive_inputs(cohort.spec, cohort.path.parent, cohort_folder=cohort.folder),
        facts=kept.path.read_text(encoding="utf-8"),
        pictures={title: png for title, png in drawn.items() if png is not None},
        report=report,
        plan=cohort.plan(),
    )
    null = _null_rows(result)
    return AssetResult(
        kept.digest,
        {
            "dagster/row_count": len(result.rows),
            "headline": dg.MetadataValue.md("\n".join(f"- {line}" for line in result.headline().splitlines())),
            "mean optimism": sum(row.optimism for row in result.rows) / len(result.rows),
            "largest optimism": max(row.optimism for row in result.rows),
            "designs and families": _study_rows(result),
            "permuted labels, whole sweep": null,
            "MLflow run": run.run_id,
            **_plotted(result),
            "subjects": result.n,
            "subjects without a label": len(data.left_out),
            "file": kept.path,
            "report": cohort.folder / "study.html",
            **drawn,
            "read from": source.read_from,
        },
    )


@micro_cohort_asset(deps=["pathway_scores", "micro_cohort_study"], kinds={"scikitlearn", "mlflow"}, tracked=True)
def ablation_report(context: dg.AssetExecutionContext, cohort: MicroCohort, run: "TrackedRun") -> AssetResult:
    """What remains without the most important features: one row per ablated design, and a verdict in words.

    The saved best of the study is retrained as the study did it, and again with importances inside the folds, against
    random removal and with a new sweep.
    """
    from clinical_assets.foundation.atomic_files import PRIVATE, write_whole
    from clinical_assets.pathways.experiments.tracked_study import record_ablations
    from clinical_assets.pathways.inputs.study_inputs import DESIGNS, ablated_family, budget
    from clinical_assets.pathways.results.figures import precision_recall_panel
    from clinical_assets.pathways.results.study_report import removed_heat_map
    from clinical_assets.pathways.results.study_store import keep_ablations
    from clinical_assets.pathways.results.unfinished_work import UnfinishedWork
    from clinical_assets.pathways.study.ablation import ablation
    from clinical_assets.pathways.study.designs import PATHWAYS

    source = cohort.source()
    result, study_digest = cohort.studied(source)
    data = source.data
    plan = cohort.spec.study
    family = ablated_family(plan, cohort.path.parent)
    saved = {row.design: row for row in result.rows if row.family == family.name}
    belongs_to = {"study": study_digest, "ablation": plan.ablation.model_dump(mode="json")}
    work = UnfinishedWork(cohort.folder / "unfinished_ablation.jsonl", belongs_to)
    reports = [
        ablation(
            data,
            design=DESIGNS[design],
            family=family,
            n_removed=plan.ablation.remove,
            n_random=plan.ablation.random_removals,
            budget=budget(plan, cohort.path.parent),
            seed=plan.seed,
            saved=saved[DESIGNS[design]],
            progress=_progress(context),
            pieces=work,
        )
        for design in plan.ablation.designs
    ]
    kept = keep_ablations(cohort.folder, reports, study=study_digest)
    work.finish()
    page = _report(cohort, source, result, reports)
    write_whole(cohort.folder / "study.html", page, mode=PRIVATE)
    facts = kept.path.read_text(encoding="utf-8")
    record_ablations(run, reports, facts=facts, digest=kept.digest, report=page)
    panel = precision_recall_panel(result, family=family.name, ablations=reports)
    write_whole(cohort.folder / "ablation.png", panel, mode=PRIVATE)
    removed = {r.design: [name for name, _ in r.honest.often_removed] for r in reports}
    heat_map = None
    scored = source.scored
    if PATHWAYS in removed and scored is not None:
        heat_map = removed_heat_map(numbered(scored.scores), scored.sets, scored.paired.labels, removed[PATHWAYS])
        write_whole(cohort.folder / "removed_pathways.png", heat_map, mode=PRIVATE)
    else:
        (cohort.folder / "removed_pathways.png").unlink(missing_ok=True)
    verdicts = "\n".join(f"- **{report.design}: {report.conclusion}.** {report.verdict}" for report in reports)
    return AssetResult(
        kept.digest,
        {
            "dagster/row_count": len(reports),
            "verdicts": dg.MetadataValue.md(verdicts),
            "ablations": [_ablation_row(report) for report in reports],
            "file": kept.path,
            "report": cohort.folder / "study.html",
            "with and without the top features": panel,
            "pathways most often removed": heat_map,
            "read from": source.read_from,
        },
    )


def _report(
    cohort: MicroCohort, source: StudySource, result: "StudyResult", ablations: Sequence["AblationResult"] = ()
) -> str:
    """The page of the study for a person; subjects are numbers on it."""
    from clinical_assets.pathways.inputs.study_inputs import budget
    from clinical_assets.pathways.results.study_report import DrawnScores, StudyBackground, study_report

    spec, scored = cohort.spec, source.scored
    background = StudyBackground(
        title=spec.title,
        intended_use=spec.intended_use,
        not_for=spec.not_for,
        source=spec.data.source,
        licence=spec.data.licence,
        limits=tuple(spec.data.limits),
        conditions=(spec.conditions.control, spec.conditions.affected),
        statements=source.statements,
    )
    plan = budget(spec.study, cohort.path.parent)
    drawn = None if scored is None else DrawnScores(numbered(scored.scores), scored.sets, scored.paired.labels)
    return study_report(background, result, plan, drawn, ablations=ablations)


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
    best = result.choice
    rows = [("best of all rows", "any", best.study, best.honest)] if best is not None else []
    rows += [(null.design, null.family, null.study, null.honest) for null in result.nulls]
    return [
        {
            "design": design,
            "model": family,
            "protocol": protocol,
            "true labels": part.observed,
            "permuted labels, mean": float(part.permuted.mean()),
            "permuted labels, largest": float(part.permuted.max()),
            "permutations": int(part.permuted.size),
            "p": part.p_value,
        }
        for design, family, by_study, by_honest in rows
        for protocol, part in (("the study's", by_study), ("left out", by_honest))
    ]


def _plotted(result: "StudyResult") -> dict[str, float]:
    """Precision and recall of every row as numbers, which Dagster draws over the runs."""
    return {
        f"{row.design}, {row.family}: {name}": estimate.value
        for row in result.rows
        for name, estimate in (
            ("precision", row.honest.performance.precision),
            ("recall", row.honest.performance.recall),
        )
        if estimate is not None
    }


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
