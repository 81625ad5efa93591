"""Watching the champion: reports on ``scored_records`` -> ``update_recommendation``, and a page.

What belongs here: what Dagster needs to know. Reports and rules are the work of ``clinical_assets.monitoring``, whose
``reports`` are the only place where a report is registered.
"""

import json

import dagster as dg

from clinical_assets.defs.monitoring.champion_asset import champion_asset, report_asset
from clinical_assets.defs.predictions.assets import GROUP
from clinical_assets.defs.shared import ledger_events
from clinical_assets.defs.shared.cohort_asset import AssetResult, cohort_asset
from clinical_assets.defs.shared.serving_model import serving_model
from clinical_assets.monitoring.report_type import ChampionContext, NothingToReport
from clinical_assets.monitoring.reports import REPORTS
from clinical_assets.workspace import CohortHandle

OWNER = "team:clinical-data-science"
_MADE = [report for report in REPORTS if report.maker is not None]

REPORT_ASSETS = [report_asset(report) for report in _MADE]


@champion_asset(deps=["drift_report"], kinds={"evidently", "html"})
def evidently_report(_: dg.AssetExecutionContext, cohort: CohortHandle, champion: ChampionContext) -> AssetResult:
    """Evidently's drift report on a sample of the newest batches, for people who want pictures; nothing rests on it."""
    from clinical_assets.modelling.trainings.reference import relation_of
    from clinical_assets.monitoring import report_store, windows
    from clinical_assets.monitoring.drift.evidently_report import write_evidently_report

    digest, names = champion.digest, champion.bundle.feature_columns
    least = cohort.spec.monitoring.minimum_n
    with cohort.warehouse.reader() as connection:
        window = champion.newest(connection, at_least=least)
        if window.rows < least:
            raise NothingToReport(f"Fewer than {least} records: pictures of them would mislead.")
        written = write_evidently_report(
            relation_of(digest),
            windows.drift_relation(connection, cohort.spec, window, bundle_digest=digest, features=names),
            report_store.folder_of(cohort.settings, cohort.name) / "evidently.html",
            columns=[*names, "risk"],
            title=f"{cohort.spec.title}: {window.name}",
            synthetic=cohort.spec.synthetic,
            connection=connection,
        )
    return AssetResult(metadata={"page": written.path, "records drawn": written.rows_batch, "window": window.name})


@champion_asset(deps=[report.name for report in _MADE], kinds={"python"})
def update_recommendation(
    context: dg.AssetExecutionContext, cohort: CohortHandle, champion: ChampionContext
) -> AssetResult:
    """What should happen to the champion, by which rule, on which evidence: nothing, an update, or a decision."""
    from clinical_assets.monitoring import report_store, windows
    from clinical_assets.monitoring.updates.history import history_of, recommend_for
    from clinical_assets.records.ledger.facts.models import RecommendationFacts

    with cohort.warehouse.reader() as connection:
        champion.newest(connection, at_least=1)
        # Also before any outcome is known: broken values are told at once.
        rows = windows.matured_records(connection, cohort.spec, bundle_digest=champion.digest)
    recommended, cause = recommend_for(
        rows,
        cohort.spec,
        champion.bundle,
        settings=cohort.settings,
        history=history_of(cohort.records, cohort.name),
    )
    content = {
        "verdict": recommended.action,
        "summary": recommended.reason,
        "bundle_digest": champion.digest,
        "cause": cause,
        **recommended.to_json(),
    }
    before = report_store.latest(cohort.settings, cohort.name, "update_recommendation")
    report_store.keep(cohort.settings, cohort.name, "update_recommendation", content)
    if before is None or before.cause != cause:
        facts = RecommendationFacts(
            action=recommended.action,
            rule=recommended.rule,
            wanted=recommended.wanted,
            cause=cause,
            n=recommended.n,
            events=recommended.events,
        )
        ledger_events.record(
            context,
            cohort,
            "recommendation",
            digest=champion.digest,
            reason=recommended.reason,
            facts=facts,
        )
    return AssetResult(
        metadata={
            "action": recommended.action,
            "rule": recommended.rule,
            "reason": dg.MetadataValue.md(recommended.reason),
            "outcomes judged by": recommended.n,
            "events": recommended.events,
            "evidence": dg.MetadataValue.json(json.loads(json.dumps(dict(recommended.evidence)))),
            "cause": cause,
            "bundle digest": champion.digest,
        }
    )


@cohort_asset(group=GROUP, owner=OWNER, deps=["update_recommendation"], kinds={"html"})
def monitoring_page(_: dg.AssetExecutionContext, cohort: CohortHandle) -> AssetResult:
    """One static page with all reports of the cohort, and the page of all cohorts with model, release and lights."""
    from clinical_assets.observability.linked_pages import refresh_pages

    serving_model(cohort)  # verifies it
    pages = refresh_pages(cohort)
    return AssetResult(metadata={"page": pages.monitoring, "all cohorts": pages.all_cohorts})
