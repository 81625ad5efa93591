"""Records of requests, held to the promises that a batch is held to, by the same code.

What belongs here: from the records of several requests to typed rows, or to everything that is wrong with each. What
does not: the promises of a row (``warehouse.validation``), the shape of a request (``record_models``).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.cohorts.tables import Column, Table
from clinical_assets.modelling.bundle.record_scoring import TableRows
from clinical_assets.serving.requests.findings import RecordWarning, RequestFinding
from clinical_assets.serving.requests.record_models import nested_tables
from clinical_assets.serving.requests.sound_rows import Row, SoundRows
from clinical_assets.warehouse.sql.schema import ROW_NUMBER
from clinical_assets.warehouse.validation import findings as kinds
from clinical_assets.warehouse.validation.conversions import described_type
from clinical_assets.warehouse.validation.row_validation import RowValidator

Record = Mapping[str, Any]
UnitKey = tuple[Any, ...]
_LONGEST_VALUE = 40


@dataclass
class CheckedRequest:
    """What became of the records of one request.

    Attributes
    ----------
    findings : list of RequestFinding
        Empty where the request can be answered.
    keys : list of tuple
        UnitKey of each record, in their order.
    subjects : list
        Subject of each record.
    warnings : list of list of RecordWarning
        Per record.
    rows : dict
        Per table the numbers of the rows that belong to this request.
    """

    findings: list[RequestFinding] = field(default_factory=list)
    keys: list[UnitKey] = field(default_factory=list)
    subjects: list[Any] = field(default_factory=list)
    warnings: list[list[RecordWarning]] = field(default_factory=list)
    rows: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))


@dataclass(frozen=True)
class CheckedRecords:
    """Records of several requests: per table its columns and its sound rows by number, and who each belongs to."""

    columns: Mapping[str, tuple[str, ...]]
    rows: Mapping[str, Mapping[int, Row]]
    requests: tuple[CheckedRequest, ...]

    def of(self, chosen: Sequence[int]) -> dict[str, TableRows]:
        """The rows of these requests, table by table."""
        found = {}
        for name, rows in self.rows.items():
            wanted = [row for number in chosen for row in self.requests[number].rows[name]]
            numbered = [(number, *rows[number]) for number in wanted if number in rows]
            found[name] = TableRows((ROW_NUMBER, *self.columns[name]), numbered)
        return found


@dataclass
class _Rows:
    """Rows of one table under their numbers, as they were sent, and where each came from."""

    values: list[Record] = field(default_factory=list)
    places: list[tuple[int, int, str]] = field(default_factory=list)

    def add(self, values: Record, *, request: int, record: int, pointer: str) -> None:
        self.values.append(values)
        self.places.append((request, record, pointer))

    def cells(self, columns: Sequence[str]) -> list[tuple[Any, ...]]:
        """Of each row the values of these columns."""
        return [tuple(row.get(name) for name in columns) for row in self.values]


class RecordChecker:
    """Checks records of one cohort; made once, asked for every request.

    Parameters
    ----------
    spec : CohortSpec
        As ``record_models.request_spec`` gave it.
    is_erased : callable
        Whether a subject was erased.
    """

    def __init__(self, spec: CohortSpec, *, is_erased: Callable[[Any], bool]) -> None:
        self.spec = spec
        self._is_erased = is_erased
        self._order = (spec.subject_table, *nested_tables(spec))
        self._validators = {
            name: RowValidator.of(table, table_name=name, subject=spec.subject_of(name), timezone=spec.timezone)
            for name, table in spec.tables.items()
        }
        self._sound = {name: SoundRows(table, subject=spec.subject_of(name)) for name, table in spec.tables.items()}

    def check(self, requests: Sequence[Sequence[Record]]) -> CheckedRecords:
        """Hold the records of several requests to the promises; requests do not see one another.

        Parameters
        ----------
        requests : sequence of sequences of mappings
            Records as ``record_models.predict_model`` read them, by column name.
        """
        checked = tuple(CheckedRequest() for _ in requests)
        rows = {name: _Rows() for name in self._order}
        for number, records in enumerate(requests):
            for place, record in enumerate(records):
                self._add(rows, record, checked[number], request=number, place=place)
        sound = {}
        for name in self._order:
            sound[name] = self._validated(name, rows[name], checked)
            self._note(sound[name], self.spec.tables[name], rows[name], checked)
            self._refuse_repeated(name, rows[name], checked)
        self._refuse_dangling(rows, checked)
        return CheckedRecords({name: self._sound[name].columns for name in self._order}, sound, checked)

    def _add(
        self, rows: Mapping[str, _Rows], record: Record, checked: CheckedRequest, *, request: int, place: int
    ) -> None:
        spec = self.spec
        pointer = f"/records/{place}"
        rows[spec.subject_table].add(record, request=request, record=place, pointer=pointer)
        subject = record.get(spec.subject_of(spec.subject_table))
        checked.keys.append(tuple(record.get(name) for name in spec.key))
        checked.subjects.append(subject)
        checked.warnings.append([])
        if subject is not None and self._is_erased(subject):
            cure = "Leave the record out: the person asked to be forgotten."
            checked.findings.append(
                RequestFinding(
                    f"{pointer}/{spec.subject_of(spec.subject_table)}", "erased", "this subject was erased", cure
                )
            )
        for name in nested_tables(spec):
            about = {spec.subject_of(name): subject}
            about |= {key: record.get(key) for key in spec.key if key in spec.tables[name].columns}
            for number, row in enumerate(record.get(name) or ()):
                where = f"{pointer}/{name}/{number}"
                for column, value in about.items():
                    if row.get(column) not in (None, value):
                        cure = "Leave it out: it is that of the record around it."
                        checked.findings.append(
                            RequestFinding(f"{where}/{column}", "reference", "differs from the record around it", cure)
                        )
                rows[name].add({**row, **about}, request=request, record=place, pointer=where)

    def _validated(self, name: str, rows: _Rows, checked: Sequence[CheckedRequest]) -> dict[int, Row]:
        """Sound rows by their number; what is wrong with the others becomes findings."""
        for number, (request, _, _) in enumerate(rows.places):
            checked[request].rows[name].append(number)
        typed = self._sound[name].typed(rows.values)
        sound = {number: row for number, row in enumerate(typed) if row is not None}
        doubtful = [number for number, row in enumerate(typed) if row is None]
        if doubtful:
            sound |= self._validated_by_frame(name, rows, doubtful, checked)
        return sound

    def _validated_by_frame(
        self, name: str, rows: _Rows, chosen: Sequence[int], checked: Sequence[CheckedRequest]
    ) -> dict[int, Row]:
        """The same by the validation that batches go through."""
        table = self.spec.tables[name]
        types = {column: described_type(described) for column, described in table.columns.items()}
        cells = {column: [rows.values[number].get(column) for number in chosen] for column in table.columns}
        found = pl.DataFrame(cells, schema=types).with_columns(pl.Series(ROW_NUMBER, chosen, dtype=pl.UInt32))
        validated = self._validators[name].check(found)
        # What the record around a row fills is found there.
        filled = {self.spec.subject_of(name), *self.spec.key} if name != self.spec.subject_table else set()
        for finding in validated.findings.iter_rows(named=True):
            request, _, pointer = rows.places[finding[ROW_NUMBER]]
            if finding["column_name"] not in filled or not checked[request].findings:
                checked[request].findings.extend(self._findings(table, pointer, finding))
        numbers = validated.frame[ROW_NUMBER].to_list()
        return dict(zip(numbers, validated.frame.select(*table.columns).rows(), strict=True))

    def _findings(self, table: Table, pointer: str, finding: Mapping[str, Any]) -> list[RequestFinding]:
        """One per column that the finding names; identifiers and notes are not repeated."""
        columns = [name.strip() for name in finding["column_name"].split(",")]
        hidden = kinds.confidential(table)
        shown = None if hidden & set(columns) or finding["value"] is None else finding["value"][:_LONGEST_VALUE]
        return [
            RequestFinding(
                pointer=f"{pointer}/{column}",
                rule=finding["rule"],
                detail=finding["reason"],
                cure=_cure(finding),
                value=shown,
                permitted=_permitted(table.columns[column]) if column in table.columns else None,
            )
            for column in columns
        ]

    @staticmethod
    def _note(sound: Mapping[int, Row], table: Table, rows: _Rows, checked: Sequence[CheckedRequest]) -> None:
        """Warnings for values that were made missing, and for those that are hardly plausible."""
        made = "The value stands for not measured; it was made missing."
        for number in sorted(sound):
            request, record, _ = rows.places[number]
            warnings, before = checked[request].warnings[record], rows.values[number]
            for (name, column), value in zip(table.columns.items(), sound[number], strict=True):
                if value is None:
                    if before.get(name) is not None:
                        warnings.append(RecordWarning("made_missing", name, made))
                elif column.plausible is not None:
                    low, high = column.plausible
                    if (low is not None and value < low) or (high is not None and value > high):
                        limits = f"{_between(low, high)}{_unit(column)}"
                        words = f"Hardly plausible: outside {limits}; check value and unit."
                        warnings.append(RecordWarning("implausible", name, words))

    def _refuse_repeated(self, name: str, rows: _Rows, checked: Sequence[CheckedRequest]) -> None:
        table = self.spec.tables[name]
        uniques = [table.key, *((column,) for column, described in table.columns.items() if described.unique)]
        for columns in dict.fromkeys(uniques):
            seen: dict[tuple[Any, ...], str] = {}
            for (request, _, pointer), values in zip(rows.places, rows.cells(columns), strict=True):
                if None in values:
                    continue
                first = seen.setdefault((request, *values), pointer)
                if first != pointer:
                    rule = kinds.DUPLICATE_KEY if columns == table.key else kinds.UNIQUE
                    checked[request].findings.append(
                        RequestFinding(
                            f"{pointer}/{columns[-1]}", rule, f"the same as in {first}", "Send each record once."
                        )
                    )

    def _refuse_dangling(self, rows: Mapping[str, _Rows], checked: Sequence[CheckedRequest]) -> None:
        """References to tables other than the record's own, which a nested row has by where it stands."""
        for name in nested_tables(self.spec):
            for reference in self.spec.tables[name].references:
                if reference.table == self.spec.subject_table:
                    continue
                there = rows[reference.table]
                targets = there.cells(reference.to or reference.columns)
                known = {(place[0], *values) for place, values in zip(there.places, targets, strict=True)}
                own = rows[name].cells(reference.columns)
                for (request, _, pointer), values in zip(rows[name].places, own, strict=True):
                    if None not in values and (request, *values) not in known:
                        cure = f"Send the row of {reference.table} too."
                        checked[request].findings.append(
                            RequestFinding(
                                f"{pointer}/{reference.columns[-1]}",
                                kinds.REFERENCE,
                                f"not found in {reference.table}",
                                cure,
                            )
                        )


def _cure(finding: Mapping[str, Any]) -> str:
    """A cure for a caller: words for the owner of a file say ``at the source`` and speak of the description."""
    told = str(finding["cure"])
    if told.startswith("The value would fit"):  # in another unit
        return told.replace(" at the source", "")
    if finding["rule"] in (kinds.NULL, kinds.RECORDED):
        return "Send the value; this field cannot be null."
    if "description" in told or "`" in told or "source" in told:
        return "Send a permitted value, or null where it was not measured."
    return told


def _permitted(column: Column) -> str | None:
    if column.categories:
        return ", ".join(column.categories)
    if column.range is not None:
        return _between(*column.range) + _unit(column)
    return column.pattern


def _between(low: float | None, high: float | None) -> str:
    if low is None:
        return f"{high:g} and below"
    return f"{low:g} and above" if high is None else f"{low:g} to {high:g}"


def _unit(column: Column) -> str:
    return "" if column.unit in (None, "1") else f" {column.unit}"
