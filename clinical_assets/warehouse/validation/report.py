"""What validation found, and the message when it is too much.

What belongs here: counts per table and the words of ``ValidationFailed``. Values of columns that may name a person
never appear in a message; they are in ``quarantine.findings``.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import duckdb

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.cohorts.tables import Table
from clinical_assets.foundation.errors import ValidationFailed
from clinical_assets.warehouse.sql.schema import ROW_NUMBER
from clinical_assets.warehouse.validation import findings as kinds
from clinical_assets.warehouse.validation.typing_records import Clocks

_RULES_NAMED = 6
_NAMES_SHOWN = 12
_SET_ZONE = (
    "Set `timezone` of the cohort (such as Europe/Berlin): times with an offset are turned into it, times without are "
    "taken to be of it."
)


@dataclass(frozen=True)
class TableValidation:
    """What became of the records of one table.

    Attributes
    ----------
    rows_in : int
        Records found in the raw table; ``rows_in == rows_valid + rows_refused``.
    rows_valid, rows_refused : int
        Records in ``validated.<table>`` and in quarantine.
    unreadable_lines : int
        Lines of the source that could not even be read as records; in quarantine too, not among ``rows_in``.
    missing_made : dict
        Per column how many values stood for "not measured" and became missing.
    corrected : dict
        Per correction of the description how many records it changed.
    implausible : dict
        Per column how many values of sound records lie outside the plausible limits.
    unit_hints : dict
        What to do about implausible values that would be plausible in another unit, and how many they are.
    undeclared : tuple of str
        Columns of the source that the description does not have; they are not validated and not carried on.
    findings_by_rule : dict
        Findings per rule. A record may have several.
    """

    rows_in: int
    rows_valid: int
    rows_refused: int
    unreadable_lines: int
    missing_made: dict[str, int]
    corrected: dict[str, int]
    implausible: dict[str, int]
    unit_hints: dict[str, int]
    undeclared: tuple[str, ...]
    findings_by_rule: dict[str, int]

    @property
    def refused_share(self) -> float:
        """Refused records and unreadable lines as a share of all there were, 0 to 1."""
        everything = self.rows_in + self.unreadable_lines
        return (self.rows_refused + self.unreadable_lines) / everything if everything else 0.0


@dataclass(frozen=True)
class ValidationReport:
    """What became of the records of a cohort.

    Attributes
    ----------
    tables : dict
        Per table.
    digest : str or None
        Version of all validated tables: see `snapshots.record_versions`. None where validation failed, or nobody asked
        for it.
    quarantine_digest : str
        Digest of the refused records and their findings.
    """

    tables: dict[str, TableValidation]
    digest: str | None
    quarantine_digest: str


@dataclass(frozen=True)
class Failure:
    """Why a table stops its cohort."""

    table: str
    message: str
    cure: str


def not_ingested(name: str) -> Failure:
    """A described table that the warehouse does not hold yet."""
    return Failure(name, "there are no raw records", "Materialize raw_records first.")


def missing_columns(name: str, table: Table, found: Sequence[str], absent: Sequence[str]) -> Failure:
    """Described columns that the source does not have, with the names there that resemble them."""
    declared = {column.source_name or column_name for column_name, column in table.columns.items()}
    free = [other for other in found if other not in declared]
    words = []
    for source in absent[:_NAMES_SHOWN]:
        near = _similar(source, free)
        words.append(f"{source} (similar: {', '.join(near)})" if near else source)
    many = f"; the source has {', '.join(found[:_NAMES_SHOWN])}" + (" ..." if len(found) > _NAMES_SHOWN else "")
    more = f" and {len(absent) - _NAMES_SHOWN} more" if len(absent) > _NAMES_SHOWN else ""
    quoted_by = next((mark for mark in "'`" if found and all(each[:1] == each[-1:] == mark for each in found)), None)
    cure = "Name the column as the source does, with `from:`, or deliver it with the source."
    if quoted_by is not None:
        cure = f'The source puts values between {quoted_by} and {quoted_by}: set `csv: {{quote: "{quoted_by}"}}`.'
    return Failure(
        name,
        f"the source lacks {len(absent)} described column{'s' if len(absent) > 1 else ''}: "
        f"{', '.join(words)}{more}{many}",
        cure,
    )


def nested_identifier(name: str, column: str) -> Failure:
    """An identifier that is several values in one: it is found in no other table, and by no erasure."""
    return Failure(
        name,
        f"the identifier {column} is a nested value in the source",
        f"Take the value inside by its path, such as `unnest: {{{column}: subject.getReferenceKey()}}` for a FHIR "
        "reference in JSON Lines, and leave `from` out.",
    )


def _similar(wanted: str, names: Sequence[str]) -> list[str]:
    """Names that look like the wanted one, or of which one holds the other, whatever the case."""
    folded = {name.casefold(): name for name in names}
    near = difflib.get_close_matches(wanted.casefold(), list(folded), n=3)
    parts = [name for name in folded if len(name) > 2 and (name in wanted.casefold() or wanted.casefold() in name)]
    return [folded[name] for name in dict.fromkeys([*near, *parts])][:3]


def empty(name: str, unreadable_lines: int) -> Failure:
    """A table without a single record."""
    unread = f"; lines that could not be read: {unreadable_lines:,}" if unreadable_lines else ""
    return Failure(name, f"the source has no records{unread}", "Check the source's path, query or dialect.")


def too_many_refused(
    connection: duckdb.DuckDBPyConnection, name: str, table: Table, result: TableValidation
) -> Failure | None:
    """The failure of a table with more refused records than its description allows, or with none that is left."""
    share, limit = result.refused_share, table.refused_limit
    if share <= limit and result.rows_valid:
        return None
    refused = result.rows_refused + result.unreadable_lines
    everything = result.rows_in + result.unreadable_lines
    words = [
        f"{refused:,} of {everything:,} records were refused, {_percent(share)}; `refused_limit` is {_percent(limit)}"
    ]
    hidden = kinds.confidential(table)
    worst = connection.execute(
        f"SELECT rule, column_name, count(*) AS findings, min({ROW_NUMBER}) AS record, "
        f"arg_min({{'value': value, 'reason': reason, 'cure': cure}}, {ROW_NUMBER}) AS first "
        "FROM (SELECT * REPLACE (CASE WHEN rule = ? THEN NULL ELSE column_name END AS column_name) "
        "FROM quarantine.findings WHERE table_name = ?) "
        "GROUP BY rule, column_name ORDER BY findings DESC, rule, column_name",
        [kinds.UNREADABLE_LINE, name],
    ).fetchall()
    for rule, column, number, record, first in worst[:_RULES_NAMED]:
        if rule == kinds.UNREADABLE_LINE:
            words.append(f"{number:,} x {rule}: lines that could not be read as records")
            continue
        shown = "" if first["value"] is None or hidden & set(column.split(", ")) else f" {first['value']!r}:"
        words.append(f"{number:,} x {rule} of {column}: record {record}:{shown} {first['reason']}. {first['cure']}")
    if len(worst) > _RULES_NAMED:
        words.append(f"and {len(worst) - _RULES_NAMED} more kinds of findings")
    return Failure(
        name,
        "\n    ".join(words),
        "Correct the source or its description; each refused record is in quarantine.records, each finding with its "
        "cure in quarantine.findings.",
    )


def clocks_apart(clocks: Mapping[str, Mapping[str, Clocks]]) -> list[Failure]:
    """Failures of a cohort without ``timezone`` whose times cannot be put on one clock.

    Parameters
    ----------
    clocks : mapping
        Per table and column how its times were written.
    """
    columns = [(table, name, found) for table, one in clocks.items() for name, found in one.items()]
    aware = [(table, name, found.zoned) for table, name, found in columns if found.zoned]
    bare = [(table, name, found.bare) for table, name, found in columns if found.bare]
    failures = [
        Failure(
            table,
            f"{name} is a date, but the source gives moments with a time zone, {found.undated:,} of them not at "
            "midnight UTC: which day it was depends on the zone",
            _SET_ZONE,
        )
        for table, name, found in columns
        if found.undated
    ]
    if aware and bare:
        shown = "; ".join(
            f"{number:,} of {table}.{name} {words} offset"
            for words, group in (("with", aware), ("without", bare))
            for table, name, number in group[:_NAMES_SHOWN]
        )
        failures.append(Failure(aware[0][0], f"times of two clocks cannot be compared: {shown}", _SET_ZONE))
    return failures


def failed(spec: CohortSpec, failures: Sequence[Failure]) -> ValidationFailed:
    """One error that tells everything that stops the cohort."""
    told = "\n".join(f"  table {failure.table}: {failure.message}" for failure in failures)
    cures = list(dict.fromkeys(failure.cure for failure in failures))
    return ValidationFailed(
        f"Records of cohort {spec.name} break its description; its validated tables were left as they were.\n{told}",
        cure=" ".join(cures),
    )


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
