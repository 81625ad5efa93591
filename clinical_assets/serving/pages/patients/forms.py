"""A form made from a cohort's description, what a person wrote into it as a record, and what is wrong beside its field.

What belongs here: from the request model of the API to fields and back. What does not: the promises themselves, which
the service checks (``requests.record_checks``); limits in a field are there to be read, and to help a browser.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import to_json

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.cohorts.tables import Column
from clinical_assets.reporting.formats import words
from clinical_assets.reporting.texts import gettext as _
from clinical_assets.serving.pages.views import FieldProblem, FormField, FormRow, FormSection
from clinical_assets.serving.requests.findings import RequestFinding
from clinical_assets.serving.requests.record_models import MAX_NESTED, nested_tables
from clinical_assets.warehouse.validation import findings as kinds

# No exponent beyond two digits: it would make infinity, which JSON has no word for but null.
_WHOLE = re.compile(r"[+-]?[0-9]{1,19}")
_NUMBER = re.compile(r"[+-]?([0-9]{1,19}(\.[0-9]{0,19})?|\.[0-9]{1,19})([eE][+-]?[0-9]{1,2})?")
_COMMA = re.compile(r"[+-]?[0-9]{1,19},[0-9]{1,19}")
_INPUTS = {"integer": "number", "number": "number", "date": "date", "datetime": "datetime-local", "string": "text"}
_LONGEST_LABEL, _FEW_TABLES = 90, 2
#: Field of the record itself, and of rows of its other tables.
RECORD, ROWS = "record", "rows"


@dataclass
class FilledForm:
    """What a person wrote.

    Attributes
    ----------
    record : dict
        As the API takes it: column to value, table to list of rows. A text that is no number where one is needed stays
        a text, so that the API says so.
    written : dict
        Name of a field to its text.
    rows : dict
        Table to number of its rows in the form.
    """

    record: dict[str, Any] = field(default_factory=dict)
    written: dict[str, str] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)

    def body(self) -> bytes:
        """The request that asks about it."""
        return bytes(to_json({"records": [self.record]}))


class CohortForm:
    """The form of one cohort.

    Parameters
    ----------
    spec : CohortSpec
        As ``record_models.request_spec`` gave it.
    model : type of BaseModel
        As ``record_models.predict_model`` made it of that.
    """

    def __init__(self, spec: CohortSpec, model: type[BaseModel]) -> None:
        self.spec = spec
        self.nested = nested_tables(spec)
        (record,) = get_args(model.model_fields["records"].annotation)
        known = {each.alias: each for each in record.model_fields.values()}
        self.columns: dict[str, dict[str, Column]] = {spec.subject_table: dict(spec.subjects.columns)}
        self._needed = {spec.subject_table: {name for name in spec.subjects.columns if known[name].is_required()}}
        for name in self.nested:
            (row,) = get_args(known[name].annotation)
            # What the record around a row says of it is not asked for twice.
            filled = {spec.subject_of(name), *spec.key}
            self.columns[name] = {
                column: described for column, described in spec.tables[name].columns.items() if column not in filled
            }
            self._needed[name] = {str(each.alias) for each in row.model_fields.values() if each.is_required()}

    def needs(self, table: str, column: str) -> bool:
        """Whether a column must be given."""
        return column in self._needed[table]

    def read(self, posted: Mapping[str, str]) -> FilledForm:
        """What a person sent; rows of which nothing was filled in are left out."""
        filled = FilledForm()
        for name, column in self.columns[self.spec.subject_table].items():
            text = posted.get(f"{RECORD}.{name}", "").strip()
            filled.written[f"{RECORD}.{name}"] = text
            filled.record[name] = typed(text, column)
        for table in self.nested:
            found: list[dict[str, Any]] = []
            for number in range(_count(posted.get(f"{ROWS}.{table}", ""))):
                texts = {name: posted.get(f"{table}.{number}.{name}", "").strip() for name in self.columns[table]}
                if any(texts.values()):
                    filled.written |= {f"{table}.{len(found)}.{name}": text for name, text in texts.items()}
                    found.append({name: typed(text, self.columns[table][name]) for name, text in texts.items()})
            filled.record[table] = found
            filled.rows[table] = len(found)
        return filled

    def sections(
        self, filled: FilledForm, problems: Mapping[str, str], *, more: str | None = None
    ) -> tuple[FormSection, ...]:
        """The form as it is shown.

        Parameters
        ----------
        filled : FilledForm
            What is in it already.
        problems : mapping
            Name of a field to what is wrong with it.
        more : str, optional
            Table of which another empty row is shown.
        """
        name = self.spec.subject_table
        own = tuple(self._field(name, column, f"{RECORD}.{column}", filled, problems) for column in self.columns[name])
        found = [FormSection(name, self.spec.tables[name].description, (FormRow(None, own),), is_nested=False)]
        for name in self.nested:
            count = filled.rows.get(name, 0)
            # An empty row stands ready where a form has few tables; where it has many, they would hide what matters.
            ready = 1 if len(self.nested) <= _FEW_TABLES else 0
            shown = max(ready, count + (1 if more == name else 0))
            rows = tuple(
                FormRow(
                    number + 1,
                    tuple(
                        self._field(
                            name, column, f"{name}.{number}.{column}", filled, problems, is_spare=number >= count
                        )
                        for column in self.columns[name]
                    ),
                )
                for number in range(shown)
            )
            found.append(FormSection(name, self.spec.tables[name].description, rows, is_nested=True))
        return tuple(found)

    def problems(self, findings: Sequence[RequestFinding]) -> tuple[tuple[FieldProblem, ...], dict[str, str]]:
        """What is wrong, in the order of the form, and by the name of the field."""
        listed: list[FieldProblem] = []
        by_name: dict[str, str] = {}
        for each in findings:
            name, label, column = self._place(each.pointer)
            text = told(each, column)
            listed.append(FieldProblem(None if name is None else _id(name), label, text))
            if name is not None:
                by_name.setdefault(name, text)
        return tuple(listed), by_name

    def entered(self, filled: FilledForm) -> list[tuple[str, str]]:
        """What was filled in, as label and text, for the sheet of the answer."""
        found = []
        for name, column in self.columns[self.spec.subject_table].items():
            text = filled.written.get(f"{RECORD}.{name}", "")
            found.append((label_of(name, column), shown_value(text, column)))
        for table in self.nested:
            for number in range(filled.rows.get(table, 0)):
                cells = [
                    f"{label_of(name, column)}: {shown_value(text, column)}"
                    for name, column in self.columns[table].items()
                    if (text := filled.written.get(f"{table}.{number}.{name}", ""))
                ]
                found.append((f"{words(table)} {number + 1}", "; ".join(cells)))
        return found

    def _place(self, pointer: str) -> tuple[str | None, str, Column | None]:
        """Name, label and column of the field that a pointer into the request is about."""
        own = self.columns[self.spec.subject_table]
        match pointer.split("/")[3:]:
            case [name] if name in own:
                return f"{RECORD}.{name}", label_of(name, own[name]), own[name]
            case [table, number, name] if name in self.columns.get(table, {}):
                column = self.columns[table][name]
                label = f"{words(table)} {int(number) + 1}: {label_of(name, column)}"
                return f"{table}.{number}.{name}", label, column
            case parts:
                return None, words(parts[-1]) if parts else "", None

    def _field(
        self,
        table: str,
        name: str,
        posted: str,
        filled: FilledForm,
        problems: Mapping[str, str],
        *,
        is_spare: bool = False,
    ) -> FormField:
        column = self.columns[table][name]
        low, high = (None, None) if column.missing else (column.range or (None, None))
        numeric = column.type in ("integer", "number")
        return FormField(
            name=posted,
            id=_id(posted),
            label=label_of(name, column),
            unit=unit_of(column),
            help=help_of(column),
            kind="choice" if column.type == "boolean" or column.categories else _INPUTS[column.type],
            options=options_of(column),
            # An empty row is left out, so nothing in it must be given.
            required=self.needs(table, name) and not is_spare,
            minimum=_end(low if numeric else column.earliest),
            maximum=_end(high if numeric else column.latest),
            step="1" if column.type == "integer" else "any" if numeric else None,
            value=filled.written.get(posted, ""),
            problem=problems.get(posted),
        )


def typed(text: str, column: Column, *, decimal_comma: bool = False) -> Any:
    """A text as JSON has the column's values; one that cannot be read stays a text, for the API to refuse.

    >>> typed("54", Column(type="integer", description="Age."))
    54
    >>> typed("1,5", Column(type="number", description="Size."), decimal_comma=True)
    1.5
    >>> typed("1,5", Column(type="number", description="Size."))
    '1,5'
    """
    if text == "":
        return None
    if column.type == "integer" and _WHOLE.fullmatch(text):
        return int(text)
    if column.type == "number":
        point = text.replace(",", ".") if decimal_comma and _COMMA.fullmatch(text) else text
        if _NUMBER.fullmatch(point):
            return float(point)
    if column.type == "boolean":
        lower = text.casefold()
        truths = {each.casefold() for each in column.true_values}
        lies = {each.casefold() for each in column.false_values}
        return True if lower in truths else False if lower in lies else text
    return text


def label_of(name: str, column: Column) -> str:
    """What a field is called: the first clause of its description, or its name where that is too long for a label."""
    first = re.split(r"[;:(]|\. ", column.description, maxsplit=1)[0].strip().removesuffix(".")
    return first if first and len(first) <= _LONGEST_LABEL else words(name)


def unit_of(column: Column) -> str:
    """The unit as it is written beside a field."""
    return unit_words(column.unit)


def unit_words(unit: str | None) -> str:
    """A unit as a reader writes it; UCUM where it has no word here."""
    known = {
        "1": "",
        "mm[Hg]": "mmHg",
        "a": _("years"),
        "mo": _("months"),
        "wk": _("weeks"),
        "d": _("days"),
        "h": _("hours"),
        "/d": _("per day"),
        "/min": _("per minute"),
    }
    return known.get(unit or "", unit or "")


def help_of(column: Column) -> str:
    """What stands below a label: the rest of the description, and the limits."""
    rest = column.description.removeprefix(label_of("", column)).strip().lstrip(".;:").strip()
    parts = [rest[:1].upper() + rest[1:]] if rest else []
    return " ".join([*parts, *([limits_of(column)] if limits_of(column) else [])])


def limits_of(column: Column) -> str:
    """The limits of a number, in words; empty where it has none."""
    low, high = column.range or (None, None)
    unit = unit_of(column)
    if column.categories is not None or column.type not in ("integer", "number"):
        return ""
    if low is not None and high is not None:
        return _("%(low)s to %(high)s.") % {"low": f"{low:g}", "high": f"{high:g} {unit}".strip()}
    if low is not None:
        return _("%(low)s or more.") % {"low": f"{low:g} {unit}".strip()}
    return "" if high is None else _("%(high)s or less.") % {"high": f"{high:g} {unit}".strip()}


def options_of(column: Column) -> tuple[tuple[str, str], ...]:
    """What can be chosen: value and label."""
    if column.type == "boolean":
        return ((column.true_values[0], _("yes")), (column.false_values[0], _("no")))
    return tuple((column.categories or {}).items())


def shown_value(text: str, column: Column) -> str:
    """A value as a reader sees it: the label of a category, the unit behind a number."""
    if not text:
        return _("not given")
    label = dict(options_of(column)).get(text, text)
    unit = unit_of(column)
    return f"{label} {unit}" if unit and column.type in ("integer", "number") and column.categories is None else label


def told(finding: RequestFinding, column: Column | None) -> str:
    """What is wrong, in the reader's language where the rule is a common one."""
    match finding.rule:
        case "missing" | kinds.NULL | kinds.RECORDED:
            return _("Fill this in: the model cannot be asked without it.")
        case "int_type" | "int_parsing":
            return _("Write a whole number in digits.")
        case "float_type" | "finite_number":
            return _("Write a number in digits, with a decimal point.")
        case kinds.RANGE if column is not None:
            return _("Not possible. Possible: %(limits)s") % {"limits": limits_of(column)}
        case kinds.CATEGORY if finding.permitted:
            return _("Not known here. Permitted: %(permitted)s") % {"permitted": finding.permitted}
        case "erased":
            return _("This person asked to be forgotten: nothing may be asked about them.")
        case rule if rule.startswith("date"):
            return _("Write a calendar date as year-month-day.")
    detail = finding.detail[:1].upper() + finding.detail[1:]
    return f"{detail.removesuffix('.')}. {finding.cure}"


def _count(text: str) -> int:
    return min(int(text), MAX_NESTED) if text.isdecimal() and len(text) < 6 else 0


def _id(name: str) -> str:
    return name.replace(".", "-")


def _end(value: Any) -> str | None:
    if value is None:
        return None
    return f"{value:g}" if isinstance(value, int | float) else str(value)
