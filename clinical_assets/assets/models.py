"""From features to a risk model with its evidence.

``candidate_models`` -> ``risk_model`` -> ``decision_threshold`` -> ``model_card``.

The first three come from one training, because they stand on the same folds; comparing, fitting and judging are the
work of ``clinical_assets.modelling``.
"""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import dagster as dg

from clinical_assets.assets import evidence
from clinical_assets.assets.partitions import COHORTS
from clinical_assets.assets.resources import Cohort, Platform, told
from clinical_assets.assets.tracking import MlflowTracking

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
    cohort = platform.cohort(context.partition_key)
    with told(), cohort.warehouse.exclusive(), mlflow.run(context, cohort) as run:
        result, report, training = _train(context, cohort)
        version = _record(run, result, report, training)
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


def _train(context: dg.AssetExecutionContext, cohort: Cohort) -> "tuple[TrainingResult, Report, Training]":
    from clinical_assets.modelling import trainings
    from clinical_assets.modelling.bundle import Bundle
    from clinical_assets.modelling.inputs import features_of
    from clinical_assets.modelling.leakage import LeakageFound
    from clinical_assets.modelling.report import make_report
    from clinical_assets.modelling.training import train_cohort
    from clinical_assets.warehouse.feature_table import load_feature_table
    from clinical_assets.warehouse.snapshot_files import list_snapshots

    spec, settings = cohort.spec, cohort.settings
    table = load_feature_table(cohort.warehouse, spec)
    features, outcome = cohort.sql.compile(cohort.sql.feature_model), cohort.sql.compile(cohort.sql.outcome_model)
    raw = cohort.warehouse.query(f'SELECT * FROM validated."{spec.subject_table}"')
    try:
        result = train_cohort(
            table,
            spec,
            progress=lambda what, done, of: context.log.info(f"{what}: {done} of {of}"),
            raw_frame=raw,
            lineage=cohort.sql.lineage(cohort.sql.feature_model),
        )
    except LeakageFound as error:
        trainings.keep_refusal(settings, spec.name, message=str(error), leaks=error.leaks, run_id=context.run.run_id)
        raise
    newest: dict[str, str] = {}
    for snapshot in list_snapshots(spec.name, settings=settings):
        newest.setdefault(snapshot.table, snapshot.digest)
    made = trainings.provenance(
        spec,
        data_digest=table.digest,
        statement=features.sql,
        outcome_statement=outcome.sql,
        snapshots={name: digest for name, digest in newest.items() if name in spec.tables},
    )
    train_rows = features_of(result.out_of_fold.join(table.frame, on=list(spec.key)), table.feature_columns)
    bundle = Bundle.write(
        trainings.models_folder(settings, spec.name) / result.digest.removeprefix("sha256:")[:16] / "bundle",
        result.model,
        X=train_rows,
        statement=features.sql,
        facts={
            "cohort": spec.name,
            "synthetic": spec.synthetic,
            "action_from": result.action_from,
            "threshold": result.threshold.threshold,
            "tiers": [tier.model_dump(mode="json") for tier in spec.decisions.tiers],
            "reference": result.model.reference,
            "provenance": made,
        },
        run={"dagster_run_id": context.run.run_id},
    )
    holdout = features_of(result.holdout_scores.join(table.frame, on=list(spec.key)), table.feature_columns)
    report = make_report(result, spec, bundle, holdout_features=holdout, prov=made)
    training = trainings.keep(
        settings,
        spec.name,
        bundle=bundle,
        results=report.results,
        files={f"{name}.png": content for name, content in report.pictures.items()},
        run_id=context.run.run_id,
    )
    _keep_tables(cohort, result)
    return result, report, training


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


def _keep_tables(cohort: Cohort, result: "TrainingResult") -> None:
    """Every setting tried, and the scores that nobody may tune on again, beside the features they came from."""
    tables = {"trials": result.trials, "out_of_fold": result.out_of_fold, "holdout_scores": result.holdout_scores}
    with cohort.warehouse.writer() as connection:
        for name, frame in tables.items():
            connection.register("_kept", frame.to_arrow())
            connection.execute(f"CREATE OR REPLACE TABLE model.{name} AS SELECT * FROM _kept")
            connection.unregister("_kept")


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
    import base64

    from clinical_assets.modelling import trainings
    from clinical_assets.modelling.card import PICTURES, card_json, card_markdown

    cohort = platform.cohort(context.partition_key)
    with told(), mlflow.run(context, cohort) as run:
        training = trainings.latest(cohort.settings, cohort.name)
        folder = training.report
        drawn = [name for name in PICTURES if (folder / f"{name}.png").exists()]
        text = card_markdown(cohort.spec, training.results, picture=lambda name: f"{name}.png", pictures=drawn)
        (folder / "model_card.md").write_text(text, encoding="utf-8")
        content = json.dumps(card_json(cohort.spec, training.results), indent=1, ensure_ascii=False, allow_nan=False)
        (folder / "model_card.json").write_text(content + "\n", encoding="utf-8")

        def embedded(name: str) -> str:
            return f"data:image/png;base64,{base64.b64encode((folder / f'{name}.png').read_bytes()).decode()}"

        shown = card_markdown(cohort.spec, training.results, picture=embedded, pictures=drawn)
        run.record_files({f"card/{name}": folder / name for name in ("model_card.md", "model_card.json")})
    return dg.MaterializeResult(
        data_version=dg.DataVersion(training.results["bundle_digest"]),
        metadata={
            "card": dg.MetadataValue.md(shown),
            "file": dg.MetadataValue.path(str(folder / "model_card.md")),
            "bundle digest": training.results["bundle_digest"],
            **evidence.identity(cohort.spec),
        },
    )
