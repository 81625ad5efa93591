"""Under which change control plan and approval policy a model was released, by digest.

What belongs here: naming plan and policy, and looking up what a champion was released under. What does not: whether a
change fits the plan (``change_criteria``), and whether signatures satisfy the policy (``tally``).

The description on disk can be edited by anybody who can write there. So a plan counts for what takes effect by itself
only if it is the one that people signed with the champion, and a dossier only for the description that it shows.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clinical_assets.cohorts.spec import CohortSpec
    from clinical_assets.governance.candidate import ReleaseCandidate
    from clinical_assets.governance.dossier import Dossier

PLAN, POLICY = "plan_digest", "policy_digest"


def plan_digest(spec: CohortSpec) -> str:
    """Digest of the change control plan in a description."""
    return _digest(spec.pccp.model_dump(mode="json"))


def policy_digest(spec: CohortSpec) -> str:
    """Digest of the approval policy in a description."""
    return _digest(spec.approval.model_dump(mode="json"))


def agreed_now(spec: CohortSpec) -> tuple[str, str]:
    """Digests of plan and policy in a description."""
    return plan_digest(spec), policy_digest(spec)


def released_under(candidate: ReleaseCandidate, bundle_digest: str) -> tuple[str, str] | None:
    """Digests of plan and policy under which a model was last promoted; None where the ledger has no such promotion."""
    from clinical_assets.records.ledger import Ledger

    entries = Ledger(candidate.records).entries(cohort=candidate.cohort, action="promotion", digest=bundle_digest)
    if not entries or PLAN not in entries[-1].facts or POLICY not in entries[-1].facts:
        return None
    return str(entries[-1].facts[PLAN]), str(entries[-1].facts[POLICY])


def shows_present_description(candidate: ReleaseCandidate, dossier: Dossier) -> bool:
    """Whether the description in a dossier is the one that counts now: limits, policy, plan and intended use."""
    from clinical_assets.governance.dossier import SPEC

    shown = json.loads((dossier.folder / SPEC).read_text(encoding="utf-8"))
    return _digest(shown) == _digest(json.loads(json.dumps(candidate.spec.canonical())))


def _digest(value: Any) -> str:
    # Imported here because a rollback, which needs no digest, must not wait for DuckDB.
    from clinical_assets.warehouse.digests import value_digest

    return value_digest(value)
