"""What stands against a release, read from the stores at the moment of asking.

What belongs here: every reason for which a model may not become champion, with a code, words and a cure. What does not:
making it champion (``promotion``). Nothing that an asset, a check or a screen said earlier is believed.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping

from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.foundation.short_digests import short_digest
from clinical_assets.governance.candidate import approved_terms
from clinical_assets.governance.candidate.authorship import authors, is_author
from clinical_assets.governance.candidate.candidate import ReleaseCandidate
from clinical_assets.governance.candidate.change import Change, kind_of_change
from clinical_assets.governance.candidate.evidence_check import changed_evidence
from clinical_assets.governance.dossier.folder import DossierError
from clinical_assets.governance.dossier.stored_dossier import load_dossier, outdated_gates, shows_present_description
from clinical_assets.governance.errors import Refused
from clinical_assets.governance.privacy.erasure.models import marked_for_retraining
from clinical_assets.governance.promotion.blocker import WAIVER, Blocker
from clinical_assets.governance.signing.approval_status import ApprovalStatus, last_rollback
from clinical_assets.governance.signing.signatures import refuse_changed, standing_on
from clinical_assets.governance.verdicts.verdict import GATES, Gate
from clinical_assets.governance.verdicts.verdict_store import GateRun, VerdictsChanged, latest_verdicts
from clinical_assets.modelling.bundle.bundle import Bundle
from clinical_assets.modelling.bundle.bundle_files import BundleError
from clinical_assets.modelling.champion import champion_pointer
from clinical_assets.modelling.trainings import trainings
from clinical_assets.modelling.trainings.reference import ReferenceMissing
from clinical_assets.records.errors import RecordsError
from clinical_assets.records.ledger.ledger import Ledger
from clinical_assets.records.place import refuse_copy


def blockers(
    candidate: ReleaseCandidate, *, now: dt.datetime | None = None, ask_registry: bool = True
) -> tuple[Blocker, ...]:
    """Everything that stands against making a candidate champion; empty when nothing does.

    Parameters
    ----------
    candidate : ReleaseCandidate
        The trained bundle that would become champion.
    now : datetime, optional
        Moment at which signatures must be valid; by default the clock's.
    ask_registry : bool
        Whether MLflow is asked, whose import takes seconds; a promotion always asks it.
    """
    moment = (now or dt.datetime.now(dt.UTC)).astimezone(dt.UTC)
    return (
        *_about_place(candidate),
        *_about_bundle(candidate),
        *_about_evidence(candidate),
        *_about_records(candidate),
        *_about_verdicts_and_signatures(candidate, moment),
        *_about_erasure(candidate),
        *(_about_registry(candidate) if ask_registry else ()),
    )


def blockers_by_people(
    candidate: ReleaseCandidate, *, dossier_digest: str, now: dt.datetime | None = None
) -> tuple[Blocker, ...]:
    """Of all blockers, those that a signature, a rejection or a gate can raise: cheap, and asked for twice.

    Parameters
    ----------
    candidate : ReleaseCandidate
        The model.
    dossier_digest : str
        The dossier that was counted the first time; another one on disk by now is a blocker.
    now : datetime, optional
        Time of the count; by default the present.
    """
    moment = (now or dt.datetime.now(dt.UTC)).astimezone(dt.UTC)
    found = [*_about_signatures(candidate), *_about_verdicts_and_signatures(candidate, moment)]
    try:
        on_disk = load_dossier(candidate.settings, candidate.cohort, candidate.digest).digest
    except DossierError:
        on_disk = dossier_digest  # told by the blockers above
    if on_disk != dossier_digest:
        found.append(
            Blocker(
                "other_dossier",
                f"The dossier on disk is {on_disk} by now, not {dossier_digest}.",
                "Read what changed, sign it and promote again.",
            )
        )
    return tuple(found)


def needs_signatures(candidate: ReleaseCandidate) -> bool:
    """Whether people must sign: not for a kind of change that the plan lets take effect by itself.

    That plan is the one under which the champion was released; after a change of the plan people sign once more. A
    model that was rolled back needs signatures in any case.
    """
    change = kind_of_change(candidate)
    return (
        not _takes_effect_by_itself(change)
        or _plan_changed(candidate, change)
        or last_rollback(candidate.records, candidate.digest) is not None
    )


def _takes_effect_by_itself(change: Change) -> bool:
    return change.permitted is not None and change.permitted.promotes_itself


def _plan_changed(candidate: ReleaseCandidate, change: Change) -> bool:
    then = None if change.against is None else approved_terms.released_under(candidate, change.against)
    # The policy, too: it says who may waive what the gates could not judge.
    return then != approved_terms.agreed_now(candidate.spec)


def _about_place(candidate: ReleaseCandidate) -> Iterator[Blocker]:
    try:
        refuse_copy(candidate.settings, "promotes no model")
    except RecordsError as error:
        yield _blocker("copied_folder", error)


def _about_bundle(candidate: ReleaseCandidate) -> Iterator[Blocker]:
    cohort, settings = candidate.cohort, candidate.settings
    places = [candidate.bundle.folder, champion_pointer.warm_place(settings, cohort, candidate.digest)]
    for place in (each for each in places if each == candidate.bundle.folder or each.exists()):
        try:
            found = Bundle.load(place)
        except BundleError as error:
            yield _blocker("bundle_changed", error, cure=f"Restore {place} from the registry or a backup.")
            continue
        if (found.digest, found.cohort) != (candidate.digest, cohort):
            yield Blocker(
                "bundle_changed",
                f"{place} holds {found.digest} of {found.cohort}, not {candidate.digest}.",
                f"Restore the bundle from the registry, or train {cohort} again.",
            )
    try:
        newest = trainings.latest(settings, cohort).results.bundle_digest
    except trainings.NoTraining as error:
        yield _blocker("superseded", error, cure=f"Train {cohort} again.")
    else:
        if newest != candidate.digest:
            yield Blocker(
                "superseded",
                f"Bundle {candidate.digest} is not the newest of {cohort}, which is {newest}.",
                "Review, sign and promote the newest one; to go back to an old champion, roll back.",
            )


def _about_evidence(candidate: ReleaseCandidate) -> Iterator[Blocker]:
    """Results and rows now, since a gate looked at them earlier; an older training without digests is the gate's."""
    try:
        changed = changed_evidence(candidate)
    except ReferenceMissing as error:
        yield _blocker("evidence_changed", error)
        return
    if changed:
        yield Blocker(
            "evidence_changed",
            f"Changed since the training entered it in the ledger: {', '.join(changed)}.",
            f"Restore it from a backup, or train {candidate.cohort} again, and find out who changed it.",
        )


