"""From a model card to a champion: ``gate_verdicts`` -> ``release_dossier`` -> [``approval``] -> ``champion_model``.

The decision is made outside the graph, by people who sign; ``approval`` only shows it. A blocking check protects its
own run and no other, so ``champion_model`` believes neither the graph nor the checks: it asks the records again.
"""

import dagster as dg

from clinical_assets.defs import partitions
from clinical_assets.defs.release import conditions
from clinical_assets.defs.shared import asset_metadata, ledger_events
from clinical_assets.defs.shared.cohort_asset import MLFLOW, AssetResult, cohort_asset
from clinical_assets.defs.shared.run_tags import SENSOR_TAG, WAITS_FOR
from clinical_assets.governance.verdicts.verdict import GATES, module_of
from clinical_assets.workspace import CohortHandle

GROUP = "release"
OWNER = "team:quality"

# Not made here, it only shows signatures; unless it is named, the graph does not know that it is partitioned.
approval = dg.AssetSpec(
    "approval",
    partitions_def=partitions.cohorts(),
    group_name=GROUP,
    owners=[OWNER],
    deps=["release_dossier"],
    kinds={"signature"},
    description=(
        "Signatures given outside the graph with `clinical-assets approve`, one materialisation each; the data version "
        "is the digest of the dossier that was signed. Nobody can approve by materialising it."
    ),
)


@cohort_asset(
    group=GROUP,
    owner=OWNER,
    deps=["model_card", "recalibrated_model"],
    kinds={"fairlearn", "onnx"},
    exclusive=True,
    automation=conditions.JUDGE,
    runs=[module_of(gate) for gate in GATES],
)
def gate_verdicts(context: dg.AssetExecutionContext, cohort: CohortHandle) -> AssetResult:
    """What five gates say about the newest model: one row per criterion, kept under the bundle's digest.

    Data quality, performance, bias, regulation and security. Each verdict is pass, fail or insufficient, with value,
    limit, interval, n and events; insufficient is never a silent pass and needs a signed waiver. Automation does not
    judge again what has verdicts for this bundle, description, champion and code; whoever starts the run does.
    """
    from clinical_assets.foundation.canonical import value_digest
    from clinical_assets.governance.candidate.candidate import candidate_of
    from clinical_assets.governance.gates.basis import basis_of, standing_verdicts
    from clinical_assets.governance.gates.evaluation import evaluate_gates
    from clinical_assets.governance.verdicts.verdict import summary

    candidate = candidate_of(cohort)
    standing = standing_verdicts(candidate) if SENSOR_TAG in context.run.tags else None
    found = standing or evaluate_gates(
        candidate,
        actor=ledger_events.actor_of(context.run, cohort),
        run_id=context.run.run_id,
        basis=basis_of(candidate),
        progress=context.log.info,
    )
    if standing is not None:
        context.log.info("Nothing that gates look at has changed since these verdicts were given; they stand.")
    rows = [verdict.row() for verdicts in found.values() for verdict in verdicts]
    # Milliseconds differ from one measurement to the next; the verdict on them does not.
    lasting = [(row["gate"], row["criterion"], row["verdict"]) for row in rows]
    summaries = "\n".join(f"- **{gate}**: {summary(verdicts)}" for gate, verdicts in found.items())
    return AssetResult(
        value_digest({"bundle": candidate.digest, "verdicts": lasting}),
        {
            "dagster/row_count": len(rows),
            "bundle digest": candidate.digest,
            "judged again": standing is None,
            "summary": dg.MetadataValue.md(summaries),
            "verdicts": rows,
        },
    )


@cohort_asset(
    group=GROUP,
    owner=OWNER,
    deps=["gate_verdicts"],
    kinds={"html"},
    exclusive=True,
    # A failure blocks in its own run and later; `clinical-assets dossier` shows the page of such a model all the same.
    automation=conditions.DUE,
)
def release_dossier(context: dg.AssetExecutionContext, cohort: CohortHandle) -> AssetResult:
    """Everything a signer must read, in one folder and one page; its digest is what gets signed.

    Card, verdicts of all gates, comparison with the champion, digests of data and lineage, history of changes.
    """
    from clinical_assets.foundation.short_digests import short_digest
    from clinical_assets.governance.candidate.candidate import candidate_of
    from clinical_assets.governance.dossier.dossier import write_dossier
    from clinical_assets.observability.linked_pages import refresh_pages

    dossier = write_dossier(candidate_of(cohort), actor=ledger_events.actor_of(context.run, cohort))
    refresh_pages(cohort)
    return AssetResult(
        dossier.digest,
        {
            "dossier digest": dossier.digest,
            "bundle digest": dossier.bundle_digest,
            "page": dossier.index,
            "to sign": dg.MetadataValue.md(
                f"`clinical-assets review {cohort.name}`, then `clinical-assets approve {cohort.name} "
                f'--digest {short_digest(dossier.digest)} --as LOGIN --meaning "..."`'
            ),
        },
    )


@cohort_asset(
    group=GROUP,
    owner=OWNER,
    deps=["release_dossier", "approval"],
    kinds={"onnx", "mlflow"},
    pool=MLFLOW,
)
def champion_model(context: dg.AssetExecutionContext, cohort: CohortHandle) -> AssetResult:
    """The model that serves: promoted only if digest, gates, signatures, expiry and the author rule all hold now.

    MLflow's alias and the serving pointer are switched in one step; the champion before stays warm for a rollback.
    What does not hold is listed, each with its cure, and nothing changes. The sensor `promotion` asks for it when
    nothing stands against it any more; a model that waits for people is no failed run.
    """
    from clinical_assets.governance.candidate.candidate import candidate_of
    from clinical_assets.governance.promotion.blocker import waits_for
    from clinical_assets.governance.promotion.promotion import PromotionRefused, promote

    try:
        champion = promote(candidate_of(cohort), actor=ledger_events.actor_of(context.run, cohort))
    except PromotionRefused as refused:
        rows = [{"code": b.code, "what is missing": b.message, "cure": b.cure} for b in refused.blockers]
        raise dg.Failure(
            description=str(refused),
            metadata={
                **({WAITS_FOR: ", ".join(waits)} if (waits := waits_for(refused.blockers)) else {}),
                "missing": asset_metadata.records_table(rows) or dg.MetadataValue.text("nothing"),
            },
            allow_retries=False,
        ) from refused
    return AssetResult(
        champion.digest,
        {
            "bundle digest": champion.digest,
            "since": champion.since,
            "promoted by": champion.by,
            "champions before": dg.MetadataValue.text(", ".join(champion.previous) or "none"),
        },
    )
