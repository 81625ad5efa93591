"""From features to a risk model with its evidence.

``candidate_models`` -> ``risk_model`` -> ``decision_threshold`` -> ``model_card``.

The first three come from one training, because they stand on the same folds; comparing, fitting and judging are the
work of ``clinical_assets.modelling``.
"""

import json
from typing import TYPE_CHECKING, Any

import dagster as dg

from clinical_assets.defs.shared import ledger_events
from clinical_assets.defs.shared.cohort_asset import AssetPart, AssetResult, cohort_asset
from clinical_assets.defs.shared.made_from import MadeFrom, card_parts, has_training, model_parts
from clinical_assets.defs.shared.run_tags import AFRESH_TAG, CAUSE_TAG
from clinical_assets.workspace import CohortHandle

if TYPE_CHECKING:
    from clinical_assets.modelling.description.training_results import TrainingResults
    from clinical_assets.modelling.evaluation.result import TrainingResult
    from clinical_assets.modelling.tracking.mlflow_runs import TrackedRun
    from clinical_assets.modelling.tracking.registry import Version
    from clinical_assets.modelling.trainings.make_bundle import StoredTraining
    from clinical_assets.modelling.trainings.report import TrainingReport
    from clinical_assets.modelling.trainings.trainings import Training

GROUP = "models"
OWNER = "team:clinical-data-science"


@cohort_asset(
    group=GROUP,
    owner=OWNER,
    exclusive=True,
    tracked=True,
    made_from=MadeFrom(model_parts, has_training),
    parts=[
        AssetPart(
            "candidate_models",
            deps=["features"],
            kinds=frozenset({"scikitlearn", "optuna"}),
            description=(
                "Every candidate that the cohort names, compared by nested cross-validation on the same folds of the "
                "training rows: one row per candidate. Every setting that the search tried is kept in `model.trials`."
            ),
        ),
        AssetPart(
            "risk_model",
            deps=["candidate_models"],
            kinds=frozenset({"onnx", "mlflow"}),
            description=(
                "The winner, refitted, recalibrated on out-of-fold scores and judged once on the locked holdout. A "
                "folder without a pickle: ONNX for scores, the native booster or coefficients for reasons, JSON for "
                "the rest, named by one digest."
            ),
        ),
        AssetPart(
            "decision_threshold",
            deps=["risk_model"],
            kinds=frozenset({"python"}),
            description=(
                "The probability from which acting is cheaper than not acting, with the cost curve beside it, the risk "
                "tiers and what follows for 1,000 patients."
            ),
        ),
    ],
)
def risk_modelling(
    context: dg.AssetExecutionContext, cohort: CohortHandle, tracked: "TrackedRun"
) -> dict[str, AssetResult]:
    """Look for leaks, compare candidates, fit and calibrate the winner, judge it, decide where to act."""
    from clinical_assets.modelling.trainings.evidence import evidence_digests
    from clinical_assets.modelling.trainings.make_bundle import train_and_keep
    from clinical_assets.records.ledger.facts.models import RetrainFacts, TrainingFacts

    kept = train_and_keep(
        cohort.spec,
        warehouse=cohort.warehouse,
        sql=cohort.sql,
        run_id=context.run.run_id,
        progress=lambda what, done, of: context.log.info(f"{what}: {done} of {of}"),
        afresh=AFRESH_TAG in context.run.tags,
    )
    result, report, training = kept.result, kept.report, kept.training
    version = _record(tracked, kept)
    searches = {name: origin.training for name, origin in kept.origins.items()}
    facts = TrainingFacts(
        training=result.digest,
        selected=result.selected,
        n=result.n,
        events=result.events,
        evidence=evidence_digests(cohort.warehouse, training),
    )
    if searches:
        facts = facts.model_copy(update={"searches_from": searches})
    ledger_events.record(context, cohort, "training", digest=version.digest, facts=facts)
    cause = context.run.tags.get(CAUSE_TAG)
    if cause is not None:
        asked = RetrainFacts(cause=cause)
        ledger_events.record(context, cohort, "retrain", digest=version.digest, reason="refit", facts=asked)
    return {
        "candidate_models": AssetResult(result.digest, _candidates(kept)),
        "risk_model": AssetResult(training.bundle().digest, _model(result, report, training, version)),
        "decision_threshold": AssetResult(result.digest, _threshold(result, report)),
    }


