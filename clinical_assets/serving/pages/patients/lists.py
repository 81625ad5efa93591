"""A list of patients: from CSV files to the request that asks about them, and from the answers to a table or a file.

What belongs here: reading and writing lists. What does not: asking (``list_routes``), the promises of a row.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic_core import to_json

from clinical_assets.cohorts.tables import Column
from clinical_assets.reporting.formats import words
from clinical_assets.reporting.texts import gettext as _
from clinical_assets.reporting.texts import percent
from clinical_assets.serving.pages.patients.forms import (
    CohortForm,
    label_of,
    limits_of,
    shown_value,
    told,
    typed,
    unit_of,
)
from clinical_assets.serving.pages.views import FieldProblem, ListRow
from clinical_assets.serving.requests.findings import RequestFinding
from clinical_assets.serving.requests.record_models import MAX_NESTED, MAX_RECORDS

_DELIMITERS = (",", ";", "\t")
#: What a spreadsheet would take for the beginning of a formula (OWASP, CSV injection).
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
_LONGEST_SHOWN = 20
_COLUMNS = (
    *("subject", "tier", "is_alert", "risk", "risk_low", "risk_high", "action", "class", "warnings"),
    *("prediction", "model", "asked_at"),
)


@dataclass
class ReadList:
    """What the files of a list hold.

    Attributes
    ----------
    records : list of dict
        As the API takes them.
    headings : list of str
        Subject of each, as it was written.
    entered : list of lists of (str, str)
        Label and text of what was given.
    lines : dict
        Table to the line in its file of each row, in the order of the request; for tables within records by record.
    problems : list of FieldProblem
        What keeps it from being asked about.
    """

    records: list[dict[str, Any]] = field(default_factory=list)
    headings: list[str] = field(default_factory=list)
    entered: list[list[tuple[str, str]]] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    nested_lines: dict[tuple[int, str, int], int] = field(default_factory=dict)
    problems: list[FieldProblem] = field(default_factory=list)

    def body(self) -> bytes:
        """The request that asks about it."""
        return bytes(to_json({"records": self.records}))


def read_list(form: CohortForm, files: Mapping[str, bytes]) -> ReadList:
    """Read the files of a list, a table each; the subject table's is needed.

    Parameters
    ----------
    form : CohortForm
        Of the cohort.
    files : mapping of str to bytes
        Table to its CSV file.
    """
    spec, found = form.spec, ReadList()
    subject_table = spec.subject_table
    subject = spec.subject_of(subject_table)
    rows, comma = _rows(form, subject_table, files.get(subject_table, b""), found)
    if len(rows) > MAX_RECORDS:
        found.problems.append(_about(subject_table, _("More than %(most)s rows.") % {"most": MAX_RECORDS}))
        return found
    places: dict[str, int] = {}
    for line, texts in rows:
        columns = form.columns[subject_table]
        places.setdefault(texts.get(subject, ""), len(found.records))
        found.records.append({name: typed(text, columns[name], decimal_comma=comma) for name, text in texts.items()})
        found.headings.append(texts.get(subject, ""))
        found.entered.append(
            [(label_of(name, columns[name]), shown_value(t, columns[name])) for name, t in texts.items()]
        )
        found.lines.append(line)
    for table in form.nested:
        _add_nested(form, table, files.get(table, b""), places, found)
    if not rows and not found.problems:
        found.problems.append(_about(subject_table, _("The file has no rows.")))
    return found


def header_of(form: CohortForm, table: str) -> tuple[str, ...]:
    """Columns of a table's file."""
    spec = form.spec
    own = form.columns[table]
    return tuple(own) if table == spec.subject_table else (spec.subject_of(table), *own)


def columns_of(form: CohortForm) -> tuple[tuple[str, str, str, bool], ...]:
    """Name, what it is, unit and limits, and whether it must be given, of every column of the subject table."""
    table = form.spec.subject_table
    return tuple(
        (name, column.description, _permitted(column), form.needs(table, name))
        for name, column in form.columns[table].items()
    )


def problems_of(form: CohortForm, read: ReadList, findings: Sequence[RequestFinding]) -> tuple[FieldProblem, ...]:
    """What the service refused, by file, line and column."""
    found = []
    for each in findings:
        match each.pointer.split("/")[2:]:
            case [number, name]:
                place = _("line %(line)s, %(column)s") % {"line": read.lines[int(number)], "column": name}
                column = form.columns[form.spec.subject_table].get(name)
            case [number, table, row, name]:
                line = read.nested_lines.get((int(number), table, int(row)), 0)
                place = _("%(table)s, line %(line)s, %(column)s") % {
                    "table": words(table),
                    "line": line,
                    "column": name,
                }
                column = form.columns.get(table, {}).get(name)
            case parts:
                place, column = " ".join(parts), None
        found.append(FieldProblem(None, place, told(each, column)))
    return tuple(found)


def sorted_rows(kept: Mapping[str, Any], order: str) -> tuple[tuple[int, ListRow], ...]:
    """Rows of a table, with their place in the list; `order` is a column's name, after a minus the other way round."""
    answers = kept["answer"]["predictions"]
    keys: dict[str, Any] = {
        "who": lambda n: kept["headings"][n].casefold(),
        "tier": lambda n: answers[n].get("risk") if "risk" in answers[n] else answers[n]["tier"],
        "risk": lambda n: answers[n].get("risk", 0.0),
        "action": lambda n: answers[n]["action"].casefold(),
        "warnings": lambda n: len(answers[n]["warnings"]),
    }
    places = list(range(len(answers)))
    key = keys.get(order.removeprefix("-"))
    if key is not None:
        places.sort(key=key, reverse=order.startswith("-"))
    return tuple((n, _row(kept["headings"][n], answers[n], n)) for n in places)


