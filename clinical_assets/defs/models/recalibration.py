"""Carrying out the smallest update: ``recalibrated_model``, a champion with another logistic map behind it.

A refit needs no asset of its own: it is a training. Both end as a challenger that goes through the gates.
"""

from typing import TYPE_CHECKING

import dagster as dg

from clinical_assets.defs.shared import ledger_events
from clinical_assets.defs.shared.cohort_asset import AssetResult, cohort_asset
from clinical_assets.defs.shared.run_tags import CAUSE_TAG, UPDATE_TAG
from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.workspace import CohortHandle

if TYPE_CHECKING:
    from clinical_assets.modelling.tracking.mlflow_runs import TrackedRun

GROUP = "updates"
OWNER = "team:clinical-data-science"


@cohort_asset(
    group=GROUP,
    owner=OWNER,
    # Not `update_recommendation`, although that starts it: the graph is no circle, the life of a model is.
    deps=["risk_model"],
    kinds={"onnx", "mlflow"},
    exclusive=True,
    tracked=True,
)
def recalibrated_model(context: dg.AssetExecutionContext, cohort: CohortHandle, tracked: "TrackedRun") -> AssetResult:
    """The champion, recalibrated on outcomes that have become known: a bundle of its own, the cohort's challenger.

    Fitted on a part of the matured records and judged on the rest. Runs only when a recommendation, or a person by the
    tag `clinical_assets/update`, says which map is to be fitted; nothing is promoted by it.
    """
    from typing import cast

    from clinical_assets.modelling.bundle.bundle_description import RecalibrationKind
    from clinical_assets.modelling.champion import champion_pointer
    from clinical_assets.modelling.tracking.registry import register
    from clinical_assets.modelling.trainings import trainings
    from clinical_assets.modelling.trainings.card_files import write_card
    from clinical_assets.modelling.trainings.evidence import evidence_digests
    from clinical_assets.modelling.trainings.recalibrated import derive, keep_rows
    from clinical_assets.monitoring import report_store, windows
    from clinical_assets.monitoring.performance.followed_records import known_records
    from clinical_assets.observability.linked_pages import refresh_pages
    from clinical_assets.records.ledger.facts.models import RetrainFacts, TrainingFacts

    recommended = report_store.latest(cohort.settings, cohort.name, "update_recommendation")
    kind = context.run.tags.get(UPDATE_TAG) or (recommended.action if recommended else None)
    if kind not in ("intercept", "intercept_and_slope"):
        raise ClinicalAssetsError(
            f"No recalibration of {cohort.name} is recommended; the newest recommendation is {kind or 'none'}.",
            cure=f"Start the run with the tag {UPDATE_TAG} set to intercept or intercept_and_slope.",
        )
    champion = champion_pointer.current(cohort.settings, cohort.name)
    if champion is None:
        raise ClinicalAssetsError(
            f"{cohort.name} has no champion to recalibrate.", cure=f"clinical-assets review {cohort.name}"
        )
    if UPDATE_TAG not in context.run.tags and (recommended is None or recommended.bundle_digest != champion.digest):
        raise ClinicalAssetsError(
            f"The newest recommendation of {cohort.name} is about another model than the one that serves.",
            cure=f"clinical-assets materialize {cohort.name} --job monitor_cohort",
        )
    with cohort.warehouse.reader() as connection:
        everybody = windows.followed_records(connection, cohort.spec, bundle_digest=champion.digest)
    rows = None if everybody is None else known_records(everybody, cohort.spec)
    if everybody is None or rows is None or not rows.height:
        raise ClinicalAssetsError(
            "No outcome of a record that the champion scored is known.", cure="Send outcomes to the inbox."
        )
    cause = context.run.tags.get(CAUSE_TAG) or (recommended.cause if recommended else None) or ""
    made = derive(
        trainings.with_bundle(cohort.settings, cohort.name, champion.digest),
        cohort.spec,
        rows,
        kind=cast("RecalibrationKind", kind),
        settings=cohort.settings,
        run_id=context.run.run_id,
        cause=cause,
        censored=everybody.filter(everybody["outcome"].is_null()),
    )
    bundle = made.training.bundle()
    with cohort.warehouse.writer() as connection:
        keep_rows(connection, made.rows, bundle.digest)
    card = write_card(cohort.spec, made.training)
    refresh_pages(cohort)
    provenance = made.training.results.provenance
    version = register(
        bundle,
        run=tracked,
        data_digest=provenance.data_digest,
        spec_digest=provenance.spec_digest,
        synthetic=cohort.spec.synthetic,
    )
    facts = TrainingFacts(
        base=champion.digest,
        kind=kind,
        intercept=made.intercept,
        slope=made.slope,
        cause=cause,
        evidence=evidence_digests(cohort.warehouse, made.training, monitoring=True),
    )
    ledger_events.record(context, cohort, "training", digest=bundle.digest, facts=facts)
    ledger_events.record(context, cohort, "retrain", digest=bundle.digest, reason=kind, facts=RetrainFacts(cause=cause))
    return AssetResult(
        bundle.digest,
        {
            "bundle digest": bundle.digest,
            "recalibrated from": champion.digest,
            "kind": kind,
            "intercept": made.intercept,
            "slope": made.slope,
            "registered": f"{version.uri} (challenger)",
            "card": dg.MetadataValue.md(card.embedded),
        },
    )
