"""What a dossier says, as plain values: the one source of its page and of its files.

What belongs here: collecting verdicts, card, comparison, lineage, origin and history around one candidate, without
times and run ids. What does not: showing it (``page``), keeping it (``dossier``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clinical_assets.foundation.canonical import file_sha256, plain, value_digest
from clinical_assets.governance.candidate.approved_terms import plan_digest, policy_digest
from clinical_assets.governance.candidate.authorship import authors
from clinical_assets.governance.candidate.candidate import ReleaseCandidate
from clinical_assets.governance.candidate.change import kind_of_change
from clinical_assets.governance.candidate.comparison import compare_with_champion
from clinical_assets.governance.candidate.evidence_check import entered_evidence
from clinical_assets.governance.dossier.folder import DossierError
from clinical_assets.governance.dossier.stored_dossier import gate_rows
from clinical_assets.governance.verdicts.verdict import GATES, Gate
from clinical_assets.governance.verdicts.verdict_store import GateRun, latest_verdicts
from clinical_assets.modelling.trainings.trainings import RESULTS
from clinical_assets.warehouse.sql.lineage import trace
from clinical_assets.warehouse.sql.schema import readable_schema


def stored_gates(candidate: ReleaseCandidate) -> dict[Gate, GateRun]:
    """The newest evaluation of every gate.

    Raises
    ------
    DossierError
        A gate was never evaluated on this model; names all such gates.
    """
    found = latest_verdicts(candidate.records, bundle_digest=candidate.digest)
    missing = [gate for gate in GATES if gate not in found]
    if missing:
        raise DossierError(
            f"Gates without a stored verdict on {candidate.digest} of {candidate.cohort}: {', '.join(missing)}. A "
            "dossier without them would say less than it seems to.",
            cure=f"clinical-assets gates {candidate.cohort} --evaluate",
        )
    return {gate: found[gate] for gate in GATES}


def collect(candidate: ReleaseCandidate, gates: Mapping[Gate, GateRun]) -> dict[str, Any]:
    """Everything but the history, which depends on what was signed.

    Parameters
    ----------
    candidate : ReleaseCandidate
        As `before_promotion` gives it.
    gates : mapping
        As `stored_gates` gives them.

    Raises
    ------
    DossierError
        The report is not the one that the training entered in the ledger.
    """
    _refuse_changed_results(candidate)
    verdicts = [verdict.lasting() for run in gates.values() for verdict in run.verdicts]
    comparison = compare_with_champion(candidate)
    return {
        "cohort": candidate.cohort,
        "synthetic": candidate.spec.synthetic or candidate.training.results.synthetic,
        "bundle_digest": candidate.digest,
        "spec": candidate.spec.canonical(),
        "results": candidate.training.results.plain(),
        "gates": gate_rows(gates),
        "failed": [verdict.row() for verdict in verdicts if verdict.verdict == "fail"],
        "waivers": [verdict.row() for verdict in verdicts if verdict.verdict == "insufficient"],
        "approval": _approval(candidate),
        "comparison": plain(comparison),
        "stale": _stale(gates["performance"], comparison.champion),
        "change": plain(kind_of_change(candidate)),
        "lineage": _lineage(candidate),
        "origin": _origin(candidate),
    }


def _refuse_changed_results(candidate: ReleaseCandidate) -> None:
    entered = entered_evidence(candidate)
    if entered is not None and entered.get("results") != file_sha256(candidate.training.report / RESULTS):
        raise DossierError(
            f"The results of {candidate.digest} of {candidate.cohort} are not those that its training entered in the "
            "ledger; a page with them would show numbers that no gate judged.",
            cure=f"Restore {RESULTS} from a backup, or train {candidate.cohort} again, and find out who changed it.",
        )


def _stale(performance: GateRun, champion: str | None) -> str | None:
    """What to say where the gate compared with another champion than there is now."""
    compared = [each for each in performance.verdicts if each.criterion.startswith("non_inferiority_")]
    if all(each.evidence.get("champion") == champion for each in compared):
        return None
    return (
        "The champion has changed since the performance gate was evaluated: its comparison is with another model than "
        "the one below. Evaluate the gates again."
    )


def _approval(candidate: ReleaseCandidate) -> dict[str, Any]:
    policy = candidate.spec.approval
    needed = ", ".join(f"{each.count} × {each.role}" for each in policy.signatures)
    return {
        **policy.model_dump(mode="json"),
        "needed": needed,
        "authors": list(authors(candidate.records, candidate.digest)),
    }


def _lineage(candidate: ReleaseCandidate) -> dict[str, Any]:
    """Sources of each feature in the statement that the bundle serves with."""
    bundle, sql = candidate.bundle, candidate.sql
    traced = trace(bundle.statement, readable_schema(candidate.spec), outputs=bundle.feature_columns)
    today = {column.name: column for column in sql.columns(sql.feature_model)}
    made = candidate.bundle.description.provenance.features_sql_digest
    return {
        "changed": value_digest(sql.compile(sql.feature_model).sql) != made,
        "features": [
            {
                "feature": name,
                "sources": [f"{table}.{column}" for table, column in traced.columns.get(name.lower(), ())],
                "untraced": name.lower() in traced.untraced,
                "copy": name.lower() in traced.copies,
                "description": today[name].description if name in today else "",
            }
            for name in bundle.feature_columns
        ],
    }


def _origin(candidate: ReleaseCandidate) -> dict[str, Any]:
    """Digests and versions of what the bundle was made from, and what no longer agrees with them."""
    made = candidate.bundle.description.provenance
    now = value_digest(candidate.spec.training_facts())
    notes = []
    if now != made.spec_digest:
        notes.append(
            f"The cohort's description was changed after the training (now {now}); intended use, costs and limits "
            "on this page are those of today."
        )
    rows = [
        ("bundle", candidate.digest),
        ("training", candidate.training.results.training_digest),
        ("feature table", made.data_digest),
        *((f"raw snapshot of {name}", digest) for name, digest in made.snapshots.items()),
        ("description (what a model is made from)", made.spec_digest),
        ("description as a whole, today", value_digest(candidate.spec.canonical())),
        ("approval policy", policy_digest(candidate.spec)),
        ("change control plan", plan_digest(candidate.spec)),
        ("feature SQL", made.features_sql_digest),
        ("outcome SQL", made.outcome_sql_digest),
        ("clinical_assets", made.code_version),
        ("Python", made.python),
        ("machine", made.machine),
        *made.libraries.items(),
    ]
    return {"notes": notes, "rows": [{"what": what, "is": str(value)} for what, value in rows]}
