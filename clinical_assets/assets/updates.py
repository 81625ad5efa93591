"""Carrying out the smallest update: ``recalibrated_model``, a champion with another logistic map behind it.

A refit needs no asset of its own: it is a training. Both end as a challenger that goes through the gates.
"""

import dagster as dg

from clinical_assets.assets import audit, evidence
from clinical_assets.assets.partitions import COHORTS
from clinical_assets.assets.resources import Platform, told
from clinical_assets.assets.tracking import MlflowTracking
from clinical_assets.errors import ClinicalAssetsError

GROUP = "updates"
OWNERS = ["team:clinical-data-science"]
#: Run tags by which a recommendation starts a run: what is to be done, and the digest of the cause.
UPDATE_TAG, CAUSE_TAG = "clinical_assets/update", "clinical_assets/cause"


@dg.asset(
    partitions_def=COHORTS,
    group_name=GROUP,
    owners=OWNERS,
    # Not `update_recommendation`, although that starts it: the graph is no circle, the life of a model is.
    deps=["risk_model"],
    kinds={"onnx", "mlflow"},
    code_version="1",
)
def recalibrated_model(
    context: dg.AssetExecutionContext, platform: Platform, mlflow: MlflowTracking
) -> dg.MaterializeResult:
    """The champion, recalibrated on outcomes that have become known: a bundle of its own, the cohort's challenger.

    Fitted on a part of the matured records and judged on the rest. Runs only when a recommendation, or a person by the
    tag `clinical_assets/update`, says which map is to be fitted; nothing is promoted by it.
    """
    from typing import cast

    from clinical_assets.governance import champions
    from clinical_assets.modelling import trainings
    from clinical_assets.modelling.card_files import write_card
    from clinical_assets.modelling.recalibrated import UpdateKind, derive, keep_rows
    from clinical_assets.modelling.registry import register
    from clinical_assets.monitoring import kept_reports, windows

    cohort = platform.cohort(context.partition_key)
    with told(), cohort.warehouse.exclusive(), mlflow.run(context, cohort) as run:
        recommended = kept_reports.latest(cohort.settings, cohort.name, "update_recommendation") or {}
        kind = context.run.tags.get(UPDATE_TAG) or recommended.get("action")
        if kind not in ("intercept", "intercept_and_slope"):
            raise ClinicalAssetsError(
                f"No recalibration of {cohort.name} is recommended; the newest recommendation is {kind or 'none'}.",
                cure=f"Start the run with the tag {UPDATE_TAG} set to intercept or intercept_and_slope.",
            )
        champion = champions.current(cohort.settings, cohort.name)
        if champion is None:
            raise ClinicalAssetsError(
                f"{cohort.name} has no champion to recalibrate.", cure=f"clinical-assets review {cohort.name}"
            )
        if UPDATE_TAG not in context.run.tags and recommended.get("bundle_digest") != champion.digest:
            raise ClinicalAssetsError(
                f"The newest recommendation of {cohort.name} is about another model than the one that serves.",
                cure=f"clinical-assets materialize {cohort.name} --job monitor_cohort",
            )
        with cohort.warehouse.reader() as connection:
            rows = windows.matured_records(connection, cohort.spec, bundle_digest=champion.digest)
        if rows is None or not rows.height:
            raise ClinicalAssetsError(
                "No outcome of a record that the champion scored is known.", cure="Send outcomes to the inbox."
            )
        cause = context.run.tags.get(CAUSE_TAG) or str(recommended.get("cause", ""))
        made = derive(
            trainings.with_bundle(cohort.settings, cohort.name, champion.digest),
            cohort.spec,
            rows,
            kind=cast(UpdateKind, kind),
            settings=cohort.settings,
            run_id=context.run.run_id,
            cause=cause,
        )
        bundle = made.training.bundle()
        with cohort.warehouse.writer() as connection:
            keep_rows(connection, made.rows, bundle.digest)
        card = write_card(cohort.spec, made.training)
        provenance = made.training.results["provenance"]
        version = register(
            bundle,
            run=run,
            data_digest=provenance["data_digest"],
            spec_digest=provenance["spec_digest"],
            synthetic=cohort.spec.synthetic,
        )
        facts = {
            "from": champion.digest,
            "kind": kind,
            "intercept": made.intercept,
            "slope": made.slope,
            "cause": cause,
        }
        audit.record(context, cohort, "training", digest=bundle.digest, facts=facts)
        audit.record(context, cohort, "retrain", digest=bundle.digest, reason=kind, facts={"cause": cause})
    return dg.MaterializeResult(
        data_version=dg.DataVersion(bundle.digest),
        metadata={
            "bundle digest": bundle.digest,
            "recalibrated from": champion.digest,
            "kind": kind,
            "intercept": made.intercept,
            "slope": made.slope,
            "registered": f"{version.uri} (challenger)",
            "card": dg.MetadataValue.md(card.embedded),
            **evidence.identity(cohort.spec),
        },
    )
