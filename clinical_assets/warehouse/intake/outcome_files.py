"""Outcomes that arrive later, in any order: matched to received records, never applied twice, never overwritten.

An outcome file has the key of the cohort's units (or ``pseudonym``), the index date where one is needed, and columns of
the subject table that are known only later; ``shown`` and ``acted`` may stand beside them.

What belongs here: reading outcome files as facts. Bringing facts and units together is the work of ``outcome_facts``.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from clinical_assets.cohorts.sources_spec import FileSource
from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.cohorts.tables import Column, Table
from clinical_assets.foundation.canonical import file_digest
from clinical_assets.foundation.errors import SourceError, ValidationFailed
from clinical_assets.foundation.settings import Settings
from clinical_assets.records.ledger.facts.intake import OutcomesFacts
from clinical_assets.sources.files import workspace
from clinical_assets.sources.source_reader import open_source
from clinical_assets.warehouse.intake.ingestion import IngestReport, ingest
from clinical_assets.warehouse.outcomes.batch_spec import REFUSED_LIMIT, as_delivered, key_text, later_columns
from clinical_assets.warehouse.outcomes.outcome_facts import arrive
from clinical_assets.warehouse.outcomes.pseudonym_files import PSEUDONYM
from clinical_assets.warehouse.outcomes.received_tables import CONFLICTS, FEEDBACK, RAW, columns_of, has_table
from clinical_assets.warehouse.store.sql_text import literal, quoted
from clinical_assets.warehouse.store.unentered import note
from clinical_assets.warehouse.store.warehouse import Warehouse
from clinical_assets.warehouse.validation.validation import validate_cohort

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class OutcomesReceived:
    """What became of an outcome file; counts are of values, but for `waiting` and `refused_rows`.

    Attributes
    ----------
    new, known, conflicts : int
        Facts that are new, that were known already, and that contradict what is known.
    waiting : int
        Units of the file whose record has not arrived yet.
    refused_rows : int
        Rows with an unreadable or impossible value, or a doubled key.
    reason, cure : str or None
        Why the file was refused as a whole; nothing of it was taken in then.
    """

    file: str
    new: int = 0
    known: int = 0
    conflicts: int = 0
    waiting: int = 0
    refused_rows: int = 0
    reason: str | None = None
    cure: str | None = None

    @property
    def refused(self) -> bool:
        """True when nothing of the file was taken in."""
        return self.reason is not None


def receive_outcomes(spec: CohortSpec, path: Path, *, settings: Settings) -> OutcomesReceived:
    """Take in one outcome file of the subject table.

    Parameters
    ----------
    spec : CohortSpec
        The cohort's description.
    path : Path
        Of a format that a reader is for, written like the cohort's source but with a header line in any case.
    settings : Settings
        Where the data, keys and reports of this installation lie.
    """
    digest = file_digest(path)
    with workspace(settings) as work:
        try:
            source = _source(spec, path)
            there = _header(source, path.parent, settings)
            table = _table(spec, source, there, what=path.name)
            facts, refused = _facts(spec, table, work=work, folder=path.parent, settings=settings)
        except (SourceError, ValidationFailed) as error:
            reason = error.message if path.name in error.message else f"{path.name}: {error.message}"
            return OutcomesReceived(file=digest, reason=reason, cure=error.cure)
        with Warehouse(spec.name, settings).writer() as connection:
            told = arrive(spec, connection, facts, file=digest, settings=settings)
            counts = OutcomesFacts(new=told.new, known=told.known, conflicts=told.conflicts)
            note(connection, "outcomes", digest=digest, facts=counts)
    return OutcomesReceived(
        file=digest,
        new=told.new,
        known=told.known,
        conflicts=told.conflicts,
        waiting=told.waiting,
        refused_rows=refused,
    )


def facts_of_batch(
    spec: CohortSpec, early: CohortSpec, *, work: Path, settings: Settings, read: IngestReport
) -> tuple[pa.Table | None, int]:
    """Facts in the records of a batch that hold columns which are only known later, and the number of unreadable rows.

    Parameters
    ----------
    spec : CohortSpec
        The cohort's whole description.
    early : CohortSpec
        By which the batch was read; its files lie in `work`.
    work : Path
        Folder of the files of the batch.
    settings : Settings
        Where the data, keys and reports of this installation lie.
    read : IngestReport
        What reading the batch gave: columns and rows per table.
    """
    if spec.subject_table not in early.tables:
        return None, 0
    there = set(read.tables[spec.subject_table].columns)
    full = spec.subjects
    if not any((full.columns[name].source_name or name) in there for name in later_columns(full)):
        return None, 0
    source = early.subjects.source
    assert isinstance(source, FileSource)  # a batch is files
    later = {full.columns[name].source_name or name for name in later_columns(full)}
    table = _table(spec, source, there & {*later, *_spelled(full), *_spelled_index(spec)}, what="The batch")
    # Records were counted as refused already; an unreadable outcome refuses no record.
    table = table.model_copy(update={"refused_limit": 1.0})
    try:
        return _facts(spec, table, work=work, folder=work, settings=settings)
    except ValidationFailed:  # not one row of them is readable
        return None, read.tables[spec.subject_table].rows


def _facts(spec: CohortSpec, table: Table, *, work: Path, folder: Path, settings: Settings) -> tuple[pa.Table, int]:
    """Facts of the rows that could be read, as ``outcome_facts.arrive`` wants them, and the number of other rows."""
    narrow = spec.model_copy(update={"tables": {spec.subject_table: table}, "subject": table.subject or spec.subject})
    scratch = replace(settings, data=work / "facts", keys_folder=settings.keys)
    ingest(narrow, settings=scratch, folder=folder)
    report = validate_cohort(narrow, Warehouse(spec.name, scratch))
    done = report.tables[spec.subject_table]
    with Warehouse(spec.name, scratch).reader() as found:
        rows = found.execute(_unpivoted(spec, table)).to_arrow_table()
    return rows, done.rows_refused + done.unreadable_lines


def _unpivoted(spec: CohortSpec, table: Table) -> str:
    index, subject = spec.index_column, spec.subject_of(spec.subject_table)
    by_name = PSEUDONYM in table.columns
    unit = "NULL::VARCHAR" if by_name else key_text(spec.subjects, "v", typed=True)
    pseudonym = f"v.{PSEUDONYM}" if by_name else "NULL::VARCHAR"
    whose = f"CAST(v.{quoted(subject)} AS VARCHAR)" if subject in table.columns else "NULL::VARCHAR"
    date = f"CAST(v.{quoted(index)} AS VARCHAR)" if index in table.columns else "NULL::VARCHAR"
    parts = [
        f"SELECT {unit} AS unit, {pseudonym} AS pseudonym, {whose} AS {quoted(subject)}, "
        f"{literal(column)} AS column_name, {date} AS index_date, CAST(v.{quoted(column)} AS VARCHAR) AS value "
        f"FROM validated.{quoted(spec.subject_table)} AS v WHERE v.{quoted(column)} IS NOT NULL"
        for column in table.columns
        if column not in (*spec.key, PSEUDONYM, subject, index)
    ]
    return " UNION ALL ".join(parts)


def _source(spec: CohortSpec, path: Path) -> FileSource:
    """Outcome files are written like the source, but name their columns themselves."""
    source = as_delivered(spec.subjects, path.name)
    if source.csv.columns is None:
        return source
    return source.model_copy(update={"csv": source.csv.model_copy(update={"columns": None, "skip_rows": 0})})


def _spelled(table: Table) -> list[str]:
    return [table.columns[name].source_name or name for name in table.key]


def _spelled_index(spec: CohortSpec) -> list[str]:
    index = spec.index_column
    return [] if index is None else [spec.subjects.columns[index].source_name or index]


def _table(spec: CohortSpec, source: FileSource, there: Collection[str], *, what: str) -> Table:
    """What the rows of this file promise: the key, and the later columns that the file has."""
    full, index = spec.subjects, spec.index_column
    wanted = [*full.key, *([index] if index else []), *later_columns(full)]
    columns: dict[str, Column] = {}
    for name in dict.fromkeys(wanted):
        column = full.columns[name]
        spelled = next((each for each in (column.source_name, name) if each in there), None)
        if spelled is not None:
            changed = {"source_name": spelled, "nullable": name not in full.key, "unique": False}
            columns[name] = column.model_copy(update=changed)
    facts = {name: column for name, column in columns.items() if name in later_columns(full)}
    facts |= {name: _yes_or_no(name) for name in FEEDBACK if name in there and name not in full.columns}
    if not facts:
        known = ", ".join(full.columns[name].source_name or name for name in later_columns(full))
        raise SourceError(
            f"{what}: none of its columns is an outcome of cohort {spec.name}.", cure=f"Give one of: {known}."
        )
    date = {index: columns[index]} if index in columns else {}
    key = {name: columns[name] for name in full.key if name in columns}
    subject = spec.subject_of(spec.subject_table)
    if len(key) < len(full.key):
        key, subject = _by_pseudonym(spec, there, dated=bool(date), what=what), PSEUDONYM
    elif subject not in key:
        subject = full.key[0]  # nothing is looked up by it; the subject is known from the record
    kept = {**key, **date, **facts}
    return full.model_copy(
        update={
            "source": source,
            "key": tuple(dict.fromkeys([*key, *date])),
            "subject": subject,
            "columns": kept,
            # The others speak of columns that are not looked at here; the record's own check makes them.
            "corrections": tuple(one for one in full.corrections if {*one.where, *one.put} <= kept.keys()),
            "rules": (),
            "references": (),
            "recorded": None,
            "refused_limit": REFUSED_LIMIT,
        }
    )


def _by_pseudonym(spec: CohortSpec, there: Collection[str], *, dated: bool, what: str) -> dict[str, Column]:
    lacking = [name for name in _spelled(spec.subjects) if name not in there]
    if PSEUDONYM not in there:
        raise SourceError(
            f"{what}: an outcome file needs the key of its units, but has no column {', '.join(lacking)}.",
            cure=f"Name units by {', '.join(_spelled(spec.subjects))}, or by {PSEUDONYM}.",
        )
    if spec.key != (spec.subject_of(spec.subject_table),) and not dated:
        dates = ", ".join(_spelled_index(spec))
        raise SourceError(
            f"{what} names units by pseudonym, but a unit of {spec.name} is {', '.join(spec.key)}.",
            cure=f"Give {dates} beside the pseudonym, or all columns of the key." if dates else "Give the whole key.",
        )
    return {PSEUDONYM: Column(type="string", role=("ignored",), nullable=False, description="Pseudonym.")}


def _yes_or_no(name: str) -> Column:
    meaning = {"shown": "Whether the score was shown to somebody.", "acted": "Whether somebody acted on it."}
    return Column(type="boolean", role=("outcome",), description=meaning[name])


def _header(source: FileSource, folder: Path, settings: Settings) -> set[str]:
    import duckdb

    table = Table(
        description="An outcome file.",
        source=source,
        key=("any",),
        columns={"any": Column(type="string", description="-")},
    )
    with (
        duckdb.connect(config={"threads": "1"}) as connection,
        open_source(connection, table, table_name="outcomes", settings=settings, folder=folder) as opened,
    ):
        return set(columns_of(connection, f"({opened.sql})"))


def conflicts(warehouse: Warehouse, *, limit: int = 100) -> Sequence[tuple[str, ...]]:
    """The newest contradictions: column, kept value, other value, reason, cure; without the unit's name."""
    if not warehouse.exists():
        return []
    with warehouse.reader() as connection:
        if not has_table(connection, RAW, "outcome_conflicts"):
            return []
        return connection.execute(
            f"SELECT column_name, kept_value, other_value, reason, cure FROM {CONFLICTS} "
            f"ORDER BY received_at DESC LIMIT {int(limit)}"
        ).fetchall()
