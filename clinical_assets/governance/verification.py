"""One verification over all evidence: what was decided, who decided it, and what it was decided on.

What belongs here: asking each store whether it still is what the ledger says, and collecting the answers. What does
not: mending, and the checks themselves, which belong to the stores.

Each part is looked at even if another is wrong, so that one report names everything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import sqlalchemy as sa

from clinical_assets.foundation import locks
from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.foundation.settings import Settings
from clinical_assets.governance.dossier import folder as dossier_folder
from clinical_assets.governance.promotion.release_record import (
    CHANGES,
    RETIREMENT,
    is_recorded,
    refuse_other,
    refuse_unreleased,
)
from clinical_assets.governance.signing.people import list_people
from clinical_assets.governance.signing.signatures import true_signatures
from clinical_assets.governance.verdicts.verdict_store import latest_verdicts
from clinical_assets.modelling.bundle.bundle import Bundle
from clinical_assets.modelling.champion import champion_pointer
from clinical_assets.modelling.champion.champion_pointer import Champion
from clinical_assets.modelling.tracking import mlflow_store, registry
from clinical_assets.records import guards, schema
from clinical_assets.records.database import RecordsDatabase
from clinical_assets.records.errors import RecordsError
from clinical_assets.records.ledger.facts.models import ChampionFacts, DossierFacts
from clinical_assets.records.ledger.ledger import Ledger
from clinical_assets.records.ledger.witness_places import witness_place
from clinical_assets.records.ledger.witnesses import compare
from clinical_assets.records.place import copied_from, identity
from clinical_assets.warehouse.snapshots.snapshot_files import read_manifest
from clinical_assets.warehouse.snapshots.snapshots import verify_snapshot

Check: TypeAlias = Callable[[RecordsDatabase], Iterator[str | None]]
"""Gives None for each thing that is right, and words for each that is not."""


@dataclass(frozen=True)
class EvidencePart:
    """One kind of evidence.

    Attributes
    ----------
    name : str
        Such as ``ledger`` or ``signatures``.
    checked : int
        How many things of this kind were looked at.
    problems : tuple of str
        What is wrong, a sentence each.
    note : str or None
        What a person should know though nothing is wrong.
    """

    name: str
    checked: int
    problems: tuple[str, ...]
    note: str | None = None


@dataclass(frozen=True)
class EvidenceReport:
    """All parts."""

    parts: tuple[EvidencePart, ...]

    @property
    def intact(self) -> bool:
        """True when nothing is wrong."""
        return not any(part.problems for part in self.parts)


def verify_all(settings: Settings) -> EvidenceReport:
    """Check everything that is kept as evidence; nothing is changed.

    Returns
    -------
    Report
        Installation (a copy is noted), database file, ledger with every seal, people, verdicts, signatures, promotions,
        pointers, bundles, dossiers, snapshots, registry, and control samples of what serves.
    """
    records = RecordsDatabase(settings)
    checks: tuple[tuple[str, Check], ...] = (
        ("installation", _installation),
        ("database file", _database_file),
        ("ledger", _ledger),
        ("people", _people),
        ("verdicts", _verdicts),
        ("signatures", _signatures),
        ("promotions", _promotions),
        ("pointers", _pointers),
        ("bundles", _bundles),
        ("dossiers", _dossiers),
        ("snapshots", _snapshots),
        ("registry", _registry),
        ("control samples", _control_samples),
    )
    parts = tuple(_part(name, check, records) for name, check in checks)
    return EvidenceReport((*parts, *(_witnesses(records, address) for address in settings.witnesses)))


def _witnesses(records: RecordsDatabase, address: str) -> EvidencePart:
    """The ledger against the heads in one place. A place that does not answer proves nothing, and is noted."""
    try:
        place = witness_place(address)
    except RecordsError as error:
        return EvidencePart("witnesses", 0, (error.message,))
    name = f"witnesses at {place.name}"
    try:
        lines = place.lines()
    except RecordsError as error:
        return EvidencePart(name, 0, (), f"Not compared: {error.message}")
    try:
        found = compare(records, lines, where=place.name)
    except RecordsError as error:
        return EvidencePart(name, 0, (error.message,))
    if found.problem is not None:
        return EvidencePart(name, found.agreeing, (found.problem,))
    if found.newest is None:
        return EvidencePart(name, 0, (), "No head lies there yet.")
    return EvidencePart(name, found.agreeing, (), f"The newest is entry {found.newest.seq} of {found.newest.at[:10]}.")


def _part(name: str, check: Check, records: RecordsDatabase) -> EvidencePart:
    checked, problems = 0, []
    try:
        for problem in check(records):
            checked += 1
            if problem is not None:
                problems.append(problem)
    except (ClinicalAssetsError, OSError) as error:
        # What cannot be read is a finding, and hides no other part.
        problems.append(str(error).splitlines()[0])
    except (ValueError, KeyError, TypeError) as error:
        # A document that somebody changed so that its reader stumbles; the words may quote it.
        problems.append(f"Something of it cannot be read any more ({type(error).__name__}).")
    note = None
    if name == "signatures":
        number = _unkeyed(records) if not problems else 0
        note = f"{number} of them are unsigned by key (before upgrade)." if number else None
    if name == "installation" and not problems:
        original = copied_from(records.settings)
        note = f"This data folder is a copy of {original}." if original else None
    return EvidencePart(name, checked, tuple(dict.fromkeys(problems)), note)


def _database_file(records: RecordsDatabase) -> Iterator[str | None]:
    with records.read() as connection:
        yield from guards.version_problems(connection)
        if records.on_server:
            return
        for said in connection.exec_driver_sql("PRAGMA integrity_check").scalars():
            yield None if said == "ok" else f"SQLite says: {said}"
        for row in connection.exec_driver_sql("PRAGMA foreign_key_check"):
            yield f"A row of {row[0]} points to a row of {row[2]} that is not there."


def _installation(records: RecordsDatabase) -> Iterator[str | None]:
    if identity(records.settings) is not None:
        yield None


def _ledger(records: RecordsDatabase) -> Iterator[str | None]:
    report = Ledger(records).verify(every_seal=True)
    yield from [None] * report.entries
    if not report.intact:
        yield report.problem


def _people(records: RecordsDatabase) -> Iterator[str | None]:
    yield from [None] * len(list_people(records))
    people = schema.people
    with records.read() as connection:
        # Read as truth, any number but 0 is true.
        odd = sa.select(people.c.login).where(sa.cast(people.c.active, sa.Integer).not_in((0, 1)))
        for login in connection.execute(odd).scalars():
            yield f"The row of {login} does not say whether the account is active."


def _digests(records: RecordsDatabase, *tables: sa.Table) -> list[str]:
    """Bundles that rows of these tables, or entries of the ledger, speak of."""
    ledger = schema.ledger
    found: set[str] = set()
    with records.read() as connection:
        for table in tables:
            found.update(connection.execute(sa.select(table.c.bundle_digest).distinct()).scalars())
        actions = ("signature", "rejection", "waiver", "gate_verdict")
        query = sa.select(ledger.c.digest).where(ledger.c.action.in_(actions), ledger.c.digest.is_not(None))
        found.update(connection.execute(query.distinct()).scalars())
    return sorted(found)


def _verdicts(records: RecordsDatabase) -> Iterator[str | None]:
    for digest in _digests(records, schema.gate_runs):
        try:
            yield from [None] * len(latest_verdicts(records, bundle_digest=digest))
        except ClinicalAssetsError as error:
            yield error.message


def _signatures(records: RecordsDatabase) -> Iterator[str | None]:
    for digest in _digests(records, schema.signatures):
        true, problems = true_signatures(records, bundle_digest=digest)
        yield from [None] * len(true)
        yield from problems


def _unkeyed(records: RecordsDatabase) -> int:
    table = schema.signatures
    with records.read() as connection:
        query = sa.select(sa.func.count()).select_from(table).where(table.c.signature.is_(None))
        return int(connection.execute(query).scalar_one())


def _promotions(records: RecordsDatabase) -> Iterator[str | None]:
    rows, ledger = schema.promotions, schema.ledger
    with records.read() as connection:
        found = connection.execute(sa.select(rows).order_by(rows.c.ledger_seq)).all()
        changes = sa.select(ledger.c.seq, ledger.c.action, ledger.c.facts).where(ledger.c.action.in_(CHANGES))
        entries = connection.execute(changes).all()
    for row in found:
        champion = Champion(
            cohort=row.cohort,
            digest=row.bundle_digest,
            since=row.at,
            by=row.actor,
            previous=(),
            promotion=row.id,
            retired=row.kind == RETIREMENT,
        )
        known = is_recorded(records.settings, champion)
        yield None if known else f"The {row.kind} {row.id} of {row.cohort} has no ledger entry that says the same."
    ids = {row.id for row in found}
    for entry in entries:
        if (ChampionFacts.found(entry.facts) or ChampionFacts()).promotion not in ids:
            yield f"The {entry.action} of ledger entry {entry.seq} has no row."


def _pointers(records: RecordsDatabase) -> Iterator[str | None]:
    ledger = schema.ledger
    with records.read() as connection:
        query = sa.select(ledger.c.cohort).where(ledger.c.action.in_(CHANGES), ledger.c.cohort.is_not(None))
        cohorts = set(connection.execute(query.distinct()).scalars())
    if records.settings.serving.exists():
        cohorts.update(path.parent.name for path in records.settings.serving.glob(f"*/{champion_pointer.POINTER}"))
    for cohort in sorted(cohorts):
        try:
            # A change that goes on has its record before its pointer; it is waited for.
            with champion_pointer.hold(records.settings, cohort):
                champion = champion_pointer.last(records.settings, cohort)
                refuse_other(records.settings, cohort, champion)
                if champion is not None and not champion.retired:
                    champion_pointer.bundle_of(records.settings, champion)
                    refuse_unreleased(records.settings, cohort, champion.digest)
            yield None
        except ClinicalAssetsError as error:
            yield f"{cohort}: {error.message}"


def _control_samples(records: RecordsDatabase) -> Iterator[str | None]:
    # Late: it scores, and commands that only show a ledger start without what computes.
    from clinical_assets.governance.promotion.control_samples import control_deviations

    yield from control_deviations(records.settings)


def _trained(records: RecordsDatabase) -> set[str | None]:
    return {entry.digest for entry in Ledger(records).entries(action="training")}


def _dossiers_entered(records: RecordsDatabase) -> set[Any]:
    """Cohort, bundle and digest of each: the digest covers the files and not what the manifest says besides."""
    written = ((entry, DossierFacts.found(entry.facts)) for entry in Ledger(records).entries(action="dossier"))
    return {(entry.cohort, entry.digest, facts.dossier_digest) for entry, facts in written if facts is not None}


def _is_made_now(records: RecordsDatabase, cohort: str, made: object, entered: Callable[[], set[Any]]) -> bool:
    """Whether a file without an entry is one that a run is about to enter, or has entered since the entries were read.

    A run holds its cohort until everything that it made is entered.
    """
    return locks.is_held(records.settings.warehouse / f"{cohort}.lock") or made in entered()


def _bundles(records: RecordsDatabase) -> Iterator[str | None]:
    trained = _trained(records)
    folders = [*records.settings.bundles.glob("*/*"), *(records.settings.data / "models").glob("*/*/bundle")]
    for folder in sorted(each for each in folders if each.is_dir() and not each.name.startswith(".")):
        try:
            bundle = Bundle.load(folder)
        except ClinicalAssetsError as error:
            yield error.message
            continue
        named = folder.name if folder.name != "bundle" else None
        right = named is None or bundle.digest.removeprefix("sha256:") == named
        if not right:
            yield f"{folder} holds {bundle.digest}."
        elif bundle.digest not in trained and not _is_made_now(
            records, bundle.cohort, bundle.digest, lambda: _trained(records)
        ):
            yield (
                f"{folder} holds {bundle.digest}, of which the ledger knows no training: it was put there, or a run "
                "was killed before its end. Remove it, and train again if it is missed."
            )
        else:
            yield None


def _dossiers(records: RecordsDatabase) -> Iterator[str | None]:
    entered = _dossiers_entered(records)
    for folder in sorted(records.settings.dossiers.glob("*/*")):
        if not folder.is_dir() or folder.name.startswith("."):
            continue
        try:
            manifest = dossier_folder.verify(folder)
            named = (manifest.cohort, manifest.bundle_digest, manifest.digest)
            known = named in entered or _is_made_now(
                records, folder.parent.name, named, lambda: _dossiers_entered(records)
            )
            said = f"cohort {manifest.cohort}, bundle {manifest.bundle_digest} and digest {manifest.digest}"
            yield None if known else f"The dossier {folder.name} says {said}, never entered together."
        except ClinicalAssetsError as error:
            yield error.message


def _snapshots(records: RecordsDatabase) -> Iterator[str | None]:
    for path in sorted(records.settings.snapshots.glob("*/*/*.parquet")):
        try:
            snapshot = read_manifest(path)
            if snapshot is not None:
                verify_snapshot(snapshot, settings=records.settings)
            yield None
        except ClinicalAssetsError as error:
            yield error.message


def _registry(records: RecordsDatabase) -> Iterator[str | None]:
    if records.settings.tracking_uri is None and not records.settings.tracking.exists():
        return
    mlflow_store.import_mlflow()
    from mlflow.exceptions import MlflowException

    for path in sorted(records.settings.serving.glob(f"*/{champion_pointer.POINTER}")):
        cohort = path.parent.name
        champion = champion_pointer.current(records.settings, cohort)
        try:
            found = registry.find_version(records.settings, cohort, alias="champion")
        except MlflowException as error:
            yield f"The registry does not answer for {cohort} ({type(error).__name__})."
            continue
        alias, serves = (None if each is None else each.digest for each in (found, champion))
        if alias != serves:
            yield f"The alias champion of {cohort} names {alias or 'nothing'}, but {serves or 'nothing'} serves."
        else:
            yield None