@cohort_asset(
    group=GROUP,
    owner=OWNER,
    deps=["decision_threshold"],
    kinds={"markdown"},
    tracked=True,
    made_from=MadeFrom(card_parts, has_training),
)
def model_card(_: dg.AssetExecutionContext, cohort: CohortHandle, tracked: "TrackedRun") -> AssetResult:
    """What a reviewer must know about the newest model: one card, as Markdown and JSON, with its pictures."""
    from clinical_assets.modelling.trainings import trainings
    from clinical_assets.modelling.trainings.card_files import write_card
    from clinical_assets.observability.linked_pages import refresh_pages

    training = trainings.latest(cohort.settings, cohort.name)
    card = write_card(cohort.spec, training)
    tracked.record_files({f"card/{path.name}": path for path in card.files})
    refresh_pages(cohort)
    digest = training.results.bundle_digest
    return AssetResult(
        digest, {"card": dg.MetadataValue.md(card.embedded), "file": card.files[0], "bundle digest": digest}
    )


def _candidates(kept: "StoredTraining") -> dict[str, Any]:
    result, report = kept.result, kept.report
    return {
        "dagster/row_count": len(result.candidates),
        "candidates": _candidate_rows(report.results),
        "selected": result.selected,
        "settings tried": result.trials.height,
        "not fitted again": [
            {"candidate": name, "training": origin.training, "run": origin.run_id}
            for name, origin in kept.origins.items()
        ],
        "seconds by stage": json.dumps({name: round(s, 3) for name, s in result.profile.items()}),
        "nested estimates": report.pictures.get("candidates"),
        "every setting tried": report.pictures.get("trials"),
    }


def _model(
    result: "TrainingResult", report: "TrainingReport", training: "Training", version: "Version"
) -> dict[str, Any]:
    return {
        "bundle digest": training.bundle().digest,
        "bundle": training.folder / "bundle",
        "registered": f"{version.uri} (challenger)",
        "holdout": _metric_rows(report.results),
        **{name: estimate.value for name, estimate in result.metrics.items()},
        "calibration": report.pictures.get("calibration"),
        "contributions": report.pictures.get("contributions"),
        "risk by outcome": report.pictures.get("risk_distribution"),
    }


def _threshold(result: "TrainingResult", report: "TrainingReport") -> dict[str, Any]:
    decided = result.threshold
    return {
        "threshold": decided.threshold,
        "cheapest on out-of-fold scores": decided.curve.optimum_threshold,
        "per 1,000 patients": _policy_rows(report.results),
        "tiers": [
            {"tier": t.name, "from": t.lower, "to": t.upper, "share": t.share.value, "action": t.action}
            for t in decided.tiers
        ],
        "findings": dg.MetadataValue.md("\n".join(f"- {f.message}" for f in decided.findings) or "none"),
        "cost by threshold": report.pictures.get("cost_curve"),
        "decision curve": report.pictures.get("decision_curve"),
    }


def _record(run: "TrackedRun", kept: "StoredTraining") -> "Version":
    """Leave candidates, measures, pictures and the bundle in MLflow; the bundle becomes the cohort's challenger."""
    from clinical_assets.modelling.tracking.mlflow_training import record_training
    from clinical_assets.modelling.tracking.registry import register

    report, made = kept.report, kept.report.results.provenance
    pictures = {f"pictures/{name}.png": content for name, content in report.pictures.items()}
    record_training(
        run, kept.result, spec_digest=made.spec_digest, searches_from=list(kept.origins.values()), files=pictures
    )
    return register(
        kept.training.bundle(),
        run=run,
        data_digest=made.data_digest,
        spec_digest=made.spec_digest,
        synthetic=kept.result.synthetic,
    )


def _candidate_rows(results: "TrainingResults") -> list[dict[str, Any]]:
    shown = ("auroc", "brier", "calibration_slope", "expected_cost")
    return [
        {
            "candidate": row.name,
            **{name: found.value if (found := row.metrics.get(name)) else None for name in shown},
            "auroc low": auroc.ci_low if (auroc := row.metrics.get("auroc")) else None,
            "auroc high": auroc.ci_high if auroc else None,
        }
        for row in results.candidates
    ]


def _metric_rows(results: "TrainingResults") -> list[dict[str, Any]]:
    return [
        {"measure": name, **row.model_dump(include={"value", "ci_low", "ci_high", "n", "events", "method"})}
        for name, row in results.metrics.items()
    ]


def _policy_rows(results: "TrainingResults") -> list[dict[str, Any]]:
    parts = ("alerts", "caught", "missed", "false_alarms", "cost")
    return [
        {"policy": row.policy, **{part: round(getattr(row, part).value, 2) for part in parts}}
        for row in results.business_table
    ]
