"""From a model card to a champion: ``gate_verdicts`` -> ``release_dossier`` -> [``approval``] -> ``champion_model``.

The decision is made outside the graph, by people who sign; ``approval`` only shows it. A blocking check protects its
own run and no other, so ``champion_model`` believes neither the graph nor the checks: it asks the records again.
"""

from typing import TYPE_CHECKING, Any

import dagster as dg

from clinical_assets.assets import audit, evidence
from clinical_assets.assets.partitions import COHORTS
from clinical_assets.assets.resources import Cohort, Platform, told

if TYPE_CHECKING:
    from clinical_assets.governance.candidate import ReleaseCandidate
    from clinical_assets.governance.verdicts import Gate, Verdict

GROUP = "release"
OWNERS = ["team:quality"]
_GATES: "tuple[Gate, ...]" = ("data_quality", "performance", "bias", "regulatory", "security")
_COLOURS = {"pass": "green", "fail": "red", "insufficient": "amber"}

approval = dg.AssetSpec(
    "approval",
    partitions_def=COHORTS,
    group_name=GROUP,
    owners=OWNERS,
    deps=["release_dossier"],
    kinds={"signature"},
    description=(
        "Signatures given outside the graph with `clinical-assets approve`, one materialisation each; the data version "
        "is the digest of the dossier that was signed. Nobody can approve by materialising it."
    ),
)

_HANDLED = dg.AutomationCondition.newly_requested() | dg.AutomationCondition.newly_updated()
_QUIET = ~dg.AutomationCondition.in_progress() & ~dg.AutomationCondition.any_deps_in_progress()
# Most cohorts never have a recalibrated model, and wait for none.
_LACKS_INPUT = dg.AutomationCondition.any_deps_missing().ignore(dg.AssetSelection.assets("recalibrated_model"))
# New input, or input that was there before anybody watched. "Newly", so that a run that failed is not asked for again
# and again; and not `since_last_handled`, which forgets what was true when the daemon first looked.
_NEW_INPUT = (dg.AutomationCondition.missing() & ~_LACKS_INPUT).newly_true() | dg.AutomationCondition.any_deps_updated()
_DUE = _NEW_INPUT.since(_HANDLED) & _QUIET
# What arrives between two looks of the daemon, in which something else was asked for or made, must not count as handled
# by it: a second model, or the second of two signatures. The price is a run too many, which finds nothing to do.
_JUDGE = _NEW_INPUT.since(_HANDLED & ~_NEW_INPUT) & _QUIET
_SIGNED = dg.AutomationCondition.any_deps_updated().allow(dg.AssetSelection.assets("approval"))
_RELEASE = _SIGNED.since(dg.AutomationCondition.initial_evaluation() | (_HANDLED & ~_SIGNED)) & _QUIET


def _candidate(cohort: Cohort) -> "ReleaseCandidate":
    from clinical_assets.governance.candidate import candidate_of

    return candidate_of(cohort.name, settings=cohort.settings, catalogue=cohort.catalogue)


