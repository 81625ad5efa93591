"""Making a model champion if nothing stands against it, and going back to the one before.

What belongs here: who may become champion at what moment. What does not: the reasons against it (``blockers``), and
the steps of the change itself (``switching``).
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING

from clinical_assets.errors import ClinicalAssetsError
from clinical_assets.governance import agreed, champions
from clinical_assets.governance.blockers import Blocker, blockers
from clinical_assets.governance.champions import Champion
from clinical_assets.governance.refusal import Refused
from clinical_assets.governance.switching import Change, Recovery, apply, is_recorded, recover, recover_held

__all__ = ["Blocker", "PromotionRefused", "Recovery", "blockers", "is_recorded", "promote", "recover", "rollback"]

if TYPE_CHECKING:
    from clinical_assets.governance.candidate import ReleaseCandidate
    from clinical_assets.settings import Settings


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
    actor : str
        Account or automation that does it.
    now : datetime, optional
        Moment at which signatures must be valid.

    Raises
    ------
    PromotionRefused
        With every blocker there is.
    """
    settings, cohort = candidate.settings, candidate.cohort
    with champions.hold(settings, cohort):
        recover_held(settings, cohort)
        found = blockers(candidate, now=now)
        if found:
            raise PromotionRefused(cohort, found)
        before = champions.current(settings, cohort)
        serves = before is not None and before.digest == candidate.digest
        if before is not None and serves and _under_this_plan(candidate):
            return before
        champions.keep_warm(settings, candidate.bundle)
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
        change = Change(
            "promotion",
            champion,
            None if before is None else before.digest,
            dossier,
            reason,
            rests_on,
            plan_digest=agreed.plan_digest(candidate.spec),
            policy_digest=agreed.policy_digest(candidate.spec),
        )
        apply(settings, change)
    return champion


def rollback(
    settings: Settings,
    cohort: str,
    *,
    actor: str,
    reason: str,
    now: dt.datetime | None = None,
    on_recorded: Callable[[Champion], None] | None = None,
) -> Champion:
    """Go back to the champion before this one, at once: no gate, no signature, but a reason and a record.

    The pointer is switched and the change recorded before the registry is asked for anything, which takes seconds;
    ``on_recorded`` is called at that moment with the champion that serves again.

    Raises
    ------
    Refused
        ``no_reason``, ``nothing_serves``, ``no_previous``, ``previous_unreleased``, ``previous_damaged``.
    """
    if not reason.strip():
        raise Refused("no_reason", "A rollback needs a reason.", cure="Say in a sentence why: --reason.")
    with champions.hold(settings, cohort):
        recover_held(settings, cohort, tell_registry=False)
        before = champions.current(settings, cohort)
        if before is None:
            raise Refused("nothing_serves", f"{cohort} has no champion.", cure=f"clinical-assets promote {cohort}")
        if not before.previous:
            raise Refused(
                "no_previous",
                f"{before.digest} is the first champion of {cohort}; there is none before it.",
                cure="Take it out of use, or train, sign and promote another one.",
            )
        digest, *older = before.previous
        champion = Champion(
            cohort=cohort, digest=digest, since=_utc(now), by=actor, previous=tuple(older), promotion=str(uuid.uuid4())
        )
        _refuse_unreleased(settings, champion)
        _refuse_damaged(settings, champion)
        change = Change("rollback", champion, before.digest, None, reason.strip(), ())
        apply(settings, change, on_recorded=on_recorded)
    return champion


def _refuse_unreleased(settings: Settings, champion: Champion) -> None:
    """A pointer can be edited by whoever may write there; only what the ledger says was promoted serves again."""
    from clinical_assets.records.database import RecordsDatabase
    from clinical_assets.records.ledger import Ledger

    ledger = Ledger(RecordsDatabase(settings))
    if not ledger.entries(cohort=champion.cohort, action="promotion", digest=champion.digest, limit=1):
        raise Refused(
            "previous_unreleased",
            f"{champion.cohort} cannot go back to {champion.digest}: the audit ledger knows of no promotion of it.",
            cure="Find out who wrote the pointer; train, sign and promote a model.",
        )


def _refuse_damaged(settings: Settings, champion: Champion) -> None:
    cohort, digest = champion.cohort, champion.digest
    place = champions.warm_place(settings, cohort, digest)
    try:
        if not place.exists():
            from clinical_assets.modelling import registry

            version = registry.find_version(settings, cohort, digest=digest)
            if version is not None:
                registry.download_bundle(settings, version)
        champions.bundle_of(settings, champion)
    except ClinicalAssetsError as error:
        raise Refused(
            "previous_damaged",
            f"{cohort} cannot go back to {digest}: {error.message}",
            cure=f"Move {place} away, if it is there, and roll back again: it is then fetched from the registry.",
        ) from error


def _signed(candidate: ReleaseCandidate, now: dt.datetime | None) -> tuple[str, tuple[str, ...]]:
    """Digest of the dossier, and ids of the signatures that the promotion rests on."""
    from clinical_assets.governance.dossier import load_dossier
    from clinical_assets.governance.signatures import standing_on

    dossier = load_dossier(candidate.settings, candidate.cohort, candidate.digest)
    found = standing_on(candidate, dossier.digest, now=now)
    return dossier.digest, tuple(each.id for each in found.counted())


def _under_this_plan(candidate: ReleaseCandidate) -> bool:
    return agreed.released_under(candidate, candidate.digest) == agreed.agreed_now(candidate.spec)


def _utc(now: dt.datetime | None) -> str:
    return (now or dt.datetime.now(dt.UTC)).astimezone(dt.UTC).isoformat(timespec="microseconds")
