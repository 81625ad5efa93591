"""Watching the champion: reports on ``scored_records`` -> ``update_recommendation``, and a page.

What belongs here: what Dagster needs to know. Reports and rules are the work of ``clinical_assets.monitoring``.
"""

import json

import dagster as dg

from clinical_assets.assets import audit, evidence
from clinical_assets.assets.champion_reports import NothingYet, Watched, champion_report
from clinical_assets.assets.partitions import COHORTS
from clinical_assets.assets.predictions import GROUP, OWNERS, scored_records, serving_model
from clinical_assets.assets.resources import Platform, told


@champion_report(deps=[scored_records], kinds={"duckdb"})
def data_quality_report(watched: Watched) -> dg.MaterializeResult:
    """Whether the newest batches look like records at all: missing, refused, implausible, stuck or shifted values."""
    from clinical_assets.monitoring.quality import quality_report

    spec = watched.cohort.spec
    with watched.cohort.warehouse.reader() as connection:
        window = watched.newest(connection, at_least=spec.monitoring.minimum_n)
        report = quality_report(connection, spec, watched.bundle, window)
    return watched.shown("data_quality_report", report, window.name)


@champion_report(deps=[scored_records], kinds={"duckdb"})
def drift_report(watched: Watched) -> dg.MaterializeResult:
    """Have the newest batches moved away from the champion's training rows, and do the features that moved matter?

    Decided on all rows, with multiplicity control, limits on size and a least number of records.
    """
    from clinical_assets.modelling import trainings
    from clinical_assets.modelling.reference import relation_of
    from clinical_assets.monitoring import drift, windows

    cohort, digest, names = watched.cohort, watched.champion.digest, watched.bundle.feature_columns
    contributions = trainings.with_bundle(cohort.settings, cohort.name, digest).results["contributions"]
    limits = cohort.spec.monitoring
    with cohort.warehouse.reader() as connection:
        window = watched.newest(connection, at_least=limits.minimum_n)
        report = drift.drift_report(
            relation_of(digest),
            windows.drift_relation(cohort.spec, window, bundle_digest=digest, features=names),
            features=names,
            # Without a row to explain there are no contributions, and no feature weighs more than another.
            importance=contributions or None,
            limits=limits,
            connection=connection,
        )
    return watched.shown("drift_report", report, window.name)


@champion_report(deps=[drift_report], kinds={"evidently", "html"})
def evidently_report(watched: Watched) -> dg.MaterializeResult:
    """Evidently's drift report on a sample of the newest batches, for people who want pictures; nothing rests on it."""
    from clinical_assets.modelling.reference import relation_of
    from clinical_assets.monitoring import kept_reports, windows
    from clinical_assets.monitoring.evidently_report import write_evidently_report

    cohort, digest, names = watched.cohort, watched.champion.digest, watched.bundle.feature_columns
    least = cohort.spec.monitoring.minimum_n
    with cohort.warehouse.reader() as connection:
        window = watched.newest(connection, at_least=least)
        if window.rows < least:
            raise NothingYet(f"Fewer than {least} records: pictures of them would mislead.")
        written = write_evidently_report(
            relation_of(digest),
            windows.drift_relation(cohort.spec, window, bundle_digest=digest, features=names),
            kept_reports.folder_of(cohort.settings, cohort.name) / "evidently.html",
            columns=[*names, "risk"],
            title=f"{cohort.spec.title}: {window.name}",
            synthetic=cohort.spec.synthetic,
            connection=connection,
        )
    return dg.MaterializeResult(
        metadata={
            "page": dg.MetadataValue.path(str(written.path)),
            "records drawn": written.rows_batch,
            "window": window.name,
            **evidence.identity(cohort.spec),
        }
    )


@champion_report(deps=[scored_records], kinds={"python"})
def performance_report(watched: Watched) -> dg.MaterializeResult:
    """How the champion does on outcomes that are known by now, against its card; until then estimated without them."""
    from clinical_assets.modelling import trainings
    from clinical_assets.monitoring import windows
    from clinical_assets.monitoring.label_free import label_free_report
    from clinical_assets.monitoring.performance import performance_report as judge

    cohort, digest = watched.cohort, watched.champion.digest
    training = trainings.with_bundle(cohort.settings, cohort.name, digest)
    with cohort.warehouse.reader() as connection:
        rows = windows.matured_records(connection, cohort.spec, bundle_digest=digest)
        unlabelled = label_free_report(connection, watched.bundle)
    if rows is None and unlabelled is None:
        raise NothingYet("No record was scored by the present champion yet.")
    report = judge(rows, cohort.spec, watched.bundle, card=training.results, unlabelled=unlabelled)
    window = f"outcomes known by {report.until[:19]} UTC" if report.until else "before any outcome"
    return watched.shown("performance_report", report, window)