def _about_records(candidate: ReleaseCandidate) -> Iterator[Blocker]:
    report = Ledger(candidate.records).verify()
    if not report.intact:
        yield Blocker(
            "ledger_broken",
            f"The audit ledger is not intact: {report.problem}",
            "Restore what was changed or lost (database of records, or anchors) from a backup, and find out who did "
            "it: clinical-assets audit verify",
        )
    yield from _about_signatures(candidate)


def _about_signatures(candidate: ReleaseCandidate) -> Iterator[Blocker]:
    try:
        refuse_changed(candidate.records, bundle_digest=candidate.digest)
    except Refused as error:
        yield _blocker(error.code, error)


def _about_verdicts_and_signatures(candidate: ReleaseCandidate, now: dt.datetime) -> Iterator[Blocker]:
    try:
        runs: Mapping[Gate, GateRun] = latest_verdicts(candidate.records, bundle_digest=candidate.digest)
    except VerdictsChanged as error:
        yield _blocker("verdicts_changed", error)
        runs = {}
    else:
        yield from _about_gates(candidate, runs)
    try:
        dossier = load_dossier(candidate.settings, candidate.cohort, candidate.digest)
    except DossierError as error:
        # Without it nobody can tell which signatures count.
        yield _blocker("dossier_unusable", error, cure=f"Write the dossier of {candidate.cohort} again.")
        return
    if not shows_present_description(candidate, dossier):
        yield Blocker(
            "description_changed",
            f"The description of {candidate.cohort} (limits, policy, plan, use) is not the one in the dossier.",
            f"Evaluate, write and sign again: clinical-assets materialize {candidate.cohort} --job prepare_release",
        )
    for gate in outdated_gates(dossier, runs):
        yield Blocker(
            "verdicts_not_shown",
            f"The newest evaluation of gate {gate} is not the one in dossier {dossier.digest}: what was signed shows "
            "other verdicts.",
            f"Write the dossier again, read what changed and sign it: clinical-assets dossier {candidate.cohort}",
        )
    found = standing_on(candidate, dossier.digest, now=now)
    for run in runs.values():
        for verdict in run.verdicts:
            if verdict.verdict == "insufficient" and found.waiver_of(run.gate, verdict.criterion) is None:
                past = [e for e in found.expired if (e.gate, e.criterion) == (run.gate, verdict.criterion)]
                who = f"the waiver of {past[-1].login} ended on {past[-1].expires_at}" if past else "nobody waived it"
                yield Blocker(
                    "waiver_missing",
                    f"{run.gate}/{verdict.criterion} could not be judged, and on this dossier {who}: {verdict.reason}",
                    f"Waive it: clinical-assets waive {candidate.cohort} --digest {short_digest(dossier.digest)} "
                    f"--gate {run.gate} --criterion '{verdict.criterion}' --as LOGIN --reason '...'",
                    waits_for=f"{WAIVER}{run.gate}/{verdict.criterion}",
                )
    yield from _about_authors(candidate, found)
    for rejection in found.rejections:
        yield Blocker(
            "rejected",
            f"{rejection.printed_name} ({rejection.role}) rejected this dossier on {rejection.signed_at}: "
            f"{rejection.reason}",
            "Make another dossier that answers the reason, or let the signer withdraw the rejection.",
        )
    if needs_signatures(candidate):
        yield from _about_approvals(candidate, found, dossier.digest)


