"""From features to a risk model with its evidence.

``candidate_models`` -> ``risk_model`` -> ``decision_threshold`` -> ``model_card``.

The first three come from one training, because they stand on the same folds; comparing, fitting and judging are the
work of ``clinical_assets.modelling``.
"""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import dagster as dg

from clinical_assets.assets import audit, evidence
from clinical_assets.assets.partitions import COHORTS
from clinical_assets.assets.resources import Platform, told
from clinical_assets.assets.tracking import MlflowTracking
from clinical_assets.assets.updates import CAUSE_TAG

if TYPE_CHECKING:
    from clinical_assets.modelling.mlflow_runs import TrackedRun
    from clinical_assets.modelling.registry import Version
    from clinical_assets.modelling.report import Report
    from clinical_assets.modelling.result import TrainingResult
    from clinical_assets.modelling.trainings import Training

GROUP = "models"
OWNERS = ["team:clinical-data-science"]


@dg.multi_asset(
    name="risk_modelling",
    partitions_def=COHORTS,
    group_name=GROUP,
    specs=[
        dg.AssetSpec(
            "candidate_models",
            deps=["features"],
            owners=OWNERS,
            kinds={"scikitlearn", "optuna"},
            code_version="1",
            description=(
                "Every candidate that the cohort names, compared by nested cross-validation on the same folds of the "
                "training rows: one row per candidate. Every setting that the search tried is kept in `model.trials`."
            ),
        ),
        dg.AssetSpec(
            "risk_model",
            deps=["candidate_models"],
            owners=OWNERS,
            kinds={"onnx", "mlflow"},
            code_version="1",
            description=(
                "The winner, refitted, recalibrated on out-of-fold scores and judged once on the locked holdout. A "
                "folder without a pickle: ONNX for scores, the native booster or coefficients for reasons, JSON for "
                "the rest, named by one digest."
            ),
        ),
        dg.AssetSpec(
            "decision_threshold",
            deps=["risk_model"],
            owners=OWNERS,
            kinds={"python"},
            code_version="1",
            description=(
                "The probability from which acting is cheaper than not acting, with the cost curve beside it, the risk "
                "tiers and what follows for 1,000 patients."
            ),
        ),
    ],
)
def risk_modelling(
    context: dg.AssetExecutionContext, platform: Platform, mlflow: MlflowTracking
) -> Iterator[dg.MaterializeResult]:
    """Look for leaks, compare candidates, fit and calibrate the winner, judge it, decide where to act."""
    from clinical_assets.modelling.make_bundle import train_and_keep

    cohort = platform.cohort(context.partition_key)
    with told(), cohort.warehouse.exclusive(), mlflow.run(context, cohort) as run:
        kept = train_and_keep(
            cohort.spec,
            warehouse=cohort.warehouse,
            sql=cohort.sql,
            run_id=context.run.run_id,
            progress=lambda what, done, of: context.log.info(f"{what}: {done} of {of}"),
        )
        result, report, training = kept.result, kept.report, kept.training
        version = _record(run, result, report, training)
        audit.record(
            context,
            cohort,
            "training",
            digest=version.digest,
            facts={"training": result.digest, "selected": result.selected, "n": result.n, "events": result.events},
        )
        cause = context.run.tags.get(CAUSE_TAG)
        if cause is not None:
            audit.record(context, cohort, "retrain", digest=version.digest, reason="refit", facts={"cause": cause})
    identity = evidence.identity(cohort.spec)
    yield dg.MaterializeResult(
        asset_key="candidate_models",
        data_version=dg.DataVersion(result.digest),
        metadata={
            "dagster/row_count": len(result.candidates),
            "candidates": evidence.records_table(_candidate_rows(report.results)),
            "selected": result.selected,
            "settings tried": result.trials.height,
            "seconds by stage": json.dumps({name: round(s, 3) for name, s in result.profile.items()}),
            **evidence.picture(report.pictures.get("candidates"), "nested estimates"),
            **evidence.picture(report.pictures.get("trials"), "every setting tried"),
            **identity,
        },
    )
    yield dg.MaterializeResult(
        asset_key="risk_model",
        data_version=dg.DataVersion(training.bundle().digest),
        metadata={
            "bundle digest": training.bundle().digest,
            "bundle": dg.MetadataValue.path(str(training.folder / "bundle")),
            "registered": f"{version.uri} (challenger)",
            "holdout": evidence.records_table(_metric_rows(report.results)),
            **{name: estimate.value for name, estimate in result.metrics.items()},
            **evidence.picture(report.pictures.get("calibration"), "calibration"),
            **evidence.picture(report.pictures.get("contributions"), "contributions"),
            **evidence.picture(report.pictures.get("risk_distribution"), "risk by outcome"),
            **identity,
        },
    )
    tiers = [
        {"tier": t.name, "from": t.lower, "to": t.upper, "share": t.share.value, "action": t.action}
        for t in result.threshold.tiers
    ]
    yield dg.MaterializeResult(
        asset_key="decision_threshold",
        data_version=dg.DataVersion(result.digest),
        metadata={
            "threshold": result.threshold.threshold,
            "cheapest on out-of-fold scores": result.threshold.curve.optimum_threshold,
            "per 1,000 patients": evidence.records_table(_policy_rows(report.results)),
            "tiers": evidence.records_table(tiers),
            "findings": dg.MetadataValue.md("\n".join(f"- {f.message}" for f in result.threshold.findings) or "none"),
            **evidence.picture(report.pictures.get("cost_curve"), "cost by threshold"),
            **evidence.picture(report.pictures.get("decision_curve"), "decision curve"),
            **identity,
        },
    )


