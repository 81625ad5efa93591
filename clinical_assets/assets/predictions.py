"""New records and their scores: ``incoming_records`` -> ``scored_records``.

What belongs here: what Dagster needs to know. Taking batches in and scoring them are the work of
``clinical_assets.warehouse`` and ``clinical_assets.modelling``.
"""

from typing import TYPE_CHECKING, Any

import dagster as dg

from clinical_assets.assets import audit, evidence, freshness
from clinical_assets.assets.partitions import COHORTS
from clinical_assets.assets.resources import Cohort, Platform, told

if TYPE_CHECKING:
    from clinical_assets.governance.champions import Champion
    from clinical_assets.modelling.bundle import Bundle

GROUP = "monitoring"
OWNERS = ["team:clinical-data-science"]


def serving_model(cohort: Cohort) -> "tuple[Champion, Bundle] | None":
    """What serves, verified; None before the first promotion.

    Raises
    ------
    ChampionError
        The pointer names a promotion that the records do not know, or a bundle that is not there.
    BundleError
        A file of the bundle was changed.
    """
    from clinical_assets.governance import champions, promotion

    champion = champions.current(cohort.settings, cohort.name)
    if champion is not None and not promotion.is_recorded(cohort.settings, champion):
        # A change that goes on is waited for; one whose process was killed after the switch is completed.
        promotion.recover(cohort.settings, cohort.name)
        champion = champions.current(cohort.settings, cohort.name)
    if champion is None:
        return None
    if not promotion.is_recorded(cohort.settings, champion):
        raise champions.ChampionError(
            f"The pointer of {cohort.name} names a promotion that the records do not know: it was not written by a "
            "promotion.",
            cure="Find out who wrote it; roll back, or promote the model that is to serve.",
        )
    return champion, champions.bundle_of(cohort.settings, champion)


def nothing_yet(cohort: Cohort, why: str) -> dg.MaterializeResult:
    """A report that has nothing to say yet, said as such."""
    return dg.MaterializeResult(metadata={"verdict": "insufficient", "why": why, **evidence.identity(cohort.spec)})


@dg.asset(
    partitions_def=COHORTS,
    group_name=GROUP,
    owners=["team:data-platform"],
    kinds={"duckdb", "pandera"},
    code_version="1",
    freshness_policy=freshness.DAILY,
)
def incoming_records(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
    """New records and outcomes from the cohort's inbox: one row per accepted record, by batch.

    Each batch is validated like the cohort's own source. Refused records are kept with their reasons; a file that
    cannot be used lies in the inbox under `refused/` with a report beside it. The same file twice changes nothing.
    """
    from clinical_assets.warehouse.intake import take_in
    from clinical_assets.warehouse.matured import mature

    cohort = platform.cohort(context.partition_key)
    with told(), cohort.warehouse.exclusive():
        done = take_in(cohort.spec, settings=cohort.settings, progress=context.log.info)
        # Before anything else can fail: what was taken in is known by now, and would never be entered afterwards.
        for batch in done.batches:
            if batch.status == "accepted":
                counts = {"tables": dict(batch.tables), "refused": batch.refused_rows}
                audit.record(context, cohort, "batch", digest=batch.batch, facts=counts)
        for outcome in done.outcomes:
            facts = {"new": outcome.new, "known": outcome.known, "conflicts": outcome.conflicts}
            audit.record(context, cohort, "outcomes", digest=outcome.file, facts=facts)
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
    tables: dict[str, list[dict[str, Any]]] = {
        "batches": batches,
        "outcome files": outcomes,
        "refused files": refused,
    }
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": sum(each.rows for each in done.batches if each.status == "accepted"),
            **{name: evidence.records_table(rows) for name, rows in tables.items() if rows},
            "refused files count": len(refused),
            "received units with a known outcome": known,
            "files left for the next run": done.left,
            **evidence.identity(cohort.spec),
        }
    )


@dg.asset(
    partitions_def=COHORTS,
    group_name=GROUP,
    owners=OWNERS,
    deps=[incoming_records, "champion_model"],
    kinds={"onnx", "duckdb"},
    code_version="1",
    freshness_policy=freshness.DAILY,
)
def scored_records(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
    """Risk, tier and alert of every received record by the present champion: one row per record and batch."""
    from clinical_assets.modelling.scored import score_batch
    from clinical_assets.warehouse.received import batches

    cohort = platform.cohort(context.partition_key)
    with told(), cohort.warehouse.exclusive():
        serving = serving_model(cohort)
        if serving is None:
            return nothing_yet(cohort, "No model was promoted yet, so that nothing can be scored.")
        champion, bundle = serving
        scored = [score_batch(cohort.warehouse, cohort.spec, bundle, batch) for batch in batches(cohort.warehouse)]
        preview = {}
        if any(each.rows for each in scored):
            with cohort.warehouse.reader() as connection:
                clear = cohort.in_clear(("batch", "risk", "is_alert", "tier", "scored_at"))
                preview = evidence.preview(connection, "monitoring.scored_records", clear=clear)
    new = [each for each in scored if each.new]
    tiers = {tier.name: sum(each.tiers[tier.name] for each in new) for tier in cohort.spec.decisions.tiers}
    rows = sum(each.rows for each in new)
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": rows,
            "alerts": sum(each.alerts for each in new),
            **({"alert rate": sum(each.alerts for each in new) / rows} if rows else {}),
            "tiers": evidence.records_table([{"tier": name, "records": number} for name, number in tiers.items()]),
            "bundle digest": champion.digest,
            "batches scored before": len(scored) - len(new),
            **preview,
            **evidence.identity(cohort.spec),
        }
    )
