"""One check for each gate, that no criterion of it failed for the newest model, and one for all of them."""

from typing import TYPE_CHECKING, Any

import dagster as dg

from clinical_assets.defs.release.conditions import NOTHING_FAILED
from clinical_assets.defs.shared.asset_metadata import shown
from clinical_assets.defs.shared.cohort_asset import cohort_check
from clinical_assets.governance.verdicts.verdict import GATES
from clinical_assets.workspace import CohortHandle

if TYPE_CHECKING:
    from clinical_assets.governance.verdicts.verdict import Gate, Verdict

_COLOURS = {"pass": "green", "fail": "red", "insufficient": "amber"}


def _gate_check(gate: "Gate") -> dg.AssetChecksDefinition:
    @cohort_check(
        name=f"{gate}_gate",
        asset="gate_verdicts",
        blocking=True,
        promise=f"No criterion of the {gate.replace('_', ' ')} gate failed for the newest model.",
    )
    def check(cohort: CohortHandle) -> dg.AssetCheckResult:
        from clinical_assets.governance.candidate.candidate import candidate_of
        from clinical_assets.governance.verdicts.verdict import summary
        from clinical_assets.governance.verdicts.verdict_store import latest_verdicts

        candidate = candidate_of(cohort)
        stored = latest_verdicts(cohort.records, bundle_digest=candidate.digest).get(gate)
        verdicts: tuple[Verdict, ...] = stored.verdicts if stored else ()
        outcome = summary(verdicts)
        reasons = [candidate.spec.labelled(f"{v.criterion}: {v.reason}") for v in verdicts if v.verdict != "pass"]
        return dg.AssetCheckResult(
            passed=outcome == "pass",
            # What could not be judged does not stop the dossier, which lists it for a waiver; a failure does.
            severity=dg.AssetCheckSeverity.WARN
            if stored and outcome == "insufficient"
            else dg.AssetCheckSeverity.ERROR,
            description=(
                f"There is no verdict for {candidate.digest} yet." if stored is None else "\n".join(reasons) or None
            ),
            metadata=shown({"bundle digest": candidate.digest, "outcome": outcome, **_counted(verdicts)}),
        )

    return check


def _counted(verdicts: "tuple[Verdict, ...]") -> dict[str, Any]:
    rows = [{name: value for name, value in verdict.row().items() if name != "gate"} for verdict in verdicts]
    counted = {f"{word} ({colour})": sum(v.verdict == word for v in verdicts) for word, colour in _COLOURS.items()}
    return {"verdicts": rows, **counted}


@cohort_check(
    name=NOTHING_FAILED.name,
    asset="gate_verdicts",
    blocking=True,
    promise="Every gate was evaluated on the newest model, and no criterion failed; what could not be judged may be.",
)
def _nothing_failed(cohort: CohortHandle) -> dg.AssetCheckResult:
    from clinical_assets.governance.candidate.candidate import candidate_of
    from clinical_assets.governance.verdicts.verdict_store import latest_verdicts

    candidate = candidate_of(cohort)
    stored = latest_verdicts(cohort.records, bundle_digest=candidate.digest)
    missing = [gate for gate in GATES if gate not in stored]
    failed = [f"{v.gate}/{v.criterion}" for run in stored.values() for v in run.verdicts if v.verdict == "fail"]
    words = [f"not evaluated: {gate}" for gate in missing] + [f"failed: {name}" for name in failed]
    return dg.AssetCheckResult(
        passed=not words,
        description="\n".join(words) or None,
        metadata=shown({"bundle digest": candidate.digest, "failed": len(failed), "not evaluated": len(missing)}),
    )


GATE_CHECKS = [*(_gate_check(gate) for gate in GATES), _nothing_failed]
