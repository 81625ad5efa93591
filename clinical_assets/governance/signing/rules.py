"""Who may give which signature: roles, once a person, not the author, only on what is open.

What belongs here: the refusals that come before a signature. What does not: writing it (``signatures``).
"""

from __future__ import annotations

from clinical_assets.cohorts.governance import ApprovalPolicy
from clinical_assets.governance.candidate.authorship import authors, is_author
from clinical_assets.governance.candidate.candidate import ReleaseCandidate
from clinical_assets.governance.dossier.stored_dossier import Dossier, load_dossier
from clinical_assets.governance.errors import Refused
from clinical_assets.governance.signing.approval_status import ApprovalStatus
from clinical_assets.governance.signing.people import Person
from clinical_assets.governance.signing.record import SignatureKind
from clinical_assets.governance.verdicts.verdict_store import latest_verdicts
from clinical_assets.modelling.trainings import trainings

_LONGEST = 2_000


def verified_dossier(candidate: ReleaseCandidate, dossier_digest: str | None = None) -> Dossier:
    """The dossier of the newest training as it lies on disk, file by file; of the digest given.

    Raises
    ------
    Refused
        ``superseded``: there is a newer training; ``wrong_digest``: names both digests.
    """
    newest = trainings.latest(candidate.settings, candidate.cohort).results.bundle_digest
    if newest != candidate.digest:
        raise Refused(
            "superseded",
            f"Bundle {candidate.digest} is not the newest of {candidate.cohort}, which is {newest}.",
            cure="Review and sign the newest one.",
        )
    dossier = load_dossier(candidate.settings, candidate.cohort, candidate.digest)
    if dossier_digest is not None and dossier.digest != dossier_digest:
        raise Refused(
            "wrong_digest",
            f"The dossier of {candidate.cohort} on disk has the digest {dossier.digest}, not {dossier_digest}.",
            cure=f"Read the dossier in {dossier.folder}, and give its digest: clinical-assets review "
            f"{candidate.cohort}",
        )
    return dossier


def role_of(
    kind: SignatureKind, person: Person, policy: ApprovalPolicy, standing: ApprovalStatus, *, wanted: str | None
) -> str:
    """As what somebody signs: the role that is wanted, else the one that is still lacking."""
    if kind == "withdrawal":
        return next(each.role for each in standing.rejections if each.login == person.login)
    required = [each.role for each in policy.signatures]
    allowed = {
        "approval": required,
        "waiver": list(policy.waivers),
        "rejection": [*required, *(role for role in policy.waivers if role not in required)],
    }[kind]
    held = [role for role in allowed if role in person.roles and wanted in (None, role)]
    if not held:
        raise Refused(
            "no_role",
            f"{person.printed_name} cannot sign as {wanted}."
            if wanted is not None
            else f"{person.printed_name} holds no role that may sign here: {', '.join(person.roles) or 'none at all'}.",
            cure=f"Roles for this kind of signature ({kind}): {', '.join(allowed)}. Let somebody sign who holds one.",
        )
    lacking = [role for role in held if role in standing.lacking]
    if kind == "approval" and len(lacking) > 1:
        raise Refused(
            "role_needed",
            f"{person.printed_name} holds several roles that are still lacking: {', '.join(lacking)}.",
            cure="Say as which of them: --role. Nobody signs twice.",
        )
    return (lacking or held)[0]


def refuse_repeated(
    kind: SignatureKind, login: str, standing: ApprovalStatus, *, gate: str | None, criterion: str | None
) -> None:
    """One person gives the same signature once, and takes back only their own rejection."""
    rejected = any(each.login == login for each in standing.rejections)
    if kind == "withdrawal":
        if not rejected:
            raise Refused(
                "nothing_to_withdraw",
                f"No rejection of this dossier by {login} stands.",
                cure="Whoever rejected it withdraws it.",
            )
        return
    if kind == "approval" and rejected:
        raise Refused(
            "own_rejection",
            f"{login} has rejected this dossier.",
            cure="Withdraw the rejection first: clinical-assets reject COHORT --withdraw",
        )
    same = {
        "approval": [each for each in standing.approvals if each.login == login],
        "rejection": [each for each in standing.rejections if each.login == login],
        "waiver": [
            each for each in standing.waivers if (each.login, each.gate, each.criterion) == (login, gate, criterion)
        ],
    }[kind]
    if same:
        raise Refused(
            "signed_already",
            f"{login} has given this {kind} already, as {same[0].role} at {same[0].signed_at}.",
            cure="One person signs once, also with two roles; the other signature is somebody else's.",
        )


def refuse_author(candidate: ReleaseCandidate, login: str) -> None:
    """Whoever started the training of a model neither approves nor waives anything of it."""
    accounts = authors(candidate.records, candidate.digest)
    if not accounts:
        raise Refused(
            "author_unknown",
            f"The audit ledger has no training that made bundle {candidate.digest}, so its author is unknown.",
            cure=f"Train {candidate.cohort} again: "
            f"clinical-assets materialize {candidate.cohort} --job train_cohort --force",
        )
    if is_author(candidate.records, login, accounts):
        raise Refused(
            "author_signs",
            f"{login} started the training of this model and may not approve or waive anything of it.",
            cure="Let somebody else sign.",
        )


def refuse_judged(candidate: ReleaseCandidate, gate: str, criterion: str) -> None:
    """Only what could not be judged can be waived."""
    runs = latest_verdicts(candidate.records, bundle_digest=candidate.digest)
    known = {(run.gate, each.criterion): each for run in runs.values() for each in run.verdicts}
    verdict = next((each for key, each in known.items() if key == (gate, criterion)), None)
    if verdict is not None and verdict.verdict == "insufficient":
        return
    waivable = [f"{name}/{each.criterion}" for (name, _), each in known.items() if each.verdict == "insufficient"]
    found = "has no verdict" if verdict is None else f"is {verdict.verdict!r}"
    raise Refused(
        "not_waivable",
        f"{gate}/{criterion} {found}: only what could not be judged can be waived.",
        cure=f"Waivable now: {', '.join(waivable) or 'nothing'}. What failed needs another model.",
    )


def refuse_wordless(what: str, text: str | None) -> None:
    """A signature says something."""
    if text is None or not text.strip() or len(text) > _LONGEST:
        raise Refused(
            f"no_{what}",
            f"A signature needs a {what} of 1 to {_LONGEST} characters.",
            cure=f"Say in a sentence what is signed and why: --{what}.",
        )
