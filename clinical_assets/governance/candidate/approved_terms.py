"""Under which change control plan and approval policy a model was released, by digest.

What belongs here: naming plan and policy, and looking up what a champion was released under. What does not: whether a
change fits the plan (``change_criteria``), and whether signatures satisfy the policy (``approval_status``).

The description on disk can be edited by anybody who can write there. So a plan counts for what takes effect by itself
only if it is the one that people signed with the champion, and a dossier only for the description that it shows.
"""

from __future__ import annotations

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.canonical import value_digest
from clinical_assets.governance.candidate.candidate import ReleaseCandidate
from clinical_assets.records.ledger.facts.models import ChampionFacts
from clinical_assets.records.ledger.ledger import Ledger

PLAN, POLICY = "plan_digest", "policy_digest"


def plan_digest(spec: CohortSpec) -> str:
    """Digest of the change control plan in a description."""
    return value_digest(spec.pccp.model_dump(mode="json"))


def policy_digest(spec: CohortSpec) -> str:
    """Digest of the approval policy in a description."""
    return value_digest(spec.approval.model_dump(mode="json"))


def agreed_now(spec: CohortSpec) -> tuple[str, str]:
    """Digests of plan and policy in a description."""
    return plan_digest(spec), policy_digest(spec)


def released_as_agreed(candidate: ReleaseCandidate) -> bool:
    """Whether the candidate was last promoted under the plan and policy that its description has now."""
    return released_under(candidate, candidate.digest) == agreed_now(candidate.spec)


def released_under(candidate: ReleaseCandidate, bundle_digest: str) -> tuple[str, str] | None:
    """Digests of plan and policy under which a model was last promoted; None where the ledger has no such promotion."""
    entries = Ledger(candidate.records).entries(cohort=candidate.cohort, action="promotion", digest=bundle_digest)
    facts = ChampionFacts.found(entries[-1].facts) if entries else None
    if facts is None or not {PLAN, POLICY} <= facts.model_fields_set:
        return None
    return str(facts.plan_digest), str(facts.policy_digest)
