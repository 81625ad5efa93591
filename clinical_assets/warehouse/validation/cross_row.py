"""Promises that need more than one row: keys, unique columns, references between tables. All in DuckDB, on disk.

What belongs here: SQL over whole tables, so that memory stays bounded and nothing depends on how rows were cut into
chunks. Promises of one row are kept by ``row_validation``.

What is decided here
--------------------
- **Records that claim the same key.** Copies that agree in every described column are one record told twice: the
  first is kept, the others are refused (rule ``duplicate_row``). Copies that differ in any column contradict each
  other, and nothing says which is true: all are refused (rule ``duplicate_key``).
- **A unique column.** A value that records with different keys share is refused in all of them (rule ``unique``).
- Both are judged over all records, also those refused for other reasons: that one of two contradicting records has a
  second fault does not make the other one true, and curing the fault must not bring up a new finding.
- **References.** A record whose reference is not found is refused, also when the record it refers to exists but was
  refused, and so on until nothing changes (rule ``reference``). A reference with a null in it refers to nothing and
  passes, as in SQL; a column that must be filled says so with ``nullable: false``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import duckdb

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.cohorts.tables import Reference, Table
from clinical_assets.foundation.errors import SpecError
from clinical_assets.warehouse.sql.schema import ROW_NUMBER, table_types
from clinical_assets.warehouse.store.sql_text import literal, quoted
from clinical_assets.warehouse.validation import findings as kinds
from clinical_assets.warehouse.validation.row_validation import UNREADABLE

FINDINGS_TABLE = "quarantine.findings"
_COLUMNS_NAMED = 5


@dataclass(frozen=True)
class Stage:
    """A table under validation: its sound rows, and beside them the refused ones, both typed.

    Attributes
    ----------
    staged : str
        Relation with the rows that are sound so far; it becomes the validated table.
    refused : str
        Relation with the refused rows and ``_unreadable``.
    """

    connection: duckdb.DuckDBPyConnection
    name: str
    table: Table

    @property
    def staged(self) -> str:
        """Relation of the sound rows; no described table can have such a name."""
        return f"validated.{quoted('__new_' + self.name)}"

    @property
    def refused(self) -> str:
        """Relation of the refused rows, which ends with the connection."""
        return f"temp.{quoted('refused_' + self.name)}"

    def create(self, spec: CohortSpec) -> None:
        """Make both relations, empty."""
        types = table_types(spec, self.name)
        columns = ", ".join(f"{quoted(name)} {kind}" for name, kind in types.items())
        more = f"{quoted(UNREADABLE)} VARCHAR"
        self.connection.execute(f"CREATE OR REPLACE TABLE {self.staged} ({columns})")
        self.connection.execute(f"CREATE OR REPLACE TEMP TABLE {self.refused} ({columns}, {more})")

    def everything(self) -> str:
        """All rows, sound and refused."""
        return (
            f"(SELECT *, NULL::VARCHAR AS {quoted(UNREADABLE)} FROM {self.staged} "
            f"UNION ALL BY NAME SELECT * FROM {self.refused})"
        )

    def count(self, relation: str) -> int:
        """Rows of a relation."""
        row = self.connection.execute(f"SELECT count(*) FROM {relation}").fetchone()
        assert row is not None  # a count always yields one row
        return int(row[0])

    def refuse(self, rows: str) -> int:
        """Move rows from the sound to the refused; ``rows`` yields row numbers. Says how many were moved."""
        moved = self.connection.execute(
            f"INSERT INTO {self.refused} BY NAME SELECT * FROM {self.staged} WHERE {ROW_NUMBER} IN ({rows})"
        ).fetchone()
        number = int(moved[0]) if moved else 0
        if number:
            self.connection.execute(f"DELETE FROM {self.staged} WHERE {ROW_NUMBER} IN ({rows})")
        return number

    def note(self, *, columns: Sequence[str], rule: str, rows: str, value: str, reason: str, cure: str) -> None:
        """Add findings.

        Parameters
        ----------
        columns : sequence of str
            Columns that the finding is about.
        rule : str
            Name of the broken rule.
        rows : str
            A statement that yields ``_row`` and what the expressions need.
        value, reason, cure : str
            SQL expressions over it.
        """
        self.connection.execute(
            f"INSERT INTO {FINDINGS_TABLE} BY NAME SELECT {literal(self.name)} AS table_name, {ROW_NUMBER}, "
            f"{literal(', '.join(columns))} AS column_name, {literal(rule)} AS rule, "
            f"left({value}, {kinds.LONGEST_VALUE}) AS value, {reason} AS reason, {cure} AS cure FROM ({rows})"
        )


def refuse_duplicates(stage: Stage) -> None:
    """Refuse records whose key another record claims; of records that agree in everything the first is kept."""
    connection, key = stage.connection, stage.table.key
    keys = _listed(key)
    filled = " AND ".join(f"{quoted(name)} IS NOT NULL" for name in key)
    groups, members = "temp.repeated_keys", "temp.repeated_rows"
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE {groups} AS SELECT {keys} FROM ("
        f"SELECT {keys} FROM {stage.staged} UNION ALL SELECT {keys} FROM {stage.refused}) "
        f"WHERE {filled} GROUP BY ALL HAVING count(*) > 1"
    )
    if stage.count(groups):
        others = [name for name in (*stage.table.columns, UNREADABLE) if name not in key]
        differing = ", ".join(
            f"CASE WHEN {_differs(quoted(name))} THEN {literal(name.removeprefix('_'))} END" for name in others
        )
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE {members} AS "
            f"WITH claimed AS (SELECT * FROM {stage.everything()} SEMI JOIN {groups} USING ({keys})), "
            f"judged AS (SELECT {keys}, min({ROW_NUMBER}) AS _first, count(*) AS _copies, "
            f"list_filter([{differing}]::VARCHAR[], lambda name: name IS NOT NULL) AS _differing "
            f"FROM claimed GROUP BY ALL) "
            f"SELECT {ROW_NUMBER}, {keys}, _first, _copies, _differing FROM claimed JOIN judged USING ({keys})"
        )
        contradicting = f"FROM {members} WHERE len(_differing) > 0"
        stage.note(
            columns=key,
            rule=kinds.DUPLICATE_KEY,
            rows=f"SELECT * {contradicting}",
            value=_shown(key),
            reason=f"'one of ' || _copies || ' records with the same key that contradict each other in ' "
            f"|| array_to_string(_differing[:{_COLUMNS_NAMED}], ', ') "
            f"|| CASE WHEN len(_differing) > {_COLUMNS_NAMED} "
            f"THEN ' and ' || (len(_differing) - {_COLUMNS_NAMED}) || ' more' ELSE '' END",
            cure=literal("Keep the true one at the source, or add a column to `key` that tells them apart."),
        )
        copies = f"FROM {members} WHERE len(_differing) = 0 AND {ROW_NUMBER} > _first"
        stage.note(
            columns=key,
            rule=kinds.DUPLICATE_ROW,
            rows=f"SELECT * {copies}",
            value=_shown(key),
            reason="'an exact copy of record ' || _first || ', which is kept unless it is refused itself'",
            cure=literal("Remove the copy at the source."),
        )
        _refuse_repeated_values(stage, without=f"SELECT {ROW_NUMBER} {copies}")
        stage.refuse(f"SELECT {ROW_NUMBER} {contradicting}")
        stage.refuse(f"SELECT {ROW_NUMBER} {copies}")
        connection.execute(f"DROP TABLE {members}")
    else:
        _refuse_repeated_values(stage, without=None)
    connection.execute(f"DROP TABLE {groups}")


def _refuse_repeated_values(stage: Stage, *, without: str | None) -> None:
    """Refuse records that share a value of a unique column and have different keys."""
    connection, key, shared = stage.connection, stage.table.key, "temp.shared_values"
    for name, column in stage.table.columns.items():
        if not column.unique or key == (name,):
            continue
        kept = f"WHERE {ROW_NUMBER} NOT IN ({without})" if without else ""
        own = f"SELECT {ROW_NUMBER}, {_listed(dict.fromkeys((*key, name)))} FROM"
        every = f"({own} {stage.staged} {kept} UNION ALL {own} {stage.refused} {kept})"
        differs = " OR ".join(_differs(quoted(part)) for part in key)
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE {shared} AS WITH every AS {every}, "
            f"repeated AS (SELECT {quoted(name)}, count(*) AS _records FROM every WHERE {quoted(name)} IS NOT NULL "
            f"GROUP BY ALL HAVING count(*) > 1 AND ({differs})) "
            f"SELECT {ROW_NUMBER}, {quoted(name)}, _records FROM every JOIN repeated USING ({quoted(name)})"
        )
        stage.note(
            columns=(name,),
            rule=kinds.UNIQUE,
            rows=f"SELECT * FROM {shared}",
            value=f"CAST({quoted(name)} AS VARCHAR)",
            reason="'shared by ' || _records || ' records with different keys, but must be unique'",
            cure=literal("Correct the value at the source, or remove `unique: true`."),
        )
        stage.refuse(f"SELECT {ROW_NUMBER} FROM {shared}")
        connection.execute(f"DROP TABLE {shared}")


def refuse_orphans(stages: Mapping[str, Stage]) -> None:
    """Refuse records whose reference finds nothing, again and again until every reference is kept.

    References to tables that are not among ``stages`` are left out.
    """
    references = [(stages[name], ref, stages[ref.table]) for name, ref in _references(stages)]
    for child, reference, parent in references:
        _note_orphans_among_refused(child, reference, parent)
    waiting = list(range(len(references)))
    while waiting:
        child, reference, parent = references[waiting.pop(0)]
        if _refuse_orphans_of(child, reference, parent):
            lost = [i for i, (_, _, other) in enumerate(references) if other is child and i not in waiting]
            waiting.extend(lost)


def check_references(spec: CohortSpec) -> None:
    """Refuse a description whose references compare columns of different types.

    Raises
    ------
    SpecError
        Naming both columns.
    """
    for name, table in spec.tables.items():
        for reference in table.references:
            for own, theirs in zip(reference.columns, reference.to or reference.columns, strict=True):
                types = table.columns[own].type, spec.tables[reference.table].columns[theirs].type
                if types[0] != types[1]:
                    raise SpecError(
                        f"{name}.{own} is described as {types[0]}, but refers to {reference.table}.{theirs}, "
                        f"which is {types[1]}.",
                        cure="Describe both columns with the same type.",
                    )


def _references(stages: Mapping[str, Stage]) -> Iterator[tuple[str, Reference]]:
    for name, stage in stages.items():
        for reference in stage.table.references:
            if reference.table in stages:
                yield name, reference


def _refuse_orphans_of(child: Stage, reference: Reference, parent: Stage) -> int:
    connection, orphans = child.connection, "temp.orphans"
    named = _listed(reference.columns)
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE {orphans} AS SELECT c.{ROW_NUMBER}, {_listed(reference.columns, 'c')}, "
        f"{_found(reference, parent.refused)} AS _refused FROM {child.staged} c "
        f"WHERE {_refers(reference)} AND NOT {_found(reference, parent.staged)}"
    )
    _note_orphans(child, reference, f"SELECT {ROW_NUMBER}, {named}, _refused FROM {orphans}")
    moved = child.refuse(f"SELECT {ROW_NUMBER} FROM {orphans}")
    connection.execute(f"DROP TABLE {orphans}")
    return moved


def _note_orphans_among_refused(child: Stage, reference: Reference, parent: Stage) -> None:
    """Records that are refused anyway also learn that what they refer to does not exist at all."""
    _note_orphans(
        child,
        reference,
        f"SELECT c.{ROW_NUMBER}, {_listed(reference.columns, 'c')}, false AS _refused FROM {child.refused} c "
        f"WHERE {_refers(reference)} AND NOT {_found(reference, parent.staged)} "
        f"AND NOT {_found(reference, parent.refused)}",
    )


def _note_orphans(child: Stage, reference: Reference, rows: str) -> None:
    other = reference.table
    child.note(
        columns=reference.columns,
        rule=kinds.REFERENCE,
        rows=rows,
        value=_shown(reference.columns),
        reason=f"CASE WHEN _refused THEN {literal(f'the record of {other} that it refers to was refused itself')} "
        f"ELSE {literal(f'refers to a record that {other} does not have')} END",
        cure=f"CASE WHEN _refused THEN {literal(f'Cure the findings of that record of {other}; this one follows.')} "
        f"ELSE {literal(f'Add the record to {other} at the source, or remove this one.')} END",
    )


def _found(reference: Reference, relation: str) -> str:
    pairs = zip(reference.columns, reference.to or reference.columns, strict=True)
    same = " AND ".join(f"p.{quoted(theirs)} = c.{quoted(own)}" for own, theirs in pairs)
    return f"EXISTS (SELECT 1 FROM {relation} p WHERE {same})"


def _refers(reference: Reference) -> str:
    return " AND ".join(f"c.{quoted(name)} IS NOT NULL" for name in reference.columns)


def _differs(name: str) -> str:
    """True for a group in which a column holds more than one value, null counting as one."""
    return f"(min({name}) IS DISTINCT FROM max({name}) OR count({name}) NOT IN (0, count(*)))"


def _listed(names: Sequence[str] | Mapping[str, object], source: str | None = None) -> str:
    prefix = f"{source}." if source else ""
    return ", ".join(f"{prefix}{quoted(name)}" for name in names)


def _shown(names: Sequence[str]) -> str:
    if len(names) == 1:
        return f"CAST({quoted(names[0])} AS VARCHAR)"
    return "concat_ws(', ', " + ", ".join(f"{literal(name + '=')} || {quoted(name)}" for name in names) + ")"
