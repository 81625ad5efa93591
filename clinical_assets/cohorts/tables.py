"""What one table of a cohort promises: its columns, keys, rules and references.

From these models come the pandera schema, the API's request model, the clinician's form and the column
descriptions in the Dagster UI. Where a table comes from is in ``sources_spec``.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from clinical_assets.cohorts.base import Name, Scalar, Strict
from clinical_assets.cohorts.sources_spec import Source

ColumnType = Literal["integer", "number", "string", "boolean", "date", "datetime"]
Role = Literal["identifier", "feature", "target", "protected", "date", "note", "outcome", "ignored"]


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Roles = Annotated[tuple[Role, ...], BeforeValidator(_as_list), Field(min_length=1)]


class Column(Strict):
    """One column: what it holds, in which unit, within which limits, and what it is for.

    ``role`` may name several: sex is often both ``feature`` and ``protected``. ``outcome`` marks a column that is
    only known after the prediction is made; feature SQL cannot see it. ``missing`` lists values that stand for
    "not measured" in the source (0 for cholesterol, "N/A"); they become NULL and are counted.
    """

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

    @model_validator(mode="before")
    @classmethod
    def _categories_may_be_a_list(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(data.get("categories"), list):
            data = {**data, "categories": {str(item): str(item) for item in data["categories"]}}
        return data

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
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
        if "identifier" in self.role and "feature" in self.role:
            raise ValueError("an identifier cannot be a feature: it names a person and predicts nothing lawful")
        after = {"target", "outcome"} & set(self.role)
        if after and "feature" in self.role:
            raise ValueError(f"a column with role {min(after)} cannot be a feature: it is known too late")
        return self


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

    def with_role(self, role: Role) -> tuple[str, ...]:
        """Names of the columns that have ``role``, in the order of the description."""
        return tuple(name for name, column in self.columns.items() if role in column.role)
