"""What verdicts rest on: bundle, description, champion and code; where these stand, an event asks for no new verdicts.

What belongs here: the digest of what gates look at, and finding verdicts that were given on the same. What does not:
evaluating gates (``evaluation``), and what a dossier shows of them.

A daemon that starts after a model was judged, signed and promoted by command sees the training as news. Judging again
would ask the same question twice, and where the answer rests on a measured time, that of a busy machine would replace
the one that people signed.
"""

from __future__ import annotations

from clinical_assets.foundation.canonical import value_digest
from clinical_assets.foundation.code_digest import code_digest
from clinical_assets.governance.candidate.candidate import ReleaseCandidate, before_promotion
from clinical_assets.governance.gates.evaluation import BROKEN, evaluate_gates
from clinical_assets.governance.verdicts.verdict import GATES, Gate, Verdict, module_of
from clinical_assets.governance.verdicts.verdict_store import ACTION, latest_verdicts
from clinical_assets.records.ledger.facts.models import GateVerdictFacts
from clinical_assets.records.ledger.ledger import Ledger


def basis_of(candidate: ReleaseCandidate) -> str:
    """Digest of what gates look at now; the same before and after the candidate's own promotion."""
    compared = before_promotion(candidate).champion
    return value_digest(
        {
            "bundle": candidate.digest,
            "description": candidate.spec.canonical(),
            "champion": None if compared is None else compared.digest,
            "code": code_digest(evaluate_gates, *(module_of(gate) for gate in GATES)),
        }
    )


def standing_verdicts(candidate: ReleaseCandidate) -> dict[Gate, tuple[Verdict, ...]] | None:
    """The stored verdicts of every gate, if all of them rest on what is there now; else None.

    Verdicts of a gate that broke do not stand, nor do those that were stored before the basis was.

    Raises
    ------
    VerdictsChanged
        A stored verdict is not what the gate said.
    """
    stored = latest_verdicts(candidate.records, bundle_digest=candidate.digest)
    entries = Ledger(candidate.records).entries(action=ACTION, digest=candidate.digest)
    judged = {entry.seq: GateVerdictFacts.found(entry.facts) for entry in entries}
    bases = {seq: facts.basis for seq, facts in judged.items() if facts is not None}
    now = basis_of(candidate)
    for gate in GATES:
        run = stored.get(gate)
        if run is None or bases.get(run.ledger_seq) != now or any(each.criterion == BROKEN for each in run.verdicts):
            return None
    return {gate: stored[gate].verdicts for gate in GATES}