def as_csv(kept: Mapping[str, Any], order: str) -> bytes:
    """The table as a file for a spreadsheet: UTF-8 with its mark, no cell that would be a formula there."""
    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_ALL)
    writer.writerow(_COLUMNS)
    for place, _shown in sorted_rows(kept, order):
        each = kept["answer"]["predictions"][place]
        sure = each.get("risk_interval", {})
        cells = [
            kept["headings"][place],
            each["tier"],
            "yes" if each["is_alert"] else "no",
            *("" if value is None else repr(value) for value in (each.get("risk"), sure.get("low"), sure.get("high"))),
            each["action"],
            each["predicted_class"],
            "; ".join(f"{one['code']}: {one['field']}" for one in each["warnings"]),
            each["prediction"],
            each.get("model", kept["answer"]["model"]["digest"]),
            kept["at"],
        ]
        writer.writerow([harmless(cell) for cell in cells])
    return out.getvalue().encode("utf-8-sig")


def harmless(cell: str) -> str:
    """A cell that no spreadsheet computes: an apostrophe stands before what would begin a formula.

    >>> harmless("=1+1"), harmless("A-17")
    ("'=1+1", 'A-17')
    """
    return f"'{cell}" if cell.startswith(_FORMULA) else cell


def _row(heading: str, answer: Mapping[str, Any], place: int) -> ListRow:
    risk = percent(answer["risk"]) if "risk" in answer else ""
    cells = (str(place + 1), heading, answer["tier"], risk, answer["action"], str(len(answer["warnings"])))
    return ListRow(cells, answer["is_alert"])


def _add_nested(form: CohortForm, table: str, content: bytes, places: Mapping[str, int], found: ReadList) -> None:
    for record in found.records:
        record[table] = []
    if not content.strip():
        return
    subject = form.spec.subject_of(table)
    rows, comma = _rows(form, table, content, found)
    for line, texts in rows:
        who = texts.pop(subject, "")
        place = places.get(who)
        if place is None:
            text = _("Line %(line)s is about nobody of the list.") % {"line": line}
            found.problems.append(_about(table, text))
            continue
        held = found.records[place][table]
        if len(held) >= MAX_NESTED:
            found.problems.append(_about(table, _("More than %(most)s rows of one person.") % {"most": MAX_NESTED}))
            return
        columns = form.columns[table]
        found.nested_lines[place, table, len(held)] = line
        held.append({name: typed(text, columns[name], decimal_comma=comma) for name, text in texts.items()})
        told_row = "; ".join(f"{label_of(n, columns[n])}: {shown_value(t, columns[n])}" for n, t in texts.items() if t)
        found.entered[place].append((f"{words(table)} {len(held)}", told_row))


def _rows(
    form: CohortForm, table: str, content: bytes, found: ReadList
) -> tuple[list[tuple[int, dict[str, str]]], bool]:
    """Rows under their lines, and whether numbers have a decimal comma; what is wrong becomes problems."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        found.problems.append(_about(table, _("The file is no text in UTF-8: save it as CSV UTF-8.")))
        return [], False
    first = text.partition("\n")[0]
    delimiter = max(_DELIMITERS, key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[tuple[int, dict[str, str]]] = []
    try:
        names = [each.strip() for each in next(reader, [])]
        if not _is_header(form, table, names, found):
            return [], False
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(names):
                told_line = {"line": reader.line_num, "found": len(cells), "wanted": len(names)}
                text = _("Line %(line)s has %(found)s cells, the header %(wanted)s.") % told_line
                found.problems.append(_about(table, text))
                continue
            rows.append((reader.line_num, {name: cell.strip() for name, cell in zip(names, cells, strict=True)}))
    except csv.Error:
        text = _("Line %(line)s cannot be read as CSV.") % {"line": reader.line_num}
        found.problems.append(_about(table, text))
    return rows, delimiter == ";"


def _is_header(form: CohortForm, table: str, names: Sequence[str], found: ReadList) -> bool:
    known = header_of(form, table)
    wanted = [name for name in known if name not in form.columns[table] or form.needs(table, name)]
    missing = [name for name in wanted if name not in names]
    unknown = [name[:_LONGEST_SHOWN] for name in names if name not in known]
    if missing:
        found.problems.append(_about(table, _("The header lacks: %(names)s.") % {"names": ", ".join(missing)}))
    if unknown:
        text = _("The header names what is no column: %(names)s.") % {"names": ", ".join(unknown[:_LONGEST_SHOWN])}
        found.problems.append(_about(table, text))
    if len(set(names)) < len(names):
        found.problems.append(_about(table, _("The header names a column twice.")))
    return not (missing or unknown or len(set(names)) < len(names))


def _permitted(column: Column) -> str:
    """Unit and limits, or the codes of a category."""
    return ", ".join(column.categories) if column.categories else limits_of(column) or unit_of(column)


def _about(table: str, text: str) -> FieldProblem:
    return FieldProblem(f"file-{table}", words(table).capitalize(), text)
