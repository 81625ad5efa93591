"""The change of a champion: a switch that is either done or not, with its record.

What belongs here: the order of the steps, and finishing or undoing them after a process was killed. What does not:
whether a change is allowed (``promotion``), and the pointer itself (``champions``).

The steps: the intent is written to a journal; the pointer is switched, which is the moment at which it counts; the
registry's alias ``champion`` follows; row and ledger entry are written in one transaction; the journal is removed.
Whoever comes next finds a journal left behind, and finishes the change if the pointer was switched, or drops it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from clinical_assets.governance import champions
from clinical_assets.governance.champions import JOURNAL, Champion

if TYPE_CHECKING:
    from pathlib import Path

    from clinical_assets.settings import Settings

ALIAS = "champion"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recovery:
    """What was found of a change whose process was killed.

    Attributes
    ----------
    outcome : "completed", "undone" or "alias_behind"
        ``alias_behind``: switched and recorded, but the registry cannot be told yet.
    kind : "promotion" or "rollback"
    digest : str
        Bundle that was to serve.
    """

    outcome: Literal["completed", "undone", "alias_behind"]
    kind: str
    digest: str


@dataclass(frozen=True)
class Change:
    """One change of champion, as its journal has it."""

    kind: Literal["promotion", "rollback"]
    champion: Champion
    before: str | None
    dossier_digest: str | None
    reason: str | None
    signatures: tuple[str, ...]
    plan_digest: str | None = None
    policy_digest: str | None = None

    def to_json(self) -> dict[str, Any]:
        return {**self.__dict__, "champion": self.champion.to_json(), "signatures": list(self.signatures)}

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> Change:
        return cls(
            **{**told, "champion": Champion.from_json(told["champion"]), "signatures": tuple(told["signatures"])}
        )


def recover(settings: Settings, cohort: str) -> Recovery | None:
    """Finish or undo a change whose process was killed, and say which; None when there is nothing to do."""
    if not _journal(settings, cohort).exists():
        return None
    with champions.hold(settings, cohort):
        return recover_held(settings, cohort)


def is_recorded(settings: Settings, champion: Champion) -> bool:
    """Whether records and ledger know of the change that made it champion: a pointer written by hand has neither."""
    import sqlalchemy as sa

    from clinical_assets.records import schema
    from clinical_assets.records.database import RecordsDatabase

    table, ledger = schema.promotions, schema.ledger
    entered = sa.and_(
        ledger.c.seq == table.c.ledger_seq,
        ledger.c.action == table.c.kind,
        ledger.c.cohort == table.c.cohort,
        ledger.c.digest == table.c.bundle_digest,
    )
    query = (
        sa.select(table.c.cohort, table.c.bundle_digest)
        .select_from(table.join(ledger, entered))
        .where(table.c.id == champion.promotion)
    )
    with RecordsDatabase(settings).read() as connection:
        row = connection.execute(query).one_or_none()
    return row is not None and tuple(row) == (champion.cohort, champion.digest)


def recover_held(settings: Settings, cohort: str, *, tell_registry: bool = True) -> Recovery | None:
    """The same for whoever holds the cohort; without ``tell_registry`` the journal stays until the registry is told."""
    journal = _journal(settings, cohort)
    told = champions.read_json(journal)
    if told is None:
        return None
    change = Change.from_json(told)
    serving = champions.current(settings, cohort)
    if serving is None or serving.promotion != change.champion.promotion:
        _log.warning("The %s of %s to %s was not begun; dropped.", change.kind, cohort, change.champion.digest)
        champions.remove(journal)
        return Recovery("undone", change.kind, change.champion.digest)
    _record(settings, change)
    if not (tell_registry and _tell_registry(settings, change.champion)):
        return Recovery("alias_behind", change.kind, change.champion.digest)
    champions.remove(journal)
    return Recovery("completed", change.kind, change.champion.digest)


def apply(settings: Settings, change: Change, *, on_recorded: Callable[[Champion], None] | None = None) -> None:
    """Do a change that is allowed, step by step; the caller holds the cohort.

    ``on_recorded`` is called by a rollback when it is done and recorded, before the registry is told.
    """
    journal = _journal(settings, change.champion.cohort)
    champions.write_json(journal, change.to_json())
    champions.switch(settings, change.champion)
    if change.kind == "rollback":
        # What serves is urgent; what the registry shows is not, and asking it takes seconds.
        _record(settings, change)
        if on_recorded is not None:
            on_recorded(change.champion)
        told = _tell_registry(settings, change.champion)
    else:
        told = _tell_registry(settings, change.champion)
        _record(settings, change)
    if told:
        champions.remove(journal)


def _record(settings: Settings, change: Change) -> None:
    """Row and ledger entry in one transaction; nothing if they are there."""
    import sqlalchemy as sa

    from clinical_assets.records import schema
    from clinical_assets.records.database import RecordsDatabase
    from clinical_assets.records.ledger import Ledger

    records, champion, table = RecordsDatabase(settings), change.champion, schema.promotions
    with records.write() as connection:
        if connection.execute(sa.select(table.c.id).where(table.c.id == champion.promotion)).first() is not None:
            return
        entry = Ledger(records).append(
            change.kind,
            actor=champion.by,
            cohort=champion.cohort,
            digest=champion.digest,
            reason=change.reason,
            facts={
                "promotion": champion.promotion,
                "since": champion.since,
                "before": change.before,
                "dossier_digest": change.dossier_digest,
                "signatures": list(change.signatures),
                "plan_digest": change.plan_digest,
                "policy_digest": change.policy_digest,
            },
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
    """Point the registry's alias at the champion; False, with a warning, when it cannot be told now."""
    from clinical_assets.modelling import mlflow_store, registry

    mlflow_store.import_mlflow()
    from mlflow.exceptions import MlflowException

    try:
        version = registry.find_version(settings, champion.cohort, digest=champion.digest)
        if version is None:
            raise mlflow_store.RegistryError(f"The registry holds no version with the bundle {champion.digest}.")
        with mlflow_store.exclusive(settings, champion.cohort):
            store = mlflow_store.client(settings)
            store.set_registered_model_alias(champion.cohort, ALIAS, str(version.version))
    except (mlflow_store.RegistryError, MlflowException) as error:
        _log.warning(
            "%s serves %s, but the registry's alias %r does not follow yet: %s",
            champion.digest,
            champion.cohort,
            ALIAS,
            error,
        )
        return False
    return True


def _journal(settings: Settings, cohort: str) -> Path:
    return champions.serving_folder(settings, cohort) / JOURNAL
