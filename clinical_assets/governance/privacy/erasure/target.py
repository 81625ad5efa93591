"""Who is to be erased, and how to recognise the rows and words that tell of them.

What belongs here: conditions in SQL. What does not: changing anything.

Statements hold no identifier: it is a variable of the connection, so that no error quotes it.
"""

from __future__ import annotations

import contextlib
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field

import duckdb

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.warehouse.store.sql_text import literal, quoted
from clinical_assets.warehouse.validation.erased_subjects import MASK, distinctive, subject_text

_IDENTIFIER, _PATTERN, _PSEUDONYMS = "erased_identifier", "erased_pattern", "erased_pseudonyms"
UNITS = "temp.erased_units"
RECORDS = "temp.erased_records"
_INTEGERS = {"BIGINT", "HUGEINT", "INTEGER", "UBIGINT", "UINTEGER"}
_NESTED = ("STRUCT(", "MAP(", "UNION(")


@dataclass(frozen=True)
class ErasureTarget:
    """A subject of a cohort.

    Attributes
    ----------
    identifier : str
        As text, as it is after validation. Never shown.
    pseudonyms : tuple of str
        Of every key version.
    units : tuple of tuple of str
        Keys of the subject's prediction units that are known already, as texts.
    """

    spec: CohortSpec
    identifier: str = field(repr=False)
    pseudonyms: tuple[str, ...] = ()
    units: tuple[tuple[str, ...], ...] = field(default=(), repr=False)

    @property
    def distinctive(self) -> bool:
        """Whether the identifier can be told from other words and numbers wherever it stands."""
        return distinctive(self.identifier)

    @property
    def integer(self) -> bool:
        """Whether the cohort describes its subjects by integers."""
        return (
            self.spec.column(self.spec.subject_table, self.spec.subject_of(self.spec.subject_table)).type == "integer"
        )

    def prepare(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Make the variables of the conditions on a connection."""
        forms = "|".join(re.escape(form) for form in spellings(self.identifier))
        pattern = rf"(^|[^0-9A-Za-z])(?:{forms})($|[^0-9A-Za-z])"
        names = ", ".join(map(literal, self.pseudonyms))
        for name, value in (
            (_IDENTIFIER, literal(self.identifier)),
            (_PATTERN, literal(pattern)),
            (_PSEUDONYMS, f"[{names}]::VARCHAR[]"),
        ):
            connection.execute(f"SET VARIABLE {name} = {value}")

    def remember_units(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Keep the keys of the subject's prediction units, for tables that have no column of the subject."""
        spec = self.spec
        keys = ", ".join(f"CAST({quoted(name)} AS VARCHAR) AS {quoted(name)}" for name in spec.key)
        subject = self._is(quoted(spec.subject_of(spec.subject_table)))
        validated = f"SELECT {keys} FROM validated.{quoted(spec.subject_table)} WHERE {subject}"
        columns = ", ".join(f"{quoted(name)} VARCHAR" for name in spec.key)
        connection.execute(f"CREATE OR REPLACE TEMP TABLE {_bare(UNITS)} ({columns})")
        if self.units:
            known = ", ".join(literal(unit) for unit in self.units)
            connection.execute(f"INSERT INTO {UNITS} VALUES {known}")
        if spec.subject_of(spec.subject_table) in spec.key:
            return  # a table with the key has the subject's column, too
        with contextlib.suppress(duckdb.CatalogException):  # nothing was validated yet
            connection.execute(f"INSERT INTO {UNITS} {validated}")

    def rows(self, schema: str, table: str, columns: Mapping[str, str]) -> str | None:
        """SQL that is true for the subject's rows of a table and never null; None when nothing can tell them.

        Parameters
        ----------
        schema, table : str
            Where the table stands in the warehouse.
        columns : mapping
            Names and DuckDB types.
        """
        if schema == "quarantine" and table == "records":
            return self._refused_records()
        if schema == "quarantine" and table == "findings":
            return f"coalesce((table_name, _row) IN (SELECT table_name, _row FROM {RECORDS}), false) OR {self._line()}"
        if schema == "raw" and table == "_rejects":
            return self.names_it(["text"])
        parts = [self._is(quoted(name)) for name in self._subject_columns(schema, table) if name in columns]
        if not parts and schema not in ("raw", "validated") and set(self.spec.key) <= set(columns):
            texts = ", ".join(f"CAST({quoted(name)} AS VARCHAR)" for name in self.spec.key)
            keys = ", ".join(map(quoted, self.spec.key))
            parts.append(f"coalesce(({texts}) IN (SELECT ({keys}) FROM {UNITS}), false)")
        if self.pseudonyms and schema not in ("raw", "validated"):
            parts += [
                f"coalesce(list_contains(getvariable('{_PSEUDONYMS}'), {quoted(name)}), false)"
                for name, kind in columns.items()
                if kind == "VARCHAR"
            ]
        return " OR ".join(parts) or None

    def names_it(self, columns: list[str]) -> str | None:
        """SQL that is true where one of some columns holds the identifier as a word; None when that says nothing."""
        if not self.distinctive or not columns:
            return None
        found = [
            f"coalesce(regexp_matches(CAST({quoted(name)} AS VARCHAR), getvariable('{_PATTERN}')), false)"
            for name in columns
        ]
        return " OR ".join(found)

    def masks(self, columns: Mapping[str, str]) -> dict[str, tuple[str, str]]:
        """For each column that may name the subject: SQL that is true where it does, and SQL of the masked value.

        Parameters
        ----------
        columns : mapping
            Names and DuckDB types. Texts are masked; lists and structures that name the subject become null, as do
            integers described as identifiers, such as the number of a mother.
        """
        found: dict[str, tuple[str, str]] = {}
        described = {name for each in self.spec.tables.values() for name in each.with_role("identifier")}
        for name, kind in columns.items():
            if kind in ("VARCHAR", "JSON") or kind.endswith("[]") or kind.startswith(_NESTED):
                condition = self.names_it([name])
                if condition:
                    found[name] = (condition, self._without_it(name, kind))
            elif self.integer and kind in _INTEGERS and name in described:
                found[name] = (self._is(quoted(name)), f"NULL::{kind}")
        return found

    def _without_it(self, column: str, kind: str) -> str:
        if kind not in ("VARCHAR", "JSON"):
            return f"NULL::{kind}"
        once = f"regexp_replace({{}}, getvariable('{_PATTERN}'), '\\1{MASK}\\2', 'g')"
        # Twice: two mentions with one character between share it.
        text = once.format(once.format(f"CAST({quoted(column)} AS VARCHAR)"))
        return f"CAST({text} AS {kind})"

    def _subject_columns(self, schema: str, table: str) -> tuple[str, ...]:
        spec = self.spec
        if table in spec.tables and schema in ("raw", "validated"):
            name = spec.subject_of(table)
            return (spec.column(table, name).source_name or name,) if schema == "raw" else (name,)
        names = [spec.subject_of(each) for each in spec.tables]
        if schema == "files":
            names += [spec.column(each, spec.subject_of(each)).source_name or "" for each in spec.tables]
        return tuple(dict.fromkeys(names))

    def _is(self, column: str) -> str:
        return f"coalesce({subject_text(column, integer=self.integer)} = getvariable('{_IDENTIFIER}'), false)"

    def _refused_records(self) -> str:
        parts = []
        for name in self.spec.tables:
            (source,) = self._subject_columns("raw", name)
            path = '$."' + source.replace('"', '\\"') + '"'
            value = f"json_extract_string(record, {literal(path)})"
            parts.append(f"(table_name = {literal(name)} AND {self._is(value)})")
        line = self.names_it(["record"])
        if line:
            parts.append(f"(_row IS NULL AND ({line}))")
        return f"coalesce({' OR '.join(parts)}, false)"

    def _line(self) -> str:
        found = self.names_it(["value"])
        return f"coalesce(rule = 'unreadable_line' AND ({found}), false)" if found else "false"


def spellings(identifier: str) -> tuple[str, ...]:
    """The identifier with its accents composed and apart: texts that nobody validated may hold either."""
    return tuple(dict.fromkeys((identifier, *(unicodedata.normalize(form, identifier) for form in ("NFC", "NFD")))))


def _bare(relation: str) -> str:
    return relation.removeprefix("temp.")
