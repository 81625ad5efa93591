"""All evidence verified: ``verified_evidence`` and its check; a schedule asks for it every day.

Not of one cohort: ledger, people and database are of the installation, so that this asset has no partitions.
"""

from typing import Any

import dagster as dg

from clinical_assets.defs.automation.jobs import EVIDENCE
from clinical_assets.defs.resources import Platform, as_dagster_failure
from clinical_assets.defs.shared.asset_metadata import shown
from clinical_assets.foundation.code_digest import code_digest
from clinical_assets.foundation.scratch_folder import sweep_below

#: In whose name heads are handed out by the clock.
ACTOR = "automation:witness"


def _verified(platform: Platform) -> dict[str, Any]:
    from clinical_assets.governance.verification import verify_all
    from clinical_assets.governance.verification_record import keep_verification
    from clinical_assets.records.errors import RecordsError
    from clinical_assets.records.ledger.witness_places import witness_place
    from clinical_assets.records.ledger.witnesses import witness

    settings = platform.settings()
    sweep_below(settings.data)  # also what no run but a command left
    made = keep_verification(settings, verify_all(settings))
    if not made.broken:
        # A head of what is wrong would vouch for it.
        failed = []
        for address in settings.witnesses:
            try:
                witness(platform.workspace().ledger, witness_place(address), actor=ACTOR)
            except RecordsError as error:
                failed.append(error)
        if failed:
            # The others have it; the first says what is in the way.
            raise failed[0]
    rows = [
        {"evidence": part.name, "checked": part.checked, "problems": len(part.problems), "note": part.note or ""}
        for part in made.parts
    ]
    return {"verified at": made.made_at, "broken": ", ".join(made.broken) or "nothing", "evidence": rows}


@dg.asset(
    group_name=EVIDENCE,
    owners=["team:quality"],
    kinds={"sqlite", "ed25519"},
    code_version=code_digest(_verified),
)
def verified_evidence(platform: Platform) -> dg.MaterializeResult[Any]:
    """Everything that decisions rest on, verified: one row per kind of evidence, with what was looked at and is wrong.

    Ledger with every seal, people, verdicts, signatures, promotions, pointers, bundles, dossiers, snapshots, registry
    and the database file; the same as `clinical-assets audit verify --all`. When nothing is wrong, the newest head of
    the ledger goes to every place of CLINICAL_ASSETS_WITNESSES; the run fails where one does not take it.
    """
    with as_dagster_failure():
        return dg.MaterializeResult(metadata=shown(_verified(platform)))


@dg.asset_check(asset=verified_evidence, name="evidence_is_intact")
def evidence_is_intact(platform: Platform) -> dg.AssetCheckResult:
    """The newest verification found everything as it was recorded."""
    from clinical_assets.governance.verification_record import last_verification

    with as_dagster_failure():
        found = last_verification(platform.settings())
    problems = [] if found is None else [f"{part.name}: {each}" for part in found.parts for each in part.problems]
    return dg.AssetCheckResult(
        passed=found is not None and not problems,
        description="Nothing was verified yet." if found is None else "\n".join(problems) or None,
        metadata=shown({"verified at": found and found.made_at, "problems": len(problems)}),
    )