def _record(run: "TrackedRun", result: "TrainingResult", report: "Report", training: "Training") -> "Version":
    """Leave candidates, measures, pictures and the bundle in MLflow; the bundle becomes the cohort's challenger."""
    from clinical_assets.modelling.mlflow_training import record_training
    from clinical_assets.modelling.registry import register

    made = report.results["provenance"]
    pictures = {f"pictures/{name}.png": content for name, content in report.pictures.items()}
    record_training(run, result, spec_digest=made["spec_digest"], files=pictures)
    return register(
        training.bundle(),
        run=run,
        data_digest=made["data_digest"],
        spec_digest=made["spec_digest"],
        synthetic=result.synthetic,
    )


def _candidate_rows(results: dict[str, Any]) -> list[dict[str, Any]]:
    shown = ("auroc", "brier", "calibration_slope", "expected_cost")
    return [
        {
            "candidate": row["name"],
            **{name: row["metrics"].get(name, {}).get("value") for name in shown},
            "auroc low": row["metrics"].get("auroc", {}).get("ci_low"),
            "auroc high": row["metrics"].get("auroc", {}).get("ci_high"),
        }
        for row in results["candidates"]
    ]


def _metric_rows(results: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"measure": name, **{part: row[part] for part in ("value", "ci_low", "ci_high", "n", "events", "method")}}
        for name, row in results["metrics"].items()
    ]


def _policy_rows(results: dict[str, Any]) -> list[dict[str, Any]]:
    parts = ("alerts", "caught", "missed", "false_alarms", "cost")
    return [
        {"policy": row["policy"], **{part: round(row[part]["value"], 2) for part in parts}}
        for row in results["business_table"]
    ]


@dg.asset(
    partitions_def=COHORTS,
    group_name=GROUP,
    owners=OWNERS,
    deps=["decision_threshold"],
    kinds={"markdown"},
    code_version="1",
)
def model_card(context: dg.AssetExecutionContext, platform: Platform, mlflow: MlflowTracking) -> dg.MaterializeResult:
    """What a reviewer must know about the newest model: one card, as Markdown and JSON, with its pictures."""
    from clinical_assets.modelling import trainings
    from clinical_assets.modelling.card_files import write_card

    cohort = platform.cohort(context.partition_key)
    with told(), mlflow.run(context, cohort) as run:
        training = trainings.latest(cohort.settings, cohort.name)
        card = write_card(cohort.spec, training)
        run.record_files({f"card/{path.name}": path for path in card.files})
    return dg.MaterializeResult(
        data_version=dg.DataVersion(training.results["bundle_digest"]),
        metadata={
            "card": dg.MetadataValue.md(card.embedded),
            "file": dg.MetadataValue.path(str(card.files[0])),
            "bundle digest": training.results["bundle_digest"],
            **evidence.identity(cohort.spec),
        },
    )
