"""``clinical-assets approve, reject, waive, promote, rollback, retire, champion``: decisions about a model."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from clinical_assets.cli import context
from clinical_assets.cli.data.stored import stored_cohort
from clinical_assets.cli.options import CohortArgument, JsonOption, RoleOption, SignerOption
from clinical_assets.cli.output import err, out, seconds, show_json
from clinical_assets.cli.release.people import FromStdin, ask_password
from clinical_assets.foundation.short_digests import whole_digest
from clinical_assets.governance.candidate.candidate import ReleaseCandidate, candidate_of
from clinical_assets.governance.dossier.stored_dossier import ACTION
from clinical_assets.governance.promotion import promotion, release_record
from clinical_assets.governance.promotion.champion_switch import Recovery
from clinical_assets.governance.signing import signatures
from clinical_assets.governance.signing.login import prove
from clinical_assets.governance.signing.record import Signature
from clinical_assets.governance.signing.rules import verified_dossier
from clinical_assets.governance.signing.signatures import Proof
from clinical_assets.governance.verdicts.verdict import GATES
from clinical_assets.modelling.champion import champion_pointer
from clinical_assets.modelling.champion.champion_pointer import Champion
from clinical_assets.records.actors import current_actor
from clinical_assets.records.database import RecordsDatabase
from clinical_assets.records.ledger.facts.models import DossierFacts
from clinical_assets.records.ledger.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Callable


Digest = Annotated[
    str, typer.Option("--digest", help="Digest of the dossier that is signed, as `review` shows it; 8 digits will do.")
]
Reason = Annotated[str, typer.Option("--reason", help="Why, in a sentence.")]


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
    until = f", valid until {seconds(signature.expires_at)}" if signature.kind in ("approval", "waiver") else ""
    says = signature.meaning if signature.reason is None else f"{signature.meaning} {signature.reason}"
    out.print(
        f"{signature.kind}: {signature.printed_name}, {signature.role}, {seconds(signature.signed_at)} UTC{until}\n"
        f"  {says}\n  dossier {signature.dossier_digest}\n  bundle  {signature.bundle_digest}",
        markup=False,
    )


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
            f"  on {seconds(champion.since)} UTC, by {champion.by}; clinical-assets audit show says why",
            markup=False,
        )
        return
    before = champion.previous[0] if champion.previous else "none"
    out.print(
        f"{champion.cohort} is served by {champion.digest}\n  since {seconds(champion.since)} UTC, by {champion.by}\n"
        f"  before it: {before}",
        markup=False,
    )
