"""The change of a champion: a switch that is either done or not, with its record.

What belongs here: the order of the steps, and finishing or undoing them after a process was killed. What does not:
whether a change is allowed (``promotion``), and the pointer itself (``champion_pointer``).

The steps of a promotion: the intent is written to a journal; signatures and gates are counted once more, and row and
ledger entry written, in one transaction, which is the moment at which it counts; the pointer is switched; the
registry's alias ``champion`` follows; the journal is removed. Whoever comes next finds a journal left behind, and
finishes the change if it was recorded, or drops it. A rollback switches the pointer first, which is its moment; a
retirement is recorded first, as a promotion is.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import sqlalchemy as sa

from clinical_assets.foundation.atomic_files import remove_file
from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.foundation.settings import Settings
from clinical_assets.foundation.stored_format import BadDocument, VersionedDocument
from clinical_assets.governance.promotion.release_record import is_recorded, refuse_unreleased
from clinical_assets.modelling.champion import champion_pointer
from clinical_assets.modelling.champion.champion_pointer import JOURNAL, Champion, ChampionError
from clinical_assets.modelling.tracking import mlflow_store, registry
from clinical_assets.records import schema
from clinical_assets.records.database import RecordsDatabase
from clinical_assets.records.ledger.facts.models import ChampionFacts
from clinical_assets.records.ledger.ledger import Ledger

ALIAS = "champion"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recovery:
    """What was found of a change whose process was killed.

    Attributes
    ----------
    outcome : "completed", "undone" or "alias_behind"
        ``alias_behind``: switched and recorded, but the registry cannot be told yet.
    kind : "promotion", "rollback" or "retirement"
    digest : str
        Bundle that was to serve.
    """

    outcome: Literal["completed", "undone", "alias_behind"]
    kind: str
    digest: str


class ChampionChange(VersionedDocument):
    """One change of champion; content of its journal.

    ``rests_on`` is what else its ledger entry says: of a promotion the gates' verdicts, how many signatures of each
    role were asked for, and whether it took effect by itself; of the others the signature of whoever asked for it.
    """

    kind: Literal["promotion", "rollback", "retirement"]
    champion: Champion
    before: str | None
    dossier_digest: str | None
    reason: str | None
    signatures: tuple[str, ...]
    plan_digest: str | None = None
    policy_digest: str | None = None
    rests_on: ChampionFacts | None = None

    def facts(self) -> ChampionFacts:
        """What its ledger entry says."""
        return (self.rests_on or ChampionFacts()).model_copy(
            update={
                "promotion": self.champion.promotion,
                "since": self.champion.since,
                "before": self.before,
                "dossier_digest": self.dossier_digest,
                "signatures": self.signatures,
                "plan_digest": self.plan_digest,
                "policy_digest": self.policy_digest,
            }
        )


def recover(settings: Settings, cohort: str) -> Recovery | None:
    """Finish or undo a change whose process was killed, and say which; None when there is nothing to do."""
    if not _journal(settings, cohort).exists():
        return None
    with champion_pointer.hold(settings, cohort):
        return recover_held(settings, cohort)


def recover_held(settings: Settings, cohort: str, *, tell_registry: bool = True) -> Recovery | None:
    """The same for whoever holds the cohort; without ``tell_registry`` the journal stays until the registry is told.

    A journal is a file that somebody may have written: a promotion is finished only if it was recorded, which happens
    together with its last count of signatures, and a rollback only if it leads to a model that was released.
    """
    journal = _journal(settings, cohort)
    try:
        change = ChampionChange.read(journal)
    except FileNotFoundError:
        return None
    except BadDocument as error:
        raise ChampionError(error.message, cure="Restore it from a backup.") from error
    named = champion_pointer.last(settings, cohort)
    switched = named is not None and named.promotion == change.champion.promotion
    recorded = is_recorded(settings, change.champion)
    if not (recorded or (switched and change.kind == "rollback")):
        _log.warning("The %s of %s to %s was not begun; dropped.", change.kind, cohort, change.champion.digest)
        remove_file(journal)
        return Recovery("undone", change.kind, change.champion.digest)
    if not recorded:
        refuse_unreleased(settings, cohort, change.champion.digest)
        _record(settings, change)
    elif not switched:
        champion_pointer.switch(settings, change.champion)
    if not (tell_registry and _tell_registry(settings, change.champion)):
        return Recovery("alias_behind", change.kind, change.champion.digest)
    remove_file(journal)
    return Recovery("completed", change.kind, change.champion.digest)


def apply(
    settings: Settings,
    change: ChampionChange,
    *,
    count_again: Callable[[], None] | None = None,
    on_recorded: Callable[[Champion], None] | None = None,
) -> None:
    """Do a change that is allowed, step by step; the caller holds the cohort.

    Parameters
    ----------
    settings : Settings
        Where pointer, journal and records lie.
    change : ChampionChange
        What is to be done.
    count_again : callable, optional
        Of a promotion: asked within the recording transaction, while nobody else can sign; what it raises ends the
        change before anything is switched.
    on_recorded : callable, optional
        Called when the change is done and recorded, before the registry is told.
    """
    journal = _journal(settings, change.champion.cohort)
    change.write(journal)
    if change.kind == "rollback":
        # What serves is urgent; what the registry shows is not, and asking it takes seconds.
        champion_pointer.switch(settings, change.champion)
        _record(settings, change)
        if on_recorded is not None:
            on_recorded(change.champion)
    else:
        try:
            _record(settings, change, count_again=count_again)
        except ClinicalAssetsError:
            remove_file(journal)
            raise
        champion_pointer.switch(settings, change.champion)
        if on_recorded is not None:
            on_recorded(change.champion)
    if _tell_registry(settings, change.champion):
        remove_file(journal)


def _record(settings: Settings, change: ChampionChange, *, count_again: Callable[[], None] | None = None) -> None:
    """Row and ledger entry in one transaction; nothing if they are there."""
    records, champion, table = RecordsDatabase(settings), change.champion, schema.promotions
    with records.write() as connection:
        if connection.execute(sa.select(table.c.id).where(table.c.id == champion.promotion)).first() is not None:
            return
        if count_again is not None:
            count_again()
        entry = Ledger(records).append(
            change.kind,
            actor=champion.by,
            cohort=champion.cohort,
            digest=champion.digest,
            reason=change.reason,
            facts=change.facts(),
            connection=connection,
        )
        connection.execute(
            table.insert().values(
                id=champion.promotion,
                cohort=champion.cohort,
                kind=change.kind,
                bundle_digest=champion.digest,
                previous_digest=change.before,
                dossier_digest=change.dossier_digest,
                at=champion.since,
                actor=champion.by,
                reason=change.reason,
                ledger_seq=entry.seq,
            )
        )


def _tell_registry(settings: Settings, champion: Champion) -> bool:
    """Point the registry's alias at the champion, or nowhere; False, with a warning, when it cannot be told now."""
    mlflow_store.import_mlflow()
    from mlflow.exceptions import MlflowException

    try:
        if champion.retired:
            if registry.find_version(settings, champion.cohort, alias=ALIAS) is not None:
                with mlflow_store.exclusive(settings, champion.cohort):
                    mlflow_store.client(settings).delete_registered_model_alias(champion.cohort, ALIAS)
            return True
        version = registry.find_version(settings, champion.cohort, digest=champion.digest)
        if version is None:
            raise mlflow_store.RegistryError(f"The registry holds no version with the bundle {champion.digest}.")
        with mlflow_store.exclusive(settings, champion.cohort):
            store = mlflow_store.client(settings)
            store.set_registered_model_alias(champion.cohort, ALIAS, str(version.version))
    except (mlflow_store.RegistryError, MlflowException) as error:
        _log.warning(
            "%s %s %s, but the registry's alias %r does not follow yet: %s",
            champion.digest,
            "no longer serves" if champion.retired else "serves",
            champion.cohort,
            ALIAS,
            error,
        )
        return False
    return True


def _journal(settings: Settings, cohort: str) -> Path:
    return champion_pointer.serving_folder(settings, cohort) / JOURNAL
