"""Batches of new records: read and checked apart, then kept in the cohort's warehouse in one transaction.

A batch is named by its records and the facts among them, and every file is known by its content: the same file twice
changes nothing, also when it comes back among other files, and neither do the same records in another order or
notation. A batch is read and validated like the cohort's own source, in a
scratch warehouse that vanishes; only what came out whole reaches ``received.<table>`` (as found, as text),
``received_valid.<table>`` (typed) and ``received.findings``. Where a batch has columns that are only known later, their
values are facts like those of an outcome file (``outcome_facts``), and no part of the record.

What belongs here: taking a batch in. What does not: scoring it, or filling in outcomes (``matured_outcomes``).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import duckdb

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.cohorts.tables import Table
from clinical_assets.foundation.canonical import value_digest
from clinical_assets.foundation.errors import ClinicalAssetsError, SourceError, ValidationFailed
from clinical_assets.foundation.settings import Settings
from clinical_assets.records.clock import utc_now
from clinical_assets.records.ledger.facts.intake import BatchFacts
from clinical_assets.sources.files import Found, fingerprint, workspace
from clinical_assets.sources.readers import ending_of
from clinical_assets.warehouse.intake import outcome_files
from clinical_assets.warehouse.intake.batch_layout import fit_layouts
from clinical_assets.warehouse.intake.ingestion import ingest
from clinical_assets.warehouse.outcomes import outcome_facts
from clinical_assets.warehouse.outcomes.batch_spec import as_written, batch_spec
from clinical_assets.warehouse.outcomes.received_tables import (
    BATCH,
    BATCHES,
    FILES,
    RAW,
    VALID,
    append,
    columns_of,
    has_table,
    prepare,
)
from clinical_assets.warehouse.snapshots.digests import table_digest
from clinical_assets.warehouse.sql.schema import ROW_NUMBER
from clinical_assets.warehouse.store.sql_text import literal, quoted
from clinical_assets.warehouse.store.unentered import note
from clinical_assets.warehouse.store.warehouse import Warehouse
from clinical_assets.warehouse.validation import quarantine
from clinical_assets.warehouse.validation.validation import validate_cohort

if TYPE_CHECKING:
    import pyarrow as pa


_FINDINGS = f"{RAW}.findings"


@dataclass(frozen=True)
class Received:
    """What became of a batch.

    Attributes
    ----------
    batch : str
        Digest of its records: those taken in, those refused, and the facts among them. Where it was refused as a whole,
        of its files.
    status : "accepted", "known" or "refused"
    rows, refused_rows : int
        Records of the subject table that were taken in, and records of all tables that were refused.
    tables : mapping
        Rows taken in by table.
    reason, cure : str or None
        Why it was refused as a whole.
    facts, conflicts : int
        Values of columns that are only known later: new ones, and ones that contradict what is known.
    refused_facts : int
        Records in which such a value cannot be read; the records themselves are taken in.
    """

    batch: str
    status: Literal["accepted", "known", "refused"]
    rows: int
    refused_rows: int
    tables: Mapping[str, int]
    reason: str | None = None
    cure: str | None = None
    facts: int = 0
    conflicts: int = 0
    refused_facts: int = 0


@dataclass(frozen=True)
class _Copied:
    """Private copies of a batch's files: its name, patterns of the copies, (table, SHA-256) and name of each file.

    ``delivered`` gives the name that a copy had.
    """

    digest: str
    patterns: dict[str, str]
    marks: list[tuple[str, str]]
    names: list[str]
    known_in: tuple[str, ...]
    delivered: dict[str, str] = field(default_factory=dict)


def receive(spec: CohortSpec, files: Mapping[str, Sequence[Path]], *, settings: Settings) -> Received:
    """Take in a batch of new records.

    Parameters
    ----------
    spec : CohortSpec
        The cohort's description.
    files : mapping
        Table name to its files, all of one format and with the same columns.
    settings : Settings
        Where the data, keys and reports of this installation lie.

    Returns
    -------
    Received
        ``refused`` where the files cannot be read, a described column is missing, or half of a table's records are
        refused; the warehouse is unchanged then.
    """
    with workspace(settings) as work:
        warehouse = Warehouse(spec.name, settings)
        try:
            copied = _copied(files, work, known=_known_files(warehouse))
        except SourceError as error:
            return _refused("", error)
        if not copied.patterns:
            batch = max(copied.known_in, key=lambda name: batches(warehouse).get(name, 0))
            return Received(batch=batch, status="known", rows=batches(warehouse)[batch], refused_rows=0, tables={})
        # A data folder of its own inside the work folder: same code, same encryption, nothing of it stays.
        scratch = replace(settings, data=work / "scratch", keys_folder=settings.keys)
        try:
            early = fit_layouts(spec, batch_spec(spec, copied.patterns), folder=work, names=copied.delivered)
            read = ingest(early, settings=scratch, folder=work)
            # A table of which there are no new rows is a file with a header alone.
            empty = [name for name, table in read.tables.items() if not table.rows and not table.rejects]
            if set(empty) - {spec.subject_table} and len(empty) < len(early.tables):
                rest = {name: pattern for name, pattern in copied.patterns.items() if name not in empty}
                early = fit_layouts(spec, batch_spec(spec, rest), folder=work, names=copied.delivered)
            report = validate_cohort(early, Warehouse(spec.name, scratch))
            later, unreadable = outcome_files.facts_of_batch(spec, early, work=work, settings=settings, read=read)
            digest = _content_digest(Warehouse(spec.name, scratch), early, later)
        except (SourceError, ValidationFailed) as error:
            return _refused(copied.digest, error)
        with Warehouse(spec.name, scratch).reader() as source, warehouse.writer() as target:
            prepare(target)
            marks = ", ".join(literal((table, mark, digest)) for table, mark in copied.marks)
            before = _rows_taken_before(target, digest)
            target.execute(f"INSERT INTO {FILES} SELECT * FROM (VALUES {marks}) EXCEPT SELECT * FROM {FILES}")
            if before is not None:
                return Received(batch=digest, status="known", rows=before, refused_rows=0, tables={})
            _keep(source, target, early, digest)
            refused = sum(table.rows_refused for table in report.tables.values())
            rows = report.tables[spec.subject_table].rows_valid if spec.subject_table in report.tables else 0
            target.execute(
                f"INSERT INTO {BATCHES} VALUES ({literal(digest)}, {literal(utc_now())}, "
                f"{literal(json.dumps(copied.names, ensure_ascii=False))}, {rows}, {refused})"
            )
            told = None
            if later is not None:
                told = outcome_facts.arrive(spec, target, later, file=digest, settings=settings)
            tables = {name: table.rows_valid for name, table in report.tables.items()}
            note(target, "batch", digest=digest, facts=BatchFacts(tables=tables, refused=refused))
        return Received(
            batch=digest,
            status="accepted",
            rows=rows,
            refused_rows=refused,
            tables=tables,
            facts=0 if told is None else told.new,
            conflicts=0 if told is None else told.conflicts,
            refused_facts=unreadable,
        )


def batches(warehouse: Warehouse) -> dict[str, int]:
    """Rows of every batch that was taken in, the oldest first."""
    if not warehouse.exists():
        return {}
    with warehouse.reader() as connection:
        if not has_table(connection, RAW, "batches"):
            return {}
        found = connection.execute(f"SELECT {BATCH}, rows FROM {BATCHES} ORDER BY received_at, {BATCH}").fetchall()
    return {str(batch): int(rows) for batch, rows in found}


def _known_files(warehouse: Warehouse) -> dict[tuple[str, str], str]:
    """Batch by table and SHA-256 of every file that was taken in."""
    if not warehouse.exists():
        return {}
    with warehouse.reader() as connection:
        if not has_table(connection, *FILES.split(".")):
            return {}
        found = connection.execute(f"SELECT table_name, sha256, {BATCH} FROM {FILES}").fetchall()
    return {(str(table), str(mark)): str(batch) for table, mark, batch in found}


def _rows_taken_before(connection: duckdb.DuckDBPyConnection, digest: str) -> int | None:
    """Rows of the same records that were taken in before, or meanwhile; None where they are new."""
    found = connection.execute(f"SELECT rows FROM {BATCHES} WHERE {BATCH} = {literal(digest)}").fetchone()
    return None if found is None else int(found[0])


def _content_digest(scratch: Warehouse, early: CohortSpec, later: pa.Table | None) -> str:
    """Name of a batch: equal for equal records, whatever their order and the notation of their files."""
    with scratch.reader() as connection:
        content = {name: table_digest(connection, f"validated.{quoted(name)}") for name in early.tables}
        content["refused"] = quarantine.digest(connection)
    if later is not None:
        with duckdb.connect() as memory:
            memory.register("facts", later)
            content["facts"] = table_digest(memory, "facts")
    return value_digest(content)


def _copied(files: Mapping[str, Sequence[Path]], work: Path, *, known: Mapping[tuple[str, str], str]) -> _Copied:
    """A private copy of every file that is not known yet, so that nobody changes it meanwhile.

    A process that was killed after taking files in leaves some of them in the inbox, where they lie among newer ones:
    each is therefore known by itself. Files of several tables belong together and are known together.

    Raises
    ------
    SourceError
        A file changed while it was copied, or the files of a table are of several formats.
    """
    marks: list[tuple[str, str]] = []
    known_in: list[str] = []
    found: dict[str, list[tuple[Path, str]]] = {}
    delivered: dict[str, str] = {}
    for table, group in files.items():
        endings = sorted({_ending(path) for path in group})
        if len(endings) > 1:
            raise SourceError(
                f"The files of table {table!r} are of several formats: {', '.join(endings)}.",
                cure="Put files of one format into the inbox at a time.",
            )
        folder = work / table
        folder.mkdir()
        for number, path in enumerate(group):
            mark = fingerprint(Found(path.name, path))
            copy = folder / f"{number:06d}{endings[0]}"
            shutil.copyfile(path, copy)
            mark.verify()
            fact = (table, mark.file.sha256)
            if fact in marks or (len(files) == 1 and fact in known):
                copy.unlink()
                known_in += [known[fact]] if fact in known else []
                continue
            marks.append(fact)
            delivered[f"{table}/{copy.name}"] = path.name
            found.setdefault(table, []).append((path, endings[0]))
    if len(files) > 1 and marks and all(fact in known for fact in marks):
        together = {known[fact] for fact in marks}
        if len(together) == 1:
            return _Copied("", {}, [], [], tuple(together))
    return _Copied(
        digest=value_digest(sorted(marks)),
        patterns={table: f"{table}/*{group[0][1]}" for table, group in found.items()},
        marks=marks,
        names=sorted(path.name for group in found.values() for path, _ in group),
        known_in=tuple(dict.fromkeys(known_in)),
        delivered=delivered,
    )


def _ending(path: Path) -> str:
    return ending_of(path.name) or path.suffix


def _keep(source: duckdb.DuckDBPyConnection, target: duckdb.DuckDBPyConnection, early: CohortSpec, digest: str) -> None:
    mark = f"{literal(digest)} AS {BATCH}"
    for name, described in early.tables.items():
        table = quoted(name)
        subject = early.subject_of(name)
        # As text, so that batches from CSV and from Parquet can lie in one table; typed values as the source writes
        # them. The subject stands under the description's name, too: erasing finds it there.
        spelled = {column.source_name or each: each for each, column in described.columns.items()}
        texts = [
            f"{_text(described, spelled.get(column), column, kind, early.timezone)} AS {quoted(column)}"
            for column, kind in columns_of(source, f"raw.{table}").items()
            if column != ROW_NUMBER and (column != subject or spelled.get(column) == subject)
        ]
        if spelled.get(subject) != subject:
            texts.append(f"CAST(v.{quoted(subject)} AS VARCHAR) AS {quoted(subject)}")
        raw = source.execute(
            f"SELECT {mark}, r.{ROW_NUMBER}, {', '.join(texts)} FROM raw.{table} AS r JOIN validated.{table} AS v "
            f"USING ({ROW_NUMBER})"
        ).to_arrow_table()
        append(target, f"{RAW}.{table}", raw)
        append(target, f"{VALID}.{table}", source.execute(f"SELECT {mark}, * FROM validated.{table}").to_arrow_table())
    subjects = [
        f"WHEN {literal(name)} THEN json_extract_string(record, {literal(_path(early, name))})" for name in early.tables
    ]
    subject = quoted(early.subject_of(next(iter(early.tables))))
    whose = f"SELECT *, CASE table_name {' '.join(subjects)} END AS {subject} FROM quarantine.records"
    append(target, f"{RAW}.refused_records", source.execute(f"SELECT {mark}, * FROM ({whose})").to_arrow_table())
    found_wrong = source.execute(
        f"SELECT {mark}, f.*, r.{subject} FROM quarantine.findings AS f LEFT JOIN (SELECT DISTINCT ON (table_name, "
        f"{ROW_NUMBER}) * FROM ({whose}) WHERE {ROW_NUMBER} IS NOT NULL) AS r "
        f"ON r.table_name = f.table_name AND r.{ROW_NUMBER} = f.{ROW_NUMBER}"
    ).to_arrow_table()
    append(target, _FINDINGS, found_wrong)


def _text(described: Table, name: str | None, column: str, kind: str, timezone: str | None) -> str:
    found = f"r.{quoted(column)}"
    if kind == "VARCHAR":
        return found
    if name is None or described.columns[name].type in ("string", "integer"):
        return f"CAST({found} AS VARCHAR)"
    return as_written(described, name, f"v.{quoted(name)}", timezone=timezone)


def _path(spec: CohortSpec, table: str) -> str:
    name = spec.subject_of(table)
    spelled = spec.tables[table].columns[name].source_name or name
    return '$."' + spelled.replace('"', '\\"') + '"'


def _refused(digest: str, error: ClinicalAssetsError) -> Received:
    return Received(
        batch=digest, status="refused", rows=0, refused_rows=0, tables={}, reason=error.message, cure=error.cure
    )
