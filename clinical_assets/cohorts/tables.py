"""What one table of a cohort promises: its columns, keys, rules and references.

From these models come the pandera schema, the API's request model, the clinician's form and the column
descriptions in the Dagster UI. Where a table comes from is in ``sources_spec``.
"""

from __future__ import annotations

import datetime as dt
import re
import unicodedata
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from clinical_assets.cohorts.base import Grown, Name, Scalar, Strict
from clinical_assets.cohorts.external.codes import ColumnCode
from clinical_assets.cohorts.sources_spec import Source

ColumnType = Literal["integer", "number", "string", "boolean", "date", "datetime"]
Role = Literal["identifier", "feature", "target", "protected", "date", "note", "outcome", "weight", "group", "ignored"]

#: Name that case weights have beside features and outcome, whatever the column is called.
CASE_WEIGHT = "case_weight"
#: Name that a column of role group has there: rows with the same value stay together.
KEPT_TOGETHER = "kept_together"
#: Beginning of the name of a protected attribute beside features, risks and outcomes.
GROUP_PREFIX = "protected_"
#: Names of follow-up there: days from the prediction to its end, what ended it, the case weight of the record alone.
FOLLOW_UP_DAYS, EVENT_CODE, RECORD_WEIGHT = "follow_up_days", "event_code", "record_weight"
_CENTURY = 100


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


_YAML = {True: "true", False: "false", None: "no value"}
_QUOTES = "YAML reads yes, no, on, off as true or false and ~ as nothing: put such a code in quotes"


def _composed(value: Any) -> Any:
    if isinstance(value, dict):
        return {_composed(key): _composed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_composed(item) for item in value]
    return unicodedata.normalize("NFC", value) if isinstance(value, str) else value


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []


Roles = Annotated[tuple[Role, ...], BeforeValidator(_as_list), Field(min_length=1)]


