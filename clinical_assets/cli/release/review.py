"""``clinical-assets review``: what would be signed, and what stands against it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from clinical_assets.cli import context
from clinical_assets.cli.options import CohortArgument, JsonOption
from clinical_assets.cli.output import out, seconds, show_json, show_rows, show_words
from clinical_assets.foundation.short_digests import short_digest
from clinical_assets.governance.candidate.candidate import ReleaseCandidate, candidate_of
from clinical_assets.governance.dossier.stored_dossier import Dossier
from clinical_assets.governance.promotion.blocker import Blocker
from clinical_assets.governance.promotion.blockers import blockers
from clinical_assets.governance.signing.record import Signature
from clinical_assets.governance.signing.rules import verified_dossier
from clinical_assets.governance.signing.signatures import true_signatures
from clinical_assets.governance.verdicts.verdict import GATES
from clinical_assets.governance.verdicts.verdict_store import latest_verdicts
from clinical_assets.records.actors import current_actor
from clinical_assets.records.ledger.facts.people import ReviewFacts
from clinical_assets.records.ledger.ledger import Ledger

UNKEYED = "unsigned by key (before upgrade)"


def review(cohort: CohortArgument, as_json: JsonOption = False) -> None:
    """What would be signed: dossier, gates, signatures, and what still stands against a release.

    MLflow is not asked here, which would take seconds; a promotion asks it.
    """
    candidate = candidate_of(context.cohort(cohort))
    dossier = verified_dossier(candidate)
    runs = latest_verdicts(candidate.records, bundle_digest=candidate.digest)
    given, _ = true_signatures(candidate.records, bundle_digest=candidate.digest)
    found = blockers(candidate, ask_registry=False)
    Ledger(candidate.records).append(
        "review",
        actor=current_actor(context.settings()),
        cohort=cohort,
        digest=candidate.digest,
        facts=ReviewFacts(dossier_digest=dossier.digest, blockers=tuple(sorted({each.code for each in found}))),
    )
    gates = [{"gate": gate, "outcome": runs[gate].outcome if gate in runs else None} for gate in GATES]
    open_verdicts = [
        {"gate": run.gate, "criterion": each.criterion, "verdict": each.verdict, "reason": each.reason}
        for run in runs.values()
        for each in run.verdicts
        if each.verdict != "pass"
    ]
    if as_json:
        show_json(
            {
                "cohort": cohort,
                "synthetic": candidate.spec.synthetic,
                "bundle": candidate.digest,
                "dossier": {"folder": str(dossier.folder), "index": str(dossier.index), "digest": dossier.digest},
                "gates": gates,
                "not_passed": open_verdicts,
                "signatures": [asdict(each) for each in given],
                "blockers": [asdict(each) for each in found],
            }
        )
        return
    _show_review(candidate, dossier, gates=gates, not_passed=open_verdicts, given=given)
    _show_missing(candidate, dossier, found)
    out.print("[dim]MLflow is not asked here; a promotion asks it.[/dim]")


def _show_missing(candidate: ReleaseCandidate, dossier: Dossier, found: Sequence[Blocker]) -> None:
    """What stands against a release, each with its cure; waivers, of which one command gives many, are one item."""
    out.print("\nMissing" if found else "\nNothing stands against a release.", style="bold")
    waivers = [each for each in found if each.code == "waiver_missing"]
    for each in (each for each in found if each not in waivers):
        show_words(f"- {candidate.spec.labelled(each.message)} [{each.code}]")
        show_words(each.cure, indent="  ")
    if waivers:
        some = "One criterion" if len(waivers) == 1 else f"{len(waivers)} criteria"
        show_words(f"- {some} could not be judged, and nobody waived that on this dossier. [waiver_missing]")
        digits = short_digest(dossier.digest)
        show_words(
            f"Waive what you answer for, or all: clinical-assets waive {candidate.cohort} --digest {digits} --all "
            "--as LOGIN --reason '...'",
            indent="  ",
        )


def _show_review(
    candidate: ReleaseCandidate,
    dossier: Dossier,
    *,
    gates: Sequence[dict[str, Any]],
    not_passed: Sequence[dict[str, Any]],
    given: Sequence[Signature],
) -> None:
    out.print(f"[bold]{candidate.cohort}[/bold]")
    if candidate.spec.synthetic:
        out.print("[bold yellow]SYNTHETIC RECORDS: nothing here says anything about patients.[/bold yellow]")
    out.print(f"Bundle  {candidate.digest}\nDossier {dossier.digest}\n        {dossier.index.as_uri()}", markup=False)
    show_rows(gates, title="\nGates")
    spec = candidate.spec
    out.print("\nNot passed" if not_passed else "\nEvery criterion passed.", style="bold")
    for row in not_passed:
        # The criterion's name stays as it is, for `waive`; whom it is about stands beside it in words.
        group = spec.group_of(row["criterion"])
        of = "" if group is None else f" {group}"
        show_words(f"- {row['gate']}/{row['criterion']}{of} ({row['verdict']})")
        show_words(spec.labelled(row["reason"]), indent="  ")
    rows = [
        {
            "kind": each.kind,
            "name": each.printed_name,
            "role": each.role,
            "signed (UTC)": seconds(each.signed_at),
            "this dossier": each.dossier_digest == dossier.digest,
            "key": "signed" if each.by_key else UNKEYED,
            "of": spec.labelled(f"{each.gate}/{each.criterion}") if each.gate else None,
            "says": each.reason or each.meaning,
        }
        for each in given
    ]
    show_rows(
        rows, title="\nSignatures", empty="\nNobody has signed yet.", spare=("this dossier", "signed (UTC)", "says")
    )