@dg.asset(
    partitions_def=COHORTS,
    group_name=GROUP,
    owners=OWNERS,
    deps=["model_card", "recalibrated_model"],
    kinds={"fairlearn", "onnx"},
    code_version="1",
    automation_condition=_JUDGE,
)
def gate_verdicts(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
    """What five gates say about the newest model: one row per criterion, kept under the bundle's digest.

    Data quality, performance, bias, regulation and security. Each verdict is pass, fail or insufficient, with value,
    limit, interval, n and events; insufficient is never a silent pass and needs a signed waiver.
    """
    from clinical_assets.governance.evaluation import evaluate_gates
    from clinical_assets.governance.verdicts import summary
    from clinical_assets.warehouse.digests import value_digest

    cohort = platform.cohort(context.partition_key)
    with told(), cohort.warehouse.exclusive():
        candidate = _candidate(cohort)
        found = evaluate_gates(
            candidate,
            actor=audit.actor_of(context.run, cohort),
            run_id=context.run.run_id,
            progress=context.log.info,
        )
    rows = [verdict.row() for verdicts in found.values() for verdict in verdicts]
    # Milliseconds differ from one measurement to the next; the verdict on them does not.
    lasting = [(row["gate"], row["criterion"], row["verdict"]) for row in rows]
    return dg.MaterializeResult(
        data_version=dg.DataVersion(value_digest({"bundle": candidate.digest, "verdicts": lasting})),
        metadata={
            "dagster/row_count": len(rows),
            "bundle digest": candidate.digest,
            "summary": dg.MetadataValue.md(
                "\n".join(f"- **{gate}**: {summary(verdicts)}" for gate, verdicts in found.items())
            ),
            "verdicts": evidence.records_table(rows),
            **evidence.identity(cohort.spec),
        },
    )


def _gate_check(gate: "Gate") -> dg.AssetChecksDefinition:
    @dg.asset_check(
        name=f"{gate}_gate",
        asset="gate_verdicts",
        partitions_def=COHORTS,
        blocking=True,
        description=f"No criterion of the {gate.replace('_', ' ')} gate failed for the newest model.",
    )
    def check(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
        from clinical_assets.governance.verdict_store import latest_verdicts
        from clinical_assets.governance.verdicts import summary

        cohort = platform.cohort(context.partition_key)
        with told():
            candidate = _candidate(cohort)
            stored = latest_verdicts(cohort.records, bundle_digest=candidate.digest).get(gate)
        verdicts: tuple[Verdict, ...] = stored.verdicts if stored else ()
        outcome = summary(verdicts)
        told_of = [f"{v.criterion}: {v.reason}" for v in verdicts if v.verdict != "pass"]
        return dg.AssetCheckResult(
            passed=outcome == "pass",
            # What could not be judged does not stop the dossier, which lists it for a waiver; a failure does.
            severity=dg.AssetCheckSeverity.WARN
            if stored and outcome == "insufficient"
            else dg.AssetCheckSeverity.ERROR,
            description=(
                f"There is no verdict for {candidate.digest} yet." if stored is None else "\n".join(told_of) or None
            ),
            metadata={
                "bundle digest": candidate.digest,
                "outcome": outcome,
                **_metadata(verdicts),
            },
        )

    return check


def _metadata(verdicts: "tuple[Verdict, ...]") -> dict[str, Any]:
    table = evidence.records_table([{k: v for k, v in verdict.row().items() if k != "gate"} for verdict in verdicts])
    counted = {f"{word} ({_COLOURS[word]})": sum(v.verdict == word for v in verdicts) for word in _COLOURS}
    return {**({"verdicts": table} if table else {}), **counted}


GATE_CHECKS = [_gate_check(gate) for gate in _GATES]


@dg.asset(
    partitions_def=COHORTS,
    group_name=GROUP,
    owners=OWNERS,
    deps=[gate_verdicts],
    kinds={"html"},
    code_version="1",
    # Without asking for passed checks: what could not be judged is a warning there, and must be read to be waived.
    # A failure blocks in its own run; `clinical-assets dossier` shows the page of such a model all the same.
    automation_condition=_DUE,
)
def release_dossier(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
    """Everything a signer must read, in one folder and one page; its digest is what gets signed.

    Card, verdicts of all gates, comparison with the champion, digests of data and lineage, history of changes.
    """
    from clinical_assets.governance.dossier import write_dossier

    cohort = platform.cohort(context.partition_key)
    with told(), cohort.warehouse.exclusive():
        dossier = write_dossier(_candidate(cohort), actor=audit.actor_of(context.run, cohort))
    return dg.MaterializeResult(
        data_version=dg.DataVersion(dossier.digest),
        metadata={
            "dossier digest": dossier.digest,
            "bundle digest": dossier.bundle_digest,
            "page": dg.MetadataValue.path(str(dossier.index)),
            "to sign": dg.MetadataValue.md(
                f"`clinical-assets review {cohort.name}`, then `clinical-assets approve {cohort.name} "
                f'--digest {dossier.digest} --as LOGIN --meaning "..."`'
            ),
            **evidence.identity(cohort.spec),
        },
    )


@dg.asset(
    partitions_def=COHORTS,
    group_name=GROUP,
    owners=OWNERS,
    deps=[release_dossier, approval],
    kinds={"onnx", "mlflow"},
    code_version="1",
    # A new signature is the reason to look; a new dossier alone is none, because nobody has signed it yet.
    automation_condition=_RELEASE,
)
def champion_model(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
    """The model that serves: promoted only if digest, gates, signatures, expiry and the author rule all hold now.

    MLflow's alias and the serving pointer are switched in one step; the champion before stays warm for a rollback.
    What does not hold is listed, each with its cure, and nothing changes.
    """
    from clinical_assets.governance.promotion import PromotionRefused, promote

    cohort = platform.cohort(context.partition_key)
    with told():
        candidate = _candidate(cohort)
        try:
            champion = promote(candidate, actor=audit.actor_of(context.run, cohort))
        except PromotionRefused as refused:
            rows = [{"code": b.code, "what is missing": b.message, "cure": b.cure} for b in refused.blockers]
            raise dg.Failure(
                description=str(refused),
                metadata={"missing": evidence.records_table(rows) or dg.MetadataValue.text("nothing")},
                allow_retries=False,
            ) from refused
    return dg.MaterializeResult(
        data_version=dg.DataVersion(champion.digest),
        metadata={
            "bundle digest": champion.digest,
            "since": champion.since,
            "promoted by": champion.by,
            "champions before": dg.MetadataValue.text(", ".join(champion.previous) or "none"),
            **evidence.identity(cohort.spec),
        },
    )
