"""``clinical-assets review, approve, reject, waive, promote, rollback, retire, champion``: decisions about a model."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clinical_assets.cli import context
from clinical_assets.cli.data.stored import stored_cohort
from clinical_assets.cli.options import CohortArgument, JsonOption
from clinical_assets.cli.output import err, out, show_json, show_rows, show_words
from clinical_assets.cli.release.people import FromStdin, ask_password
from clinical_assets.foundation.short_digests import short_digest, whole_digest
from clinical_assets.governance.candidate.candidate import ReleaseCandidate, candidate_of
from clinical_assets.governance.dossier.dossier import ACTION, Dossier
from clinical_assets.governance.promotion import promotion, release_record
from clinical_assets.governance.promotion.blockers import Blocker, blockers
from clinical_assets.governance.promotion.champion_switch import Recovery
from clinical_assets.governance.signing import signatures
from clinical_assets.governance.signing.login import prove
from clinical_assets.governance.signing.record import Signature
from clinical_assets.governance.signing.rules import verified_dossier
from clinical_assets.governance.signing.signatures import Proof, true_signatures
from clinical_assets.governance.verdicts.verdict import GATES
from clinical_assets.governance.verdicts.verdict_store import latest_verdicts
from clinical_assets.modelling.champion import champion_pointer
from clinical_assets.modelling.champion.champion_pointer import Champion
from clinical_assets.records.actors import current_actor
from clinical_assets.records.database import RecordsDatabase
from clinical_assets.records.ledger.facts.models import DossierFacts
from clinical_assets.records.ledger.facts.people import ReviewFacts
from clinical_assets.records.ledger.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


Digest = Annotated[
    str, typer.Option("--digest", help="Digest of the dossier that is signed, as `review` shows it; 8 digits will do.")
]
SignerOption = Annotated[str, typer.Option("--as", help="Login of the person who signs.")]
RoleOption = Annotated[str | None, typer.Option("--role", help="As what, where the person holds several of the roles.")]
Reason = Annotated[str, typer.Option("--reason", help="Why, in a sentence.")]
UNKEYED = "unsigned by key (before upgrade)"


def review(cohort: CohortArgument, as_json: JsonOption = False) -> None:
    """What would be signed: dossier, gates, signatures, and what still stands against a release.

    MLflow is not asked here, which would take seconds; a promotion asks it.
    """
    candidate = _candidate(cohort)
    dossier = verified_dossier(candidate)
    runs = latest_verdicts(candidate.records, bundle_digest=candidate.digest)
    given, _ = true_signatures(candidate.records, bundle_digest=candidate.digest)
    found = blockers(candidate, ask_registry=False)
    Ledger(candidate.records).append(
        "review",
        actor=_actor(),
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


def approve(
    cohort: CohortArgument,
    digest: Digest,
    login: SignerOption,
    meaning: Annotated[str, typer.Option("--meaning", help="What you say by signing, in a sentence.")],
    role: RoleOption = None,
    password_stdin: FromStdin = False,
    as_json: JsonOption = False,
) -> None:
    """Sign for the release of the newest model; the password is asked for."""
    candidate = _candidate(cohort)
    digest = _dossier_digest(candidate, digest)
    proof = _proof(login, role, stdin=password_stdin)
    _signed(signatures.approve(candidate, dossier_digest=digest, proof=proof, meaning=meaning), as_json=as_json)


def reject(
    cohort: CohortArgument,
    digest: Digest,
    login: SignerOption,
    reason: Reason,
    withdraw: Annotated[bool, typer.Option("--withdraw", help="Take back your own rejection instead.")] = False,
    role: RoleOption = None,
    password_stdin: FromStdin = False,
    as_json: JsonOption = False,
) -> None:
    """Sign against the release; it blocks until another dossier is made or the signer withdraws it."""
    candidate = _candidate(cohort)
    digest = _dossier_digest(candidate, digest)
    proof = _proof(login, role, stdin=password_stdin)
    act = signatures.withdraw_rejection if withdraw else signatures.reject
    _signed(act(candidate, dossier_digest=digest, proof=proof, reason=reason), as_json=as_json)


def waive(
    cohort: CohortArgument,
    digest: Digest,
    login: SignerOption,
    reason: Reason,
    criterion: Annotated[
        list[str] | None,
        typer.Option("--criterion", help="gate/criterion that could not be judged; may be given several times."),
    ] = None,
    gate: Annotated[str | None, typer.Option("--gate", help="Gate of criteria that are named without one.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every criterion that is open and not waived yet.")] = False,
    role: RoleOption = None,
    password_stdin: FromStdin = False,
    as_json: JsonOption = False,
) -> None:
    """Answer for releasing a model although criteria are `insufficient`; what failed is not waived.

    Several are waived with one reason and one password; each gets a signature of its own, all of them or none.
    """
    if every == bool(criterion):
        raise typer.BadParameter("name each --criterion, or give --all")
    candidate = _candidate(cohort)
    digest = _dossier_digest(candidate, digest)
    named = signatures.open_criteria(candidate, digest) if every else [_named(each, gate) for each in criterion or ()]
    if every and named:
        err.print("Waived now: " + ", ".join("/".join(each) for each in named), markup=False)
    proof = _proof(login, role, stdin=password_stdin)
    given = signatures.waive_several(candidate, dossier_digest=digest, proof=proof, criteria=named, reason=reason)
    _signed(*given, as_json=as_json, as_list=every or len(criterion or ()) > 1)


def _named(criterion: str, gate: str | None) -> tuple[str, str]:
    """Gate and criterion; a slash may also stand in the criterion's own name."""
    if gate is not None:
        return gate, criterion.removeprefix(f"{gate}/")
    head, slash, rest = criterion.partition("/")
    if not slash or head not in GATES:
        raise typer.BadParameter(f"{criterion!r}: write gate/criterion, with one of the gates {', '.join(GATES)}")
    return head, rest