class Column(Grown):
    """One column: what it holds, in which unit, within which limits, and what it is for.

    ``role`` may name several: sex is often both ``feature`` and ``protected``. ``outcome`` marks a column that is
    only known after the prediction is made; feature SQL cannot see it. ``weight`` is the case weight of a record: for
    how many people it stands. ``group`` marks a column (paper, family, practice) whose records resemble each
    other: they are kept together in holdout and folds, and drawn together in intervals. ``missing`` lists values that
    stand for "not measured" in the source (0 for cholesterol, "N/A"); they become NULL and are counted.
    """

    LATER: ClassVar[frozenset[str]] = frozenset({"earliest", "latest", "code"})

    type: ColumnType
    description: str = Field(min_length=1)
    role: Roles = ("feature",)
    source_name: str | None = Field(default=None, alias="from", description="Name in the source, if another.")
    unit: str | None = Field(default=None, description="UCUM unit such as mm[Hg], mg/dL, a, d, 1.")
    range: tuple[float | None, float | None] | None = Field(
        default=None, description="Smallest and largest possible value; a record outside is refused."
    )
    plausible: tuple[float | None, float | None] | None = Field(
        default=None, description="Values outside are kept but reported."
    )
    categories: dict[str, str] | None = Field(
        default=None, description="Every allowed code (as text) with its label; an unknown one is refused."
    )
    nullable: bool = True
    unique: bool = False
    missing: tuple[Scalar, ...] = ()
    format: str | None = Field(default=None, description="strptime format of a date or datetime, if not ISO.")
    true_values: tuple[str, ...] = ("true", "yes", "y", "1", "t")
    false_values: tuple[str, ...] = ("false", "no", "n", "0", "f")
    pattern: str | None = Field(default=None, description="Regular expression a text must match in full.")
    earliest: dt.date | None = Field(default=None, description="First possible day; an earlier one is refused.")
    latest: dt.date | None = Field(default=None, description="Last possible day; a later one is refused.")
    code: ColumnCode | None = Field(default=None, description="Where the value stands in a hospital's FHIR records.")

    @model_validator(mode="before")
    @classmethod
    def _as_the_source_writes_them(cls, data: Any) -> Any:
        """Categories may be a list or have numbers as codes; every text has its letters composed, as values are."""
        if not isinstance(data, dict):
            return data
        data = _composed(data)
        given = data.get("categories")
        if isinstance(given, list | dict):
            for code in given:
                if code is None or isinstance(code, bool):
                    raise ValueError(f"categories hold {_YAML[code]}. {_QUOTES}")
            pairs = given.items() if isinstance(given, dict) else ((item, str(item)) for item in given)
            data["categories"] = {str(code): label for code, label in pairs}
        if data.get("type") != "boolean" and any(isinstance(value, bool) for value in _listed(data.get("missing"))):
            raise ValueError(f"missing holds true or false. {_QUOTES}")
        return data

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        self._limits_fit_the_type()
        self._texts_fit_the_type()
        if self.code is not None:
            self.code.refuse_misfit(kind=self.type, unit=self.unit, categories=self.categories)
        if "identifier" in self.role and "feature" in self.role:
            raise ValueError("an identifier cannot be a feature: it names a person and predicts nothing lawful")
        after = {"target", "outcome"} & set(self.role)
        if after and "feature" in self.role:
            raise ValueError(f"a column with role {min(after)} cannot be a feature: it is known too late")
        if "weight" in self.role:
            self._is_a_weight()
        if "group" in self.role and not set(self.role) <= {"group", "protected"}:
            raise ValueError("a column with role group has no other role but protected: it keeps records together")
        return self

    def _is_a_weight(self) -> None:
        if len(self.role) > 1:
            raise ValueError("a column with role weight has no other role: it says how much a record counts")
        if self.type not in ("integer", "number"):
            raise ValueError(f"a weight is a number, not {self.type}")
        if self.nullable or self.range is None or self.range[0] is None or self.range[0] <= 0:
            raise ValueError(
                "a weight needs `nullable: false` and a range whose smallest value is above 0, so that a record "
                "without one is refused"
            )

    def _limits_fit_the_type(self) -> None:
        numeric = self.type in ("integer", "number")
        for name in ("range", "plausible"):
            limits = getattr(self, name)
            if limits is None:
                continue
            if not numeric:
                raise ValueError(f"{name} needs a numeric type, not {self.type}")
            low, high = limits
            if low is not None and high is not None and low > high:
                raise ValueError(f"{name} has its smallest value {low:g} above its largest {high:g}")

        for name in ("earliest", "latest"):
            if getattr(self, name) is not None and self.type not in ("date", "datetime"):
                raise ValueError(f"{name} needs a date or datetime, not {self.type}")
        if self.earliest is None or self.latest is None:
            return
        if self.earliest > self.latest:
            raise ValueError(f"earliest {self.earliest} is after latest {self.latest}")
        if self.two_digit_years and self.latest.year - self.earliest.year >= _CENTURY:
            raise ValueError("earliest and latest span a century or more: a year of two digits would have two meanings")

    @property
    def two_digit_years(self) -> bool:
        """Whether its dates are written without the century."""
        return self.format is not None and re.search(r"%[-_]?[yDx]", self.format.replace("%%", "")) is not None

    def _texts_fit_the_type(self) -> None:
        if self.format and self.type not in ("date", "datetime"):
            raise ValueError(f"format needs a date or datetime, not {self.type}")
        if self.pattern is not None:
            if self.type != "string":
                raise ValueError(f"pattern needs a string, not {self.type}")
            try:
                re.compile(self.pattern)
            except re.error as error:
                raise ValueError(f"pattern is no regular expression: {error}") from error
        if self.categories is not None and self.type not in ("string", "integer"):
            raise ValueError(f"categories need a string or integer, not {self.type}")
        if self.categories is not None and not self.categories:
            raise ValueError("categories are empty")


