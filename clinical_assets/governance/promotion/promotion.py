"""Making a model champion if nothing stands against it, going back to the one before, and taking it out of service.

What belongs here: who may become champion at what moment. What does not: the reasons against it (``blockers``), and
the steps of the change itself (``champion_switch``).
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable

from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.foundation.settings import Settings
from clinical_assets.governance.candidate import approved_terms
from clinical_assets.governance.candidate.candidate import ReleaseCandidate
from clinical_assets.governance.dossier.stored_dossier import load_dossier
from clinical_assets.governance.errors import Refused
from clinical_assets.governance.promotion.blocker import Blocker
from clinical_assets.governance.promotion.blockers import blockers, blockers_by_people, needs_signatures
from clinical_assets.governance.promotion.champion_switch import ChampionChange, Recovery, apply, recover, recover_held
from clinical_assets.governance.promotion.release_record import (
    is_recorded,
    refuse_other,
    refuse_unreleased,
    signed_change,
)
from clinical_assets.governance.signing.person_keys import PersonKey
from clinical_assets.governance.signing.signatures import standing_on
from clinical_assets.governance.verdicts.verdict_store import latest_verdicts
from clinical_assets.modelling.bundle.bundle import Bundle
from clinical_assets.modelling.champion import champion_pointer
from clinical_assets.modelling.champion.champion_pointer import Champion
from clinical_assets.modelling.tracking import registry
from clinical_assets.records.ledger.facts.models import ChampionFacts
from clinical_assets.records.place import refuse_copy

__all__ = [
    "Blocker",
    "PromotionRefused",
    "Recovery",
    "blockers",
    "is_recorded",
    "promote",
    "recover",
    "retire",
    "rollback",
    "serving",
    "why_nothing_serves",
]


class PromotionRefused(Refused):
    """A promotion that was not done, with everything that stands against it in ``blockers``."""

    def __init__(self, cohort: str, found: tuple[Blocker, ...]) -> None:
        told = "\n".join(f"- {each.message} [{each.code}]" for each in found)
        cures = "\n".join(dict.fromkeys(f"- {each.cure}" for each in found))
        super().__init__("blocked", f"{cohort}: the model cannot be promoted.\n{told}", cure=f"\n{cures}")
        self.cohort, self.blockers = cohort, found

    def __reduce__(self) -> tuple[object, ...]:
        return (PromotionRefused, (self.cohort, self.blockers))


def promote(
    candidate: ReleaseCandidate, *, actor: str, reason: str | None = None, now: dt.datetime | None = None
) -> Champion:
    """Make a candidate champion of its cohort, if nothing stands against it.

    Others who promote or roll back the same cohort at this moment queue. When this returns, the pointer is switched and
    the change recorded. Promoting what serves already changes nothing, unless people signed it under another change
    control plan: then it is recorded anew, under that plan. A registry that cannot be told is logged as a
    warning, and told by the next `recover`.

    Parameters
    ----------
    candidate : ReleaseCandidate
        The trained bundle that is judged, with its cohort, training and records.
    actor : str
        Account or automation that does it.
    reason : str, optional
        Why, for the ledger.
    now : datetime, optional
        Moment at which signatures must be valid.

    Raises
    ------
    PromotionRefused
        With every blocker there is.
    """
    settings, cohort = candidate.settings, candidate.cohort
    with champion_pointer.hold(settings, cohort):
        recover_held(settings, cohort)
        found = blockers(candidate, now=now)
        if found:
            raise PromotionRefused(cohort, found)
        before = champion_pointer.current(settings, cohort)
        serves = before is not None and before.digest == candidate.digest
        if before is not None and serves and approved_terms.released_as_agreed(candidate):
            return before
        champion_pointer.keep_warm(settings, candidate.bundle)
        older = () if before is None else (before.digest, *before.previous)
        champion = Champion(
            cohort=cohort,
            digest=candidate.digest,
            since=_utc(now),
            by=actor,
            previous=tuple(each for each in dict.fromkeys(older) if each != candidate.digest),
            promotion=str(uuid.uuid4()),
        )
        dossier, rests_on = _signed(candidate, now)
        change = ChampionChange(
            kind="promotion",
            champion=champion,
            before=None if before is None else before.digest,
            dossier_digest=dossier,
            reason=reason,
            signatures=rests_on,
            plan_digest=approved_terms.plan_digest(candidate.spec),
            policy_digest=approved_terms.policy_digest(candidate.spec),
            rests_on=_rests_on(candidate),
        )
        apply(settings, change, count_again=lambda: _refuse_blocked(candidate, dossier, now))
    return champion


def rollback(
    settings: Settings,
    cohort: str,
    *,
    actor: str,
    reason: str,
    by: PersonKey | None = None,
    now: dt.datetime | None = None,
    on_recorded: Callable[[Champion], None] | None = None,
) -> Champion:
    """Go back to the champion before this one, at once: no gate, no approval, but a reason and a record.

    Parameters
    ----------
    settings : Settings
        Where pointer and records lie.
    cohort : str
        Name of the cohort.
    actor : str
        Account in which it happens.
    reason : str
        Why.
    by : PersonKey, optional
        Key of the person who asks for it, and signs; without one the record is sealed by the installation alone, as
        for an automation.
    now : datetime, optional
        Time of the change; by default the present.
    on_recorded : callable, optional
        Called with the champion that serves again when the pointer is switched and the change recorded, before the
        registry is asked for anything, which takes seconds.

    Raises
    ------
    Refused
        ``no_reason``, ``nothing_serves``, ``no_previous``, ``previous_unreleased``, ``previous_damaged``.
    Copied
        The data folder is a copy of an installation.
    """
    if not reason.strip():
        raise Refused("no_reason", "A rollback needs a reason.", cure="Say in a sentence why: --reason.")
    refuse_copy(settings, "changes no champion")
    with champion_pointer.hold(settings, cohort):
        recover_held(settings, cohort, tell_registry=False)
        before = champion_pointer.current(settings, cohort)
        if before is None:
            raise _nothing_serves(settings, cohort)
        if not before.previous:
            raise Refused(
                "no_previous",
                f"{before.digest} is the first champion of {cohort}; there is none before it.",
                cure=f"Take it out of service, so that nothing is scored: clinical-assets retire {cohort} --as LOGIN "
                "--reason '...'; or train, sign and promote another one.",
            )
        digest, *older = before.previous
        champion = Champion(
            cohort=cohort, digest=digest, since=_utc(now), by=actor, previous=tuple(older), promotion=str(uuid.uuid4())
        )
        _refuse_unreleased(settings, champion)
        _refuse_damaged(settings, champion)
        signed = None if by is None else signed_change(champion, before.digest, reason.strip(), by)
        change = ChampionChange(
            kind="rollback",
            champion=champion,
            before=before.digest,
            dossier_digest=None,
            reason=reason.strip(),
            signatures=(),
            plan_digest=None,
            policy_digest=None,
            rests_on=signed,
        )
        apply(settings, change, on_recorded=on_recorded)
    return champion


def retire(
    settings: Settings,
    cohort: str,
    *,
    actor: str,
    reason: str,
    by: PersonKey,
    now: dt.datetime | None = None,
    on_recorded: Callable[[Champion], None] | None = None,
) -> Champion:
    """Take what serves a cohort out of service, at once: nothing scores until another model is signed and promoted.

    The retired model needs new signatures to serve again, and no rollback leads to it or to a champion before it.

    Parameters
    ----------
    settings : Settings
        Where pointer and records lie.
    cohort : str
        Name of the cohort.
    actor : str
        Account in which it happens.
    reason : str
        Why.
    by : PersonKey
        Key of the person who asks for it, and signs.
    now : datetime, optional
        Time of the change; by default the present.
    on_recorded : callable, optional
        Called when the change is recorded and the pointer switched, before the registry is told.

    Raises
    ------
    Refused
        ``no_reason``, ``nothing_serves``.
    """
    if not reason.strip():
        raise Refused("no_reason", "A retirement needs a reason.", cure="Say in a sentence why: --reason.")
    with champion_pointer.hold(settings, cohort):
        recover_held(settings, cohort, tell_registry=False)
        before = champion_pointer.current(settings, cohort)
        if before is None:
            raise _nothing_serves(settings, cohort)
        changed = {"since": _utc(now), "by": actor, "previous": (), "promotion": str(uuid.uuid4()), "retired": True}
        retired = before.model_copy(update=changed)
        signed = signed_change(retired, before.digest, reason.strip(), by)
        change = ChampionChange(
            kind="retirement",
            champion=retired,
            before=before.digest,
            dossier_digest=None,
            reason=reason.strip(),
            signatures=(),
            rests_on=signed,
        )
        apply(settings, change, on_recorded=on_recorded)
    return retired


def why_nothing_serves(settings: Settings, cohort: str) -> str:
    """In words, where `serving` gives None: nothing was promoted yet, or the last champion was retired."""
    last = champion_pointer.last(settings, cohort)
    if last is None:
        return "No model was promoted yet."
    return f"The champion {last.digest} was retired on {last.since[:19]} UTC; no other was promoted since."


def _nothing_serves(settings: Settings, cohort: str) -> Refused:
    return Refused(
        "nothing_serves",
        f"{cohort} has no champion. {why_nothing_serves(settings, cohort)}",
        cure=f"clinical-assets promote {cohort}",
    )


def serving(settings: Settings, cohort: str) -> tuple[Champion, Bundle] | None:
    """What serves a cohort, verified, as whatever scores must ask for it; None before a promotion or once retired.

    Raises
    ------
    ChampionError
        The pointer is not the one that the newest change wrote, or names a bundle that is not there.
    BundleError
        A file of the bundle was changed.
    Refused
        ``unreleased``: it was promoted without the signatures and gates that it needs.
    """
    champion = champion_pointer.last(settings, cohort)
    try:
        refuse_other(settings, cohort, champion)
    except champion_pointer.ChampionError:
        # A change that goes on is waited for; one whose process was killed after it was recorded is completed.
        recover(settings, cohort)
        champion = champion_pointer.last(settings, cohort)
        refuse_other(settings, cohort, champion)
    if champion is None or champion.retired:
        return None
    bundle = champion_pointer.bundle_of(settings, champion)
    refuse_unreleased(settings, cohort, champion.digest)
    return champion, bundle


def _refuse_unreleased(settings: Settings, champion: Champion) -> None:
    """A pointer can be edited by whoever may write there; only what was released serves again."""
    try:
        refuse_unreleased(settings, champion.cohort, champion.digest)
    except Refused as error:
        raise Refused(
            "previous_unreleased",
            f"{champion.cohort} cannot go back to {champion.digest}: {error.message}",
            cure=error.cure or "Train, sign and promote a model.",
        ) from error


def _refuse_blocked(candidate: ReleaseCandidate, dossier: str, now: dt.datetime | None) -> None:
    """Count once more what people and gates say, in the moment in which nobody can say anything else."""
    found = blockers_by_people(candidate, dossier_digest=dossier, now=now)
    if found:
        raise PromotionRefused(candidate.cohort, found)


def _rests_on(candidate: ReleaseCandidate) -> ChampionFacts:
    """What the ledger entry of a promotion names besides signatures, so that whatever serves can ask for it."""
    runs = latest_verdicts(candidate.records, bundle_digest=candidate.digest)
    return ChampionFacts(
        gates={gate: run.verdicts_digest for gate, run in runs.items()},
        required={each.role: each.count for each in candidate.spec.approval.signatures},
        unattended=not needs_signatures(candidate),
    )


def _refuse_damaged(settings: Settings, champion: Champion) -> None:
    cohort, digest = champion.cohort, champion.digest
    place = champion_pointer.warm_place(settings, cohort, digest)
    try:
        if not place.exists():
            version = registry.find_version(settings, cohort, digest=digest)
            if version is not None:
                registry.download_bundle(settings, version)
        champion_pointer.bundle_of(settings, champion)
    except ClinicalAssetsError as error:
        raise Refused(
            "previous_damaged",
            f"{cohort} cannot go back to {digest}: {error.message}",
            cure=f"Move {place} away, if it is there, and roll back again: it is then fetched from the registry.",
        ) from error


def _signed(candidate: ReleaseCandidate, now: dt.datetime | None) -> tuple[str, tuple[str, ...]]:
    """Digest of the dossier, and ids of the signatures that the promotion rests on."""
    dossier = load_dossier(candidate.settings, candidate.cohort, candidate.digest)
    found = standing_on(candidate, dossier.digest, now=now)
    return dossier.digest, tuple(each.id for each in found.counted())


def _utc(now: dt.datetime | None) -> str:
    return (now or dt.datetime.now(dt.UTC)).astimezone(dt.UTC).isoformat(timespec="microseconds")