def promote(
    cohort: CohortArgument,
    reason: Annotated[str | None, typer.Option("--reason", help="Why, in a sentence.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Make the newest model champion, if nothing stands against it."""
    context.catalogue().entry(cohort)
    _tell_recovery(cohort, promotion.recover(context.settings(), cohort))
    _show_champion(promotion.promote(_candidate(cohort), actor=_actor(), reason=reason), as_json=as_json)


def rollback(
    cohort: CohortArgument,
    reason: Reason,
    login: SignerOption,
    password_stdin: FromStdin = False,
    as_json: JsonOption = False,
) -> None:
    """Go back to the champion before this one, at once; whoever is on duty signs, the password is asked for."""
    _at_once(promotion.rollback, cohort, reason, login, stdin=password_stdin, as_json=as_json)


def retire(
    cohort: CohortArgument,
    reason: Reason,
    login: SignerOption,
    password_stdin: FromStdin = False,
    as_json: JsonOption = False,
) -> None:
    """Take the champion out of service, at once: nothing is scored until another model is signed and promoted.

    Whoever is on duty signs, the password is asked for. No rollback leads back to a retired model.
    """
    _at_once(promotion.retire, cohort, reason, login, stdin=password_stdin, as_json=as_json)


def _at_once(
    change: Callable[..., Champion], cohort: str, reason: str, login: str, *, stdin: bool, as_json: bool
) -> None:
    """Do a change that is signed with the key of whoever is on duty, and waits for nothing else."""
    stored_cohort(cohort)  # also one that nobody describes any more can be taken out of service
    secret = ask_password(f"Password of {login}", stdin=stdin)
    by = prove(RecordsDatabase(context.settings()), login, secret, actor=_actor())

    def show(champion: Champion) -> None:
        # Whoever asked waits for this line, not for the registry.
        _show_champion(champion, as_json=as_json)
        sys.stdout.flush()

    change(context.settings(), cohort, actor=_actor(), reason=reason, by=by, on_recorded=show)


def champion(cohort: CohortArgument, as_json: JsonOption = False) -> None:
    """What serves the cohort; a change whose process was killed is finished or undone first."""
    context.catalogue().entry(cohort)
    settings = context.settings()
    _tell_recovery(cohort, promotion.recover(settings, cohort))
    found = champion_pointer.last(settings, cohort)
    release_record.refuse_other(settings, cohort, found)
    if found is None:
        show_json(None) if as_json else out.print(f"Nothing serves {cohort} yet.", markup=False)
        return
    if not found.retired:
        champion_pointer.bundle_of(settings, found)
        release_record.refuse_unreleased(settings, cohort, found.digest)
    _show_champion(found, as_json=as_json)


def _candidate(cohort: str) -> ReleaseCandidate:
    return candidate_of(context.cohort(cohort))


def _dossier_digest(candidate: ReleaseCandidate, given: str) -> str:
    """The whole digest of the dossier on disk, where `given` is it or names it alone among those ever made."""
    entries = Ledger(candidate.records).entries(cohort=candidate.cohort, action=ACTION)
    written = (DossierFacts.found(entry.facts) for entry in entries)
    known = {facts.dossier_digest for facts in written if facts} | {entry.digest or "" for entry in entries}
    whole = whole_digest(given, known, what=f"dossier or model of {candidate.cohort}")
    return verified_dossier(candidate, whole).digest


def _actor() -> str:
    return current_actor(context.settings())


def _proof(login: str, role: str | None, *, stdin: bool) -> Proof:
    return Proof(login=login, secret=ask_password(f"Password of {login}", stdin=stdin), role=role)


def _signed(*given: Signature, as_json: bool, as_list: bool = False) -> None:
    """Say what was signed, and let Dagster know; a Dagster that does not answer takes nothing back."""
    from clinical_assets.launch.instance import ReportFailed, report_approval

    rows = []
    for signature in given:
        problem = None
        try:
            report_approval(signature)
        except ReportFailed as error:
            problem = error.message
            err.print(f"Signed and kept, but Dagster could not be told: {problem}", markup=False)
        rows.append({**asdict(signature), "reported_to_dagster": problem is None})
        if not as_json:
            _show_signature(signature)
    if as_json:
        show_json(rows if as_list else rows[0])


def _show_signature(signature: Signature) -> None:
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
    if champion.retired:
        out.print(
            f"Nothing serves {champion.cohort}: {champion.digest} was retired\n"
            f"  on {_seconds(champion.since)} UTC, by {champion.by}; clinical-assets audit show says why",
            markup=False,
        )
        return
    before = champion.previous[0] if champion.previous else "none"
    out.print(
        f"{champion.cohort} is served by {champion.digest}\n  since {_seconds(champion.since)} UTC, by {champion.by}\n"
        f"  before it: {before}",
        markup=False,
    )


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
            "signed (UTC)": _seconds(each.signed_at),
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