def _about_gates(candidate: ReleaseCandidate, runs: Mapping[Gate, GateRun]) -> Iterator[Blocker]:
    for gate in GATES:
        if gate not in runs or not runs[gate].verdicts:
            yield Blocker(
                "gate_missing",
                f"Gate {gate} has given no verdict on bundle {candidate.digest}.",
                f"Evaluate it: clinical-assets gates {candidate.cohort} --evaluate",
            )
            continue
        for verdict in runs[gate].verdicts:
            if verdict.verdict == "fail":
                yield Blocker(
                    "gate_failed",
                    f"{gate}/{verdict.criterion} fails: {verdict.reason}",
                    "Do what the reason says and evaluate the gates again, or train another model; a failure is not "
                    "waived.",
                )


def _about_approvals(candidate: ReleaseCandidate, found: ApprovalStatus, dossier_digest: str) -> Iterator[Blocker]:
    cohort = candidate.cohort
    sign = f"clinical-assets approve {cohort} --digest {short_digest(dossier_digest)} --as LOGIN --meaning '...'"
    for role, number in found.lacking.items():
        yield Blocker(
            "unsigned",
            f"{number} signature{'s' if number > 1 else ''} of {role} on dossier {dossier_digest} "
            f"{'are' if number > 1 else 'is'} lacking.",
            f"Let a {role} who did not train the model sign: {sign}",
            waits_for=f"{number} signature{'s' if number > 1 else ''} of {role}",
        )
    if not found.lacking:
        return

    change = kind_of_change(candidate)
    if _takes_effect_by_itself(change) and _plan_changed(candidate, change):
        yield Blocker(
            "plan_changed",
            "The change control plan is not the one under which the champion was released: nothing takes effect by "
            "itself until people have signed a release under the new one.",
            f"Sign: {sign}",
        )
    for each in (signature for signature in found.expired if signature.kind == "approval"):
        yield Blocker("signature_expired", f"{each.login}'s signature ended on {each.expires_at}.", f"Sign: {sign}")
    for each in found.unkeyed:
        yield Blocker(
            "unsigned_by_key",
            f"{each.login} signed on {each.signed_at}, before people had keys (upgrade of the records): it counts for "
            "no new release.",
            f"Sign again: {sign}",
        )
    for each in found.elsewhere:
        yield Blocker(
            "other_dossier",
            f"{each.login} signed dossier {each.dossier_digest}; the one on disk is {dossier_digest}.",
            f"Read what changed and sign again: {sign}",
        )
    for each in found.outdated:
        yield Blocker(
            "rolled_back",
            f"The model was rolled back or retired after {each.login} signed on {each.signed_at}.",
            f"Say why it may serve again and sign again: {sign}",
        )


def _about_authors(candidate: ReleaseCandidate, found: ApprovalStatus) -> Iterator[Blocker]:
    accounts = authors(candidate.records, candidate.digest)
    if not accounts:
        yield Blocker(
            "author_unknown",
            f"The audit ledger has no training that made bundle {candidate.digest}.",
            f"Train {candidate.cohort} again.",
        )
    for login in dict.fromkeys(each.login for each in found.counted()):
        if is_author(candidate.records, login, accounts):
            yield Blocker(
                "author_signed",
                f"{login} signed, and an account of theirs started the training.",
                "Let somebody else sign.",
            )


def _about_erasure(candidate: ReleaseCandidate) -> Iterator[Blocker]:
    marked = [
        each
        for each in marked_for_retraining(candidate.settings, candidate.cohort)
        if each.bundle_digest == candidate.digest
    ]
    if marked:
        yield Blocker(
            "erased_subjects",
            f"Bundle {candidate.digest} was trained on a subject who was erased on {marked[0].at}.",
            f"Train {candidate.cohort} again without them.",
        )


def _about_registry(candidate: ReleaseCandidate) -> Iterator[Blocker]:
    from mlflow.exceptions import MlflowException

    from clinical_assets.modelling.tracking import registry
    from clinical_assets.modelling.tracking.mlflow_store import RegistryError

    try:
        found = registry.find_version(candidate.settings, candidate.cohort, alias=registry.CHALLENGER)
    except (RegistryError, MlflowException) as error:
        yield Blocker("registry_unavailable", f"The registry does not answer: {error}", "Let it run, and try again.")
        return
    if found is None or found.digest != candidate.digest:
        yield Blocker(
            "not_challenger",
            f"The alias {registry.CHALLENGER} of {candidate.cohort} points to "
            f"{'nothing' if found is None else found.digest}, not to {candidate.digest}.",
            f"Train {candidate.cohort} again, or promote the challenger.",
        )


def _blocker(code: str, error: ClinicalAssetsError, *, cure: str = "") -> Blocker:
    return Blocker(code, error.message, error.cure or cure)
