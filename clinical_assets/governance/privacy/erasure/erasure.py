"""Erasing a subject on request (GDPR article 17): key, rows, snapshots, files; then the ledger says that it was done.

What belongs here: the order of things. Each step can be repeated, and the journal in the folder of keys keeps what
the steps before found, so that a process that is killed at any moment is completed by the same command.

1. The subject's key is destroyed and its tombstone set: from now on no delivery takes the subject in again, and its
   pseudonym in the ledger leads nowhere.
2. Snapshots that hold it are written anew, the old files removed.
3. Rows go from every table of the warehouse in one transaction; the file is written anew.
4. Lines of the prediction log, prediction files, event stores, logs and reports.
5. The ledger gets one entry with pseudonym, counts and models to train again; never the identifier.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.governance.privacy.erasure.files import Remaining, clean_files, remaining_files
from clinical_assets.governance.privacy.erasure.journal import Journal, unfinished
from clinical_assets.governance.privacy.erasure.models import Marked, marked_for_retraining, models_of
from clinical_assets.governance.privacy.erasure.snapshots import Redaction, redact_snapshots
from clinical_assets.governance.privacy.erasure.sources import sources_with
from clinical_assets.governance.privacy.erasure.target import ErasureTarget
from clinical_assets.governance.privacy.erasure.warehouse import TableCounts, count_rows, erase_rows
from clinical_assets.records.actors import current_actor
from clinical_assets.records.keys.pseudonyms import Pseudonyms
from clinical_assets.records.keys.subject_names import SubjectNames
from clinical_assets.records.ledger.facts.privacy import ErasedSnapshot, ErasureFacts
from clinical_assets.records.ledger.ledger import Ledger
from clinical_assets.records.prediction_log.erasing import erase_subject
from clinical_assets.records.prediction_log.verification import LOG_LINES
from clinical_assets.warehouse.snapshots.migration import rewrite
from clinical_assets.warehouse.store import encryption
from clinical_assets.warehouse.store.sql_text import literal
from clinical_assets.warehouse.store.warehouse import Warehouse
from clinical_assets.warehouse.validation.erased_subjects import subject_text
from clinical_assets.workspace import CohortHandle

__all__ = [
    "Erasure",
    "FoundSubject",
    "Marked",
    "Remaining",
    "erase",
    "find",
    "marked_for_retraining",
    "unfinished",
]


@dataclass(frozen=True)
class FoundSubject:
    """What the warehouse holds of a subject before anything is changed: ``schema.table`` to counts."""

    tables: dict[str, TableCounts]
    erased_before: bool
    distinctive: bool


@dataclass(frozen=True)
class Erasure:
    """What was erased.

    Attributes
    ----------
    id : str
        Of the erasure; in the ledger, too.
    pseudonym : str
        The subject's name in the ledger, which leads nowhere now.
    tables, mentions : dict
        ``schema.table`` to rows deleted, and to values of other rows in which the identifier was masked.
    snapshots : tuple of Redaction
        Snapshots that were written anew.
    files : dict
        Kind of file to how many were changed.
    models : tuple of str
        Digests of bundles that learned from the subject and are marked for retraining.
    remaining : tuple of Remaining
        Where the subject still is, with the cure: sources outside the platform, sealed or foreign files.
    ledger_seq : int or None
        The entry; None when the subject had been erased before and nothing was found of it any more.
    """

    id: str
    pseudonym: str
    tables: dict[str, int]
    mentions: dict[str, int]
    snapshots: tuple[Redaction, ...]
    files: dict[str, int]
    models: tuple[str, ...]
    remaining: tuple[Remaining, ...]
    ledger_seq: int | None


def find(cohort: CohortHandle, subject: str) -> FoundSubject:
    """What would be erased; nothing is changed."""
    target = ErasureTarget(cohort.spec, canonical_identifier(cohort.spec, subject))
    pseudonyms = Pseudonyms(cohort.settings, cohort.name)
    return FoundSubject(
        tables=count_rows(cohort.warehouse, target),
        erased_before=bool(pseudonyms.erased([target.identifier])[0]),
        distinctive=target.distinctive,
    )


def erase(
    cohort: CohortHandle,
    subject: str,
    *,
    reason: str,
    progress: Callable[[str], object] | None = None,
) -> Erasure:
    """Erase a subject of a cohort, or complete an erasure that was interrupted.

    Parameters
    ----------
    cohort : CohortHandle
        Its data, keys, reports and description.
    subject : str
        Identifier as in the source or as validated.
    reason : str
        Why, for the ledger; it must not hold the identifier.
    progress : callable, optional
        Is told of each step in words without values.

    Raises
    ------
    ClinicalAssetsError
        When the reason is empty or names the subject, the cohort is held by another run, or a snapshot cannot be read.
        The journal then stays, and the same command goes on.
    """
    tell = progress or (lambda _: None)
    spec, settings, warehouse = cohort.spec, cohort.settings, cohort.warehouse
    identifier = canonical_identifier(spec, subject)
    if not reason.strip() or identifier.casefold() in reason.casefold():
        raise ClinicalAssetsError(
            "The reason of an erasure stays in the ledger: it must be given and must not name the subject.",
            cure="Give the number of the request, for instance.",
        )
    pseudonyms = Pseudonyms(settings, cohort.name)
    with warehouse.exclusive():
        journal = Journal.begin(
            settings,
            cohort=cohort.name,
            lookup=pseudonyms.lookup(identifier),
            actor=current_actor(settings),
            reason=reason.strip(),
            pseudonyms=pseudonyms.all_of(identifier),
        )
        tell("destroying the subject's key")
        name = pseudonyms.erase(identifier)
        if name is not None and name not in journal.pseudonyms:
            journal.pseudonyms.insert(0, name)
            journal.save()
        logged = SubjectNames(settings, cohort.name).subject(identifier)
        target = ErasureTarget(spec, identifier, (*journal.pseudonyms, logged))
        tell("snapshots")
        redact_snapshots(target, settings=settings, at=journal.at, before=lambda each: _note(journal, each))
        tell("warehouse")
        _erase_warehouse(warehouse, target, journal)
        tell("prediction log")
        erase_subject(settings, cohort.name, logged, before=lambda lines: _note_lines(journal, lines))
        tell("logs, event stores and reports")
        target = replace(target, units=tuple(map(tuple, journal.units)))
        journal.most("files", clean_files(target, settings=settings))
        tell("looking for what is left")
        redactions = tuple(Redaction(**{**each, "ancestors": tuple(each["ancestors"])}) for each in journal.snapshots)
        models = models_of(settings, cohort.name, redactions=redactions, bundles=journal.bundles)
        folder = cohort.entry.folder
        remaining = (
            *sources_with(target, settings=settings, folder=folder),
            *remaining_files(target, settings=settings),
        )
        seq = _ledger_entry(cohort.ledger, journal, models=models, remaining=len(remaining))
        journal.end()
    return Erasure(
        id=journal.id,
        pseudonym=journal.pseudonyms[0] if journal.pseudonyms else "erased before",
        tables=journal.tables,
        mentions=journal.mentions,
        snapshots=redactions,
        files=journal.files,
        models=models,
        remaining=remaining,
        ledger_seq=seq,
    )


def canonical_identifier(spec: CohortSpec, subject: str) -> str:
    """The identifier as it is after validation: without white space, whole numbers in digits.

    Raises
    ------
    ClinicalAssetsError
        When there is none.
    """
    import duckdb

    column = spec.column(spec.subject_table, spec.subject_of(spec.subject_table))
    statement = subject_text(literal(subject), integer=column.type == "integer")
    with duckdb.connect() as connection:
        row = connection.execute(f"SELECT {statement}").fetchone()
    if row is None or not row[0]:
        raise ClinicalAssetsError("The identifier is empty.", cure="Give the subject's identifier, or - to read it.")
    return str(row[0])


def _erase_warehouse(warehouse: Warehouse, target: ErasureTarget, journal: Journal) -> None:
    if not warehouse.exists():
        return

    def before(found: dict[str, TableCounts], units: list[list[str]]) -> None:
        prefix = "reference."
        bundles = {name.removeprefix(prefix) for name in found if name.startswith(prefix)}
        journal.units += [unit for unit in units if unit not in journal.units]
        journal.bundles = sorted({*journal.bundles, *bundles})
        journal.most("tables", {name: each.rows for name, each in found.items() if each.rows})
        journal.most("mentions", {name: each.mentions for name, each in found.items() if each.mentions})

    digests: dict[str, dict[str, str]] = {}
    for each in journal.snapshots:
        digests.setdefault(each["table"], {})[each["old"]] = each["new"]
    erase_rows(warehouse, target, digests=digests, before=before)
    # Always: an interruption may have left deleted rows in the file's free blocks.
    key = encryption.cohort_key(warehouse.cohort, warehouse.settings)
    rewrite(warehouse, key_before=key, key_after=key)


def _note_lines(journal: Journal, lines: int) -> None:
    if lines:
        journal.most("files", {LOG_LINES: lines})


def _note(journal: Journal, redaction: Redaction) -> None:
    if all(each["old"] != redaction.old for each in journal.snapshots):
        journal.snapshots.append({**asdict(redaction), "ancestors": list(redaction.ancestors)})
        journal.save()


def _ledger_entry(ledger: Ledger, journal: Journal, *, models: tuple[str, ...], remaining: int) -> int | None:
    for entry in ledger.entries(cohort=journal.cohort, action="erasure"):
        written = ErasureFacts.found(entry.facts)
        if written is not None and written.erasure == journal.id:
            return entry.seq  # written, but the process ended before the journal did
    if not (journal.pseudonyms or journal.tables or journal.mentions or journal.snapshots or journal.files):
        return None
    facts = ErasureFacts(
        erasure=journal.id,
        pseudonym=journal.pseudonyms[0] if journal.pseudonyms else None,
        pseudonyms=tuple(journal.pseudonyms),
        tables=journal.tables,
        mentions=journal.mentions,
        snapshots=tuple(
            ErasedSnapshot(table=each["table"], old=each["old"], new=each["new"], rows=each["rows"])
            for each in journal.snapshots
        ),
        files=journal.files,
        models=models,
        remaining=remaining,
    )
    return ledger.append("erasure", actor=journal.actor, cohort=journal.cohort, reason=journal.reason, facts=facts).seq