class Rule(Strict):
    """A promise between the columns of one row, as an SQL expression that must not be false.

    NULL means unknown and passes. Example: ``systolic_bp_mmhg > diastolic_bp_mmhg``.
    """

    name: Name
    expression: str = Field(min_length=1)
    cure: str = Field(min_length=1, description="What the data's owner should do about a row that breaks it.")


class Reference(Strict):
    """Columns of this table that must be found among the columns of another table."""

    columns: tuple[str, ...] = Field(min_length=1)
    table: str
    to: tuple[str, ...] | None = Field(default=None, description="Columns there, if named otherwise.")


class Correction(Strict):
    """A known mistake of the source, put right in every record that carries it, and counted.

    For mistakes that are proven by another source, such as the original publication; anything else is corrected at
    the source.
    """

    name: Name
    where: dict[Name, Scalar] = Field(min_length=1, description="Values, as described, that a record must have.")
    put: dict[Name, Scalar] = Field(min_length=1, description="Values that it gets instead.")
    reason: str = Field(min_length=1, description="How the mistake is known.")


class Table(Strict):
    """One table of a cohort and what every row of it promises.

    ``key`` names the columns that make a row unique. ``recorded`` names the column that says when a row became
    known: a date or datetime, or an integer day counted from the cohort's index date. Feature SQL sees only rows
    that were known when the prediction is made. ``refused_limit`` is the share of rows that may be refused before
    the cohort fails.
    """

    description: str = Field(min_length=1)
    source: Source
    key: tuple[str, ...] = Field(min_length=1)
    subject: str | None = Field(default=None, description="Column with the subject; default: the cohort's.")
    recorded: str | None = None
    columns: dict[Name, Column] = Field(min_length=1)
    corrections: tuple[Correction, ...] = ()
    rules: tuple[Rule, ...] = ()
    references: tuple[Reference, ...] = ()
    refused_limit: float = Field(default=0.05, ge=0, le=1)

    @model_validator(mode="after")
    def _names_exist(self) -> Self:
        def known(name: str, where: str) -> None:
            if name not in self.columns:
                raise ValueError(f"{where} names column {name!r}, which the table does not have")

        for name in self.key:
            known(name, "key")
        if self.recorded is not None:
            known(self.recorded, "recorded")
            if self.columns[self.recorded].type not in ("date", "datetime", "integer"):
                raise ValueError(f"recorded names {self.recorded!r}, which is neither a date nor a day number")
        if self.subject is not None:
            known(self.subject, "subject")
        for reference in self.references:
            for name in reference.columns:
                known(name, "references")
            if reference.to is not None and len(reference.to) != len(reference.columns):
                raise ValueError("a reference needs as many columns in `to` as in `columns`")
        seen: set[str] = set()
        for rule in self.rules:
            if rule.name in seen:
                raise ValueError(f"two rules are called {rule.name!r}")
            seen.add(rule.name)
        return self

    @model_validator(mode="after")
    def _corrections_can_be_right(self) -> Self:
        for correction in self.corrections:
            where = f"correction {correction.name!r}"
            unknown = [name for name in (*correction.where, *correction.put) if name not in self.columns]
            if unknown:
                raise ValueError(f"{where} names column {unknown[0]!r}, which the table does not have")
            for name, value in correction.put.items():
                categories = self.columns[name].categories
                if categories is not None and str(value) not in categories:
                    raise ValueError(f"{where} puts {value!r} into {name!r}: no such category")
        return self

    @model_serializer(mode="wrap")
    def _without_what_is_unused(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A description without corrections keeps the digest that it had before there were any."""
        content: dict[str, Any] = serialise(self)
        if not self.corrections:
            content.pop("corrections", None)
        return content

    def with_role(self, role: Role) -> tuple[str, ...]:
        """Names of the columns that have ``role``, in the order of the description."""
        return tuple(name for name, column in self.columns.items() if role in column.role)
