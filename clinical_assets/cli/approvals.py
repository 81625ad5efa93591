"""``clinical-assets review, approve, reject, waive, promote, rollback, champion``: decisions about a model."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clinical_assets.cli import context
from clinical_assets.cli.output import err, out, show_json, show_rows
from clinical_assets.cli.people import FromStdin, ask_password

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clinical_assets.governance.candidate import ReleaseCandidate
    from clinical_assets.governance.champions import Champion
    from clinical_assets.governance.dossier import Dossier
    from clinical_assets.governance.signatures import Proof, Signature
    from clinical_assets.governance.switching import Recovery

Cohort = Annotated[str, typer.Argument(help="Name of the cohort.")]
Digest = Annotated[str, typer.Option("--digest", help="Digest of the dossier that is signed, as `review` shows it.")]
As = Annotated[str, typer.Option("--as", help="Login of the person who signs.")]
Role = Annotated[str | None, typer.Option("--role", help="As what, where the person holds several of the roles.")]
Reason = Annotated[str, typer.Option("--reason", help="Why, in a sentence.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def review(cohort: Cohort, as_json: Json = False) -> None:
    """What would be signed: dossier, gates, signatures, and what still stands against a release."""
    from clinical_assets.governance.blockers import blockers
    from clinical_assets.governance.signatures import signatures_of
    from clinical_assets.governance.signing_rules import verified_dossier
    from clinical_assets.governance.verdict_store import latest_verdicts
    from clinical_assets.governance.verdicts import GATES
    from clinical_assets.records.ledger import Ledger

    candidate = _candidate(cohort)
    dossier = verified_dossier(candidate)
    runs = latest_verdicts(candidate.records, bundle_digest=candidate.digest)
    given = signatures_of(candidate.records, bundle_digest=candidate.digest)
    found = blockers(candidate)
    Ledger(candidate.records).append(
        "review",
        actor=_actor(),
        cohort=cohort,
        digest=candidate.digest,
        facts={"dossier_digest": dossier.digest, "blockers": [*sorted({each.code for each in found})]},
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
    rows = [{"code": each.code, "what stands against a release": each.message, "cure": each.cure} for each in found]
    show_rows(rows, title="\nMissing", empty="\nNothing stands against a release.", fold=False)


def approve(
    cohort: Cohort,
    digest: Digest,
    login: As,
    meaning: Annotated[str, typer.Option("--meaning", help="What you say by signing, in a sentence.")],
    role: Role = None,
    password_stdin: FromStdin = False,
    as_json: Json = False,
) -> None:
    """Sign for the release of the newest model; the password is asked for."""
    from clinical_assets.governance import signatures, signing_rules

    candidate = _candidate(cohort)
    signing_rules.verified_dossier(candidate, digest)
    proof = _proof(login, role, stdin=password_stdin)
    _signed(signatures.approve(candidate, dossier_digest=digest, proof=proof, meaning=meaning), as_json=as_json)


def reject(
    cohort: Cohort,
    digest: Digest,
    login: As,
    reason: Reason,
    withdraw: Annotated[bool, typer.Option("--withdraw", help="Take back your own rejection instead.")] = False,
    role: Role = None,
    password_stdin: FromStdin = False,
    as_json: Json = False,
) -> None:
    """Sign against the release; it blocks until another dossier is made or the signer withdraws it."""
    from clinical_assets.governance import signatures, signing_rules

    candidate = _candidate(cohort)
    signing_rules.verified_dossier(candidate, digest)
    proof = _proof(login, role, stdin=password_stdin)
    act = signatures.withdraw_rejection if withdraw else signatures.reject
    _signed(act(candidate, dossier_digest=digest, proof=proof, reason=reason), as_json=as_json)


def waive(
    cohort: Cohort,
    digest: Digest,
    gate: Annotated[str, typer.Option("--gate", help="Gate of the criterion.")],
    criterion: Annotated[str, typer.Option("--criterion", help="Criterion that could not be judged.")],
    login: As,
    reason: Reason,
    role: Role = None,
    password_stdin: FromStdin = False,
    as_json: Json = False,
) -> None:
    """Answer for releasing a model although one criterion is `insufficient`; what failed is not waived."""
    from clinical_assets.governance import signatures, signing_rules

    candidate = _candidate(cohort)
    signing_rules.verified_dossier(candidate, digest)
    proof = _proof(login, role, stdin=password_stdin)
    signature = signatures.waive(
        candidate, dossier_digest=digest, proof=proof, gate=gate, criterion=criterion, reason=reason
    )
    _signed(signature, as_json=as_json)


def promote(
    cohort: Cohort,
    reason: Annotated[str | None, typer.Option("--reason", help="Why, in a sentence.")] = None,
    as_json: Json = False,
) -> None:
    """Make the newest model champion, if nothing stands against it."""
    from clinical_assets.governance import promotion

    context.catalogue().entry(cohort)
    _tell_recovery(cohort, promotion.recover(context.settings(), cohort))
    _show_champion(promotion.promote(_candidate(cohort), actor=_actor(), reason=reason), as_json=as_json)


def rollback(cohort: Cohort, reason: Reason, as_json: Json = False) -> None:
    """Go back to the champion before this one, at once."""
    from clinical_assets.governance import promotion

    context.catalogue().entry(cohort)

    def show(champion: Champion) -> None:
        # Who rolls back waits for this line, not for the registry.
        _show_champion(champion, as_json=as_json)
        sys.stdout.flush()

    promotion.rollback(context.settings(), cohort, actor=_actor(), reason=reason, on_recorded=show)


def champion(cohort: Cohort, as_json: Json = False) -> None:
    """What serves the cohort; a change whose process was killed is finished or undone first."""
    from clinical_assets.governance import champions, promotion

    context.catalogue().entry(cohort)
    settings = context.settings()
    _tell_recovery(cohort, promotion.recover(settings, cohort))
    found = champions.current(settings, cohort)
    if found is None:
        show_json(None) if as_json else out.print(f"Nothing serves {cohort} yet.", markup=False)
        return
    champions.bundle_of(settings, found)
    if not promotion.is_recorded(settings, found):
        raise champions.ChampionError(
            f"{champions.serving_folder(settings, cohort) / champions.POINTER} names a promotion that the records do "
            "not know: it was not written by a promotion.",
            cure="Find out who wrote it; roll back, or promote the model that is to serve.",
        )
    _show_champion(found, as_json=as_json)


def _candidate(cohort: str) -> ReleaseCandidate:
    from clinical_assets.governance.candidate import candidate_of

    return candidate_of(cohort, settings=context.settings(), catalogue=context.catalogue())


def _actor() -> str:
    from clinical_assets.records.actors import current_actor

    return current_actor(context.settings())


def _proof(login: str, role: str | None, *, stdin: bool) -> Proof:
    from clinical_assets.governance.signatures import Proof

    return Proof(login=login, secret=ask_password(f"Password of {login}", stdin=stdin), role=role)


def _signed(signature: Signature, *, as_json: bool) -> None:
    """Say what was signed, and let Dagster know; a Dagster that does not answer takes nothing back."""
    from clinical_assets.launch import ReportFailed, report_approval

    problem = None
    try:
        report_approval(signature)
    except ReportFailed as error:
        problem = error.message
        err.print(f"Signed and kept, but Dagster could not be told: {problem}", markup=False)
    if as_json:
        show_json({**asdict(signature), "reported_to_dagster": problem is None})
        return
    # What stands against a release does not end by itself.
    until = f", valid until {_seconds(signature.expires_at)}" if signature.kind in ("approval", "waiver") else ""
    says = signature.meaning if signature.reason is None else f"{signature.meaning} {signature.reason}"
    out.print(
        f"{signature.kind}: {signature.printed_name}, {signature.role}, {_seconds(signature.signed_at)} UTC{until}\n"
        f"  {says}\n  dossier {signature.dossier_digest}\n  bundle  {signature.bundle_digest}",
        markup=False,
    )


def _seconds(moment: str) -> str:
    return moment[:19].replace("T", " ")


def _tell_recovery(cohort: str, found: Recovery | None) -> None:
    if found is None:
        return
    words = {
        "completed": "was interrupted and has now been completed",
        "undone": "was interrupted before it took effect and has been undone",
        "alias_behind": "is done and recorded; the registry does not answer, so its alias is still the old one",
    }
    err.print(f"The {found.kind} of {cohort} to {found.digest} {words[found.outcome]}.", markup=False)


def _show_champion(champion: Champion, *, as_json: bool) -> None:
    if as_json:
        show_json(champion.to_json())
        return
    before = champion.previous[0] if champion.previous else "none"
    out.print(
        f"{champion.cohort} is served by {champion.digest}\n  since {_seconds(champion.since)} UTC, by {champion.by}\n"
        f"  before it: {before}",
        markup=False,
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
    out.print(f"Bundle  {candidate.digest}\nDossier {dossier.digest}\n        {dossier.index}", markup=False)
    show_rows(gates, title="\nGates")
    show_rows(not_passed, title="\nNot passed", empty="\nEvery criterion passed.", fold=False)
    rows = [
        {
            "kind": each.kind,
            "name": each.printed_name,
            "role": each.role,
            "signed (UTC)": _seconds(each.signed_at),
            "this dossier": each.dossier_digest == dossier.digest,
            "of": f"{each.gate}/{each.criterion}" if each.gate else None,
            "says": each.reason or each.meaning,
        }
        for each in given
    ]
    show_rows(rows, title="\nSignatures", empty="\nNobody has signed yet.")
