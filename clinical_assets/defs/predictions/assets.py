"""New records and their scores: ``incoming_records`` -> ``scored_records``.

What belongs here: what Dagster needs to know. Taking batches in and scoring them are the work of
``clinical_assets.warehouse`` and ``clinical_assets.modelling``.
"""

from typing import Any

import dagster as dg

from clinical_assets.defs.shared import asset_metadata, freshness, ledger_events
from clinical_assets.defs.shared.cohort_asset import AssetResult, cohort_asset
from clinical_assets.defs.shared.serving_model import serving_model
from clinical_assets.workspace import CohortHandle

#: One group with the reports: what happens after a release.
GROUP = "monitoring"


@cohort_asset(
    group=GROUP, owner="team:data-platform", kinds={"duckdb", "pandera"}, exclusive=True, freshness=freshness.DAILY
)
def incoming_records(context: dg.AssetExecutionContext, cohort: CohortHandle) -> AssetResult:
    """New records and outcomes from the cohort's inbox: one row per accepted record, by batch.

    Each batch is validated like the cohort's own source. Refused records are kept with their reasons; a file that
    cannot be used lies in the inbox under `refused/` with a report beside it. The same file twice changes nothing.
    """
    from clinical_assets.warehouse.intake.inbox_intake import take_in
    from clinical_assets.warehouse.outcomes.matured_outcomes import mature, matured_digest

    try:
        done = take_in(cohort.spec, settings=cohort.settings, progress=context.log.info)
    finally:
        # Whatever failed: what was committed, by this run or by one that was killed, is entered.
        _enter(context, cohort)
    known = mature(cohort.spec, cohort.sql, settings=cohort.settings) if cohort.warehouse.exists() else 0
    batches = [
        {
            "batch": each.batch[:19],
            "status": each.status,
            "records": each.rows,
            "refused records": each.refused_rows,
        }
        for each in done.batches
    ]
    outcomes = [
        {
            "file": each.file[:19],
            "new facts": each.new,
            "known": each.known,
            "contradictions": each.conflicts,
            "waiting for their record": each.waiting,
            "refused rows": each.refused_rows,
        }
        for each in done.outcomes
    ]
    refused = [{"file": name, "reason": reason} for name, reason in done.refused]
    stuck = [{"file": name, "reason": reason} for name, reason in done.stuck]
    return AssetResult(
        # Of what is known of received records: they join the cohort's source at the next ingestion.
        matured_digest(cohort.warehouse) if cohort.warehouse.exists() else None,
        {
            "dagster/row_count": sum(each.rows for each in done.batches if each.status == "accepted"),
            "batches": batches,
            "outcome files": outcomes,
            "refused files": refused,
            "refused files count": len(refused),
            "files that could not be moved": stuck,
            "received units with a known outcome": known,
            "files left for the next run": done.left,
        },
    )


def _enter(context: dg.AssetExecutionContext, cohort: CohortHandle) -> None:
    from clinical_assets.records.keys.rotations import enter_rotations
    from clinical_assets.warehouse.store.unentered import enter

    actor = ledger_events.actor_of(context.run, cohort)
    enter(cohort.warehouse, cohort.ledger, actor=actor, run_id=context.run.run_id)
    enter_rotations(cohort.settings, cohort.name, cohort.ledger, actor=actor)


@cohort_asset(
    group=GROUP,
    owner="team:data-platform",
    deps=["champion_model"],
    kinds={"duckdb"},
    exclusive=True,
    freshness=freshness.DAILY,
)
def prediction_log(_: dg.AssetExecutionContext, cohort: CohortHandle) -> AssetResult:
    """What the prediction API answered, and what came of it: one row per answered record, outcome and action.

    Only what is new in the log is read, each line held against the chain. People stand here under the log's names.
    """
    from clinical_assets.modelling.bundle.logged_scores import bring_in
    from clinical_assets.monitoring.windows import references
    from clinical_assets.records.prediction_log.segments import log_folder

    if not log_folder(cohort.settings, cohort.name).exists():
        return AssetResult(metadata={"dagster/row_count": 0, "why": "The prediction API has answered nothing yet."})
    done = bring_in(cohort.warehouse, cohort.spec, references=references)
    return AssetResult(
        metadata={
            "dagster/row_count": done.predictions,
            "outcomes": done.outcomes,
            "actions": done.actions,
            "read to line": done.read_to,
        }
    )


@cohort_asset(
    group=GROUP,
    owner="team:clinical-data-science",
    deps=["incoming_records", "champion_model"],
    kinds={"onnx", "duckdb"},
    exclusive=True,
    freshness=freshness.DAILY,
)
def scored_records(_: dg.AssetExecutionContext, cohort: CohortHandle) -> AssetResult:
    """Risk, tier and alert of every received record by the present champion: one row per record and batch."""
    from clinical_assets.governance.promotion import promotion
    from clinical_assets.modelling.bundle.batch_scoring import score_batch
    from clinical_assets.warehouse.intake.batch_intake import batches

    serving = serving_model(cohort)
    if serving is None:
        why = promotion.why_nothing_serves(cohort.settings, cohort.name)
        return AssetResult(metadata={"verdict": "insufficient", "why": why})
    champion, bundle = serving
    scored = [score_batch(cohort.warehouse, cohort.spec, bundle, batch) for batch in batches(cohort.warehouse)]
    preview: dict[str, Any] = {}
    if any(each.rows for each in scored):
        with cohort.warehouse.reader() as connection:
            clear = ("batch", "risk", "is_alert", "tier", "scored_at")
            preview = asset_metadata.preview(connection, "monitoring.scored_records", cohort=cohort, clear=clear)
    new = [each for each in scored if each.new]
    tiers = {tier.name: sum(each.tiers[tier.name] for each in new) for tier in cohort.spec.decisions.tiers}
    rows, alerts = sum(each.rows for each in new), sum(each.alerts for each in new)
    decided = [{"class": label, "records": sum(each.classes.get(label, 0) for each in new)} for label in bundle.classes]
    return AssetResult(
        metadata={
            "dagster/row_count": rows,
            "alerts": alerts,
            "alert rate": alerts / rows if rows else None,
            "tiers": [{"tier": name, "records": number} for name, number in tiers.items()],
            **({"classes decided": decided} if len(decided) > 2 else {}),
            "bundle digest": champion.digest,
            "batches scored before": len(scored) - len(new),
            **preview,
        }
    )
