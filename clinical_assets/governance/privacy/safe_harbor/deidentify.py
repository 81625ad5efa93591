"""What of a cohort still identifies people: its tables against Safe Harbor, its logs against the known identifiers.

What belongs here: which tables and files are looked at, and what the description lets one expect there. Nothing is
changed: de-identifying is done in the feature SQL and in the description.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.settings import Settings
from clinical_assets.governance.privacy.safe_harbor.processing_times import RULE, as_processing_time, is_processing_time
from clinical_assets.governance.privacy.safe_harbor.scan import IdentifierFinding, scan
from clinical_assets.records.actors import current_actor
from clinical_assets.records.ledger.facts.privacy import DeidentificationFacts
from clinical_assets.warehouse.outcomes.matured_outcomes import OUTCOMES
from clinical_assets.warehouse.store.sql_text import literal, quoted
from clinical_assets.warehouse.store.warehouse import Warehouse
from clinical_assets.warehouse.validation.erased_subjects import WORD, distinctive_words
from clinical_assets.workspace import CohortHandle

if TYPE_CHECKING:
    import polars as pl

FEATURE_SCHEMAS = ("model", "reference", "marts", "monitoring")
"""Schemas whose tables must hold no identifier but the declared key."""
_TEXT_BYTES = 16 * 2**20


@dataclass(frozen=True)
class NamedIn:
    """A file that names subjects.

    Attributes
    ----------
    file : str
        Below the data folder.
    subjects : int
        How many different ones.
    """

    file: str
    subjects: int
    cure: str = "Find out what wrote it; delete the file, or erase the subjects with `clinical-assets erase`."


@dataclass(frozen=True)
class Deidentification:
    """What was found.

    Attributes
    ----------
    relations : tuple of str
        Tables that were looked at.
    unexpected : tuple of IdentifierFinding
        In feature, reference, mart and monitoring tables, where nothing but the key may name anybody, and in validated
        columns whose description does not say that they identify.
    expected : tuple of IdentifierFinding
        In validated columns that are described as identifier, date or note, and processing times: they must not leave
        the platform.
    files : tuple of NamedIn
        Logs, event stores and reports that name subjects of the cohort.
    files_looked_at : int
        How many; 0 where the identifiers are too short to be told from other words.
    """

    cohort: str
    relations: tuple[str, ...]
    unexpected: tuple[IdentifierFinding, ...]
    expected: tuple[IdentifierFinding, ...]
    files: tuple[NamedIn, ...]
    files_looked_at: int

    @property
    def clean(self) -> bool:
        """True when nothing unexpected was found."""
        return not self.unexpected and not self.files


def scan_cohort(
    spec: CohortSpec, *, settings: Settings, schemas: Sequence[str] = FEATURE_SCHEMAS
) -> tuple[IdentifierFinding, ...]:
    """Safe Harbor over the tables that models, reports and monitoring read.

    The declared key is left out, and so are the platform's own processing times, which `deidentify` lists.

    Returns
    -------
    tuple of Finding
        Empty when nothing was found, or when there is no warehouse yet.
    """
    return tuple(finding for _, found in _scanned(spec, settings, schemas) for finding in found if finding.rule != RULE)


def deidentify(cohort: CohortHandle) -> Deidentification:
    """Look at everything of a cohort, and note in the ledger that this was done and what came of it, in counts.

    Raises
    ------
    WarehouseError
        When the cohort has no warehouse yet.
    """
    spec, settings = cohort.spec, cohort.settings
    inner = list(_scanned(spec, settings, FEATURE_SCHEMAS, needed=True))
    outer = list(_scanned(spec, settings, ("validated",)))
    described, undescribed = _described(spec, settings, [finding for _, found in outer for finding in found])
    within = [finding for _, found in inner for finding in found]
    expected = (*described, *(finding for finding in within if finding.rule == RULE))
    files, looked_at = named_in_files(spec, settings=settings)
    answer = Deidentification(
        cohort=cohort.name,
        relations=tuple(name for name, _ in (*inner, *outer)),
        unexpected=(*(finding for finding in within if finding.rule != RULE), *undescribed),
        expected=expected,
        files=files,
        files_looked_at=looked_at,
    )
    facts = DeidentificationFacts(
        relations=len(answer.relations),
        unexpected=dict(Counter(finding.identifier_class for finding in answer.unexpected)),
        expected=dict(Counter(finding.identifier_class for finding in answer.expected)),
        files=len(files),
    )
    cohort.ledger.append("deidentification", actor=current_actor(settings), cohort=cohort.name, facts=facts)
    return answer


def named_in_files(spec: CohortSpec, *, settings: Settings) -> tuple[tuple[NamedIn, ...], int]:
    """Logs, event stores and reports below the data folder that hold identifiers of subjects as words.

    Returns
    -------
    tuple
        The files, and how many were looked at.
    """
    known = _identifiers(spec, settings)
    if not known.len():
        return (), 0
    found, number = [], 0
    for path in _texts(spec, settings):
        number += 1
        named = _named(path, known)
        if named:
            found.append(NamedIn(file=str(path.relative_to(settings.data)), subjects=named))
    return tuple(found), number


def _scanned(
    spec: CohortSpec, settings: Settings, schemas: Sequence[str], *, needed: bool = False
) -> Iterator[tuple[str, tuple[IdentifierFinding, ...]]]:
    warehouse = Warehouse(spec.name, settings)
    if not needed and not warehouse.exists():
        return
    with warehouse.reader() as connection:
        for schema, table, columns in _tables(connection, schemas):
            name = f"{schema}.{table}"
            subjects = {spec.subject_of(each) for each in spec.tables}
            personal = bool(subjects & columns) or set(spec.key) <= columns
            declared = () if schema == "validated" else (*spec.key, *subjects)
            if name == OUTCOMES:
                declared = (*declared, "unit")  # the key once more, as one text
            found = scan(
                connection, f"{quoted(schema)}.{quoted(table)}", name=name, declared=declared, personal=personal
            )
            told = (as_processing_time(each) if is_processing_time(connection, each) else each for each in found)
            yield name, tuple(told)


def _tables(connection: duckdb.DuckDBPyConnection, schemas: Sequence[str]) -> list[tuple[str, str, set[str]]]:
    found = connection.execute(
        "SELECT schema_name, table_name, list(column_name) FROM duckdb_columns() "
        f"WHERE database_name = current_database() AND schema_name IN {literal(schemas)} GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    return [(schema, table, set(columns)) for schema, table, columns in found]


def _described(
    spec: CohortSpec, settings: Settings, findings: Sequence[IdentifierFinding]
) -> tuple[tuple[IdentifierFinding, ...], tuple[IdentifierFinding, ...]]:
    """Findings in validated tables that the description announces, and those that it does not."""
    announced: list[IdentifierFinding] = []
    others: list[IdentifierFinding] = []
    for finding in findings:
        column = spec.column(finding.relation.removeprefix("validated."), finding.column)
        roles = {"identifier", "date", "note"} & set(column.role)
        (announced if roles or column.type in ("date", "datetime") else others).append(finding)
    told = {(finding.relation, finding.column) for finding in announced}
    with Warehouse(spec.name, settings).reader() as connection:
        for name, table in spec.tables.items():
            relation = f"validated.{name}"
            for column_name in table.with_role("identifier"):
                if (relation, column_name) not in told:
                    announced += _identifier_column(connection, name, column_name)
    return tuple(announced), tuple(others)


def _identifier_column(connection: duckdb.DuckDBPyConnection, table: str, column: str) -> list[IdentifierFinding]:
    try:
        row = connection.execute(
            f"SELECT count({quoted(column)}), min(_row, 5) FILTER (WHERE {quoted(column)} IS NOT NULL) "
            f"FROM validated.{quoted(table)}"
        ).fetchone()
    except duckdb.CatalogException:
        return []  # not validated yet
    if row is None or not row[0]:
        return []
    return [
        IdentifierFinding(
            relation=f"validated.{table}",
            column=column,
            identifier_class="other unique code",
            rule="described as an identifier",
            rows=int(row[0]),
            example_rows=tuple(sorted(row[1])),
            cure="Leave the column out, or give pseudonyms instead.",
        )
    ]


def _identifiers(spec: CohortSpec, settings: Settings) -> pl.Series:
    """Identifiers of all validated subjects that can be told from other words."""
    import polars as pl

    warehouse = Warehouse(spec.name, settings)
    parts = [pl.Series("word", [], dtype=pl.String)]
    if warehouse.exists():
        with warehouse.reader() as connection:
            for _, table, columns in _tables(connection, ["validated"]):
                if table in spec.tables and spec.subject_of(table) in columns:
                    subject = quoted(spec.subject_of(table))
                    parts.append(
                        connection.execute(
                            f"SELECT DISTINCT CAST({subject} AS VARCHAR) AS word FROM validated.{quoted(table)} "
                            f"WHERE {subject} IS NOT NULL"
                        ).pl()["word"]
                    )
    words = pl.concat(parts).unique()
    return words.filter(distinctive_words(words))


def _texts(spec: CohortSpec, settings: Settings) -> Iterator[Path]:
    folders = (settings.data / "dagster", settings.tracking, settings.data / "models" / spec.name, settings.dossiers)
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.suffix not in (".png", ".onnx", ".parquet"):
                yield path


def _named(path: Path, known: pl.Series) -> int:
    """How many of the known identifiers a file holds as words; SQLite keeps texts as they are."""
    import polars as pl

    found: set[str] = set()
    with path.open("rb") as file:
        while chunk := file.read(_TEXT_BYTES):
            # A word may be cut where a chunk ends.
            chunk += file.readline()
            words = pl.Series([chunk.decode("utf-8", "ignore")]).str.extract_all(WORD).explode().drop_nulls().unique()
            found |= set(words.filter(words.is_in(known.implode())))
    return len(found)