@champion_report(deps=[scored_records], kinds={"fairlearn"})
def fairness_report(watched: Watched) -> dg.MaterializeResult:
    """The bias gate's questions, asked again of matured outcomes: one row per group and measure."""
    from clinical_assets.governance.fairness import fairness_report as judge
    from clinical_assets.monitoring import windows

    spec = watched.cohort.spec
    with watched.cohort.warehouse.reader() as connection:
        rows = windows.matured_records(connection, spec, bundle_digest=watched.champion.digest)
    if rows is None or not rows.height:
        raise NothingYet("No outcome of a scored record is known yet.")
    report = judge(rows, spec, watched.bundle)
    return watched.shown("fairness_report", report, f"outcomes known by {str(rows['known_at'].max())[:19]} UTC")


@champion_report(deps=[data_quality_report, drift_report, performance_report, fairness_report], kinds={"python"})
def update_recommendation(watched: Watched) -> dg.MaterializeResult:
    """What should happen to the champion, by which rule, on which evidence: nothing, an update, or a decision."""
    from clinical_assets.monitoring import kept_reports, windows
    from clinical_assets.monitoring.updating_history import history_of, recommend_for

    cohort, champion, bundle = watched.cohort, watched.champion, watched.bundle
    with cohort.warehouse.reader() as connection:
        watched.newest(connection, at_least=1)
        # Also before any outcome is known: broken values are told at once.
        rows = windows.matured_records(connection, cohort.spec, bundle_digest=champion.digest)
    recommended, cause = recommend_for(
        rows,
        cohort.spec,
        bundle,
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
    before = kept_reports.latest(cohort.settings, cohort.name, "update_recommendation")
    kept_reports.keep(cohort.settings, cohort.name, "update_recommendation", content)
    if before is None or before.get("cause") != cause:
        facts = {
            "action": recommended.action,
            "rule": recommended.rule,
            "wanted": recommended.wanted,
            "cause": cause,
            "n": recommended.n,
            "events": recommended.events,
        }
        audit.record(
            watched.context,
            cohort,
            "recommendation",
            digest=champion.digest,
            reason=recommended.reason,
            facts=facts,
        )
    return dg.MaterializeResult(
        metadata={
            "action": recommended.action,
            "rule": recommended.rule,
            "reason": dg.MetadataValue.md(recommended.reason),
            "outcomes judged by": recommended.n,
            "events": recommended.events,
            "evidence": dg.MetadataValue.json(json.loads(json.dumps(dict(recommended.evidence)))),
            "cause": cause,
            "bundle digest": champion.digest,
            **evidence.identity(cohort.spec),
        }
    )


@dg.asset(
    partitions_def=COHORTS,
    group_name=GROUP,
    owners=OWNERS,
    deps=[update_recommendation],
    kinds={"html"},
    code_version="1",
)
def monitoring_page(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
    """One static page with all reports of the cohort, and the platform's page with a traffic light for every cohort."""
    from clinical_assets.governance import champions
    from clinical_assets.monitoring.pages import write_cohort_page, write_platform_page

    cohort = platform.cohort(context.partition_key)
    with told():
        serving = serving_model(cohort)
        page = write_cohort_page(cohort.settings, cohort.spec, champion=None if serving is None else serving[0].digest)
        standing = {name: champions.current(cohort.settings, name) for name in cohort.catalogue.names()}
        since = {name: champion.since for name, champion in standing.items() if champion is not None}
        overview = write_platform_page(cohort.settings, cohort.catalogue, since=since)
    return dg.MaterializeResult(
        metadata={
            "page": dg.MetadataValue.path(str(page)),
            "all cohorts": dg.MetadataValue.path(str(overview)),
            **evidence.identity(cohort.spec),
        }
    )
