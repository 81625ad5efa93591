"""The description of a cohort: the one source from which schema, form, card and limits are made.

What belongs here: the model of the whole and what only the whole can check. Tables, sources and decisions have
modules of their own; reading YAML and naming lines is the work of ``loading``.
"""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from clinical_assets.cohorts.base import Name, Scalar, Strict
from clinical_assets.cohorts.decisions import Decisions, Modelling, Target
from clinical_assets.cohorts.governance import ApprovalPolicy, ChangeControlPlan, Monitoring
from clinical_assets.cohorts.tables import Column, Table


class Disease(Strict):
    """The disease and its ICD-10 codes."""

    name: str = Field(min_length=1)
    icd10: tuple[str, ...] = Field(min_length=1)
    rare: bool = False


class Owner(Strict):
    """Who answers for the cohort."""

    team: str = Field(min_length=1)
    contact: str | None = None

    @property
    def dagster_owner(self) -> str:
        """The owner as Dagster writes teams."""
        return f"team:{self.team.lower().replace(' ', '-')}"


class DataDescription(Strict):
    """Where the records come from, under which licence, and whether they are real."""

    kind: Literal["real", "synthetic"]
    source: str = Field(min_length=1)
    licence: str = Field(min_length=1)
    doi: str | None = None
    collected: str | None = Field(default=None, description="Years or period of collection.")
    limits: tuple[str, ...] = Field(min_length=1, description="What the data cannot support.")


class Prediction(Strict):
    """When the prediction is made, what it foretells, and how the unfinished are handled.

    ``index_date`` is ``table.column`` of the date from which time is counted; the prediction is made
    ``landmark_days`` after it, and feature SQL sees nothing recorded later. Without an index date the tables hold
    one moment only, and ``moment`` says which.
    """

    moment: str = Field(min_length=1)
    index_date: str | None = Field(default=None, pattern=r"^[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*$")
    landmark_days: int = Field(default=0, ge=0)
    horizon_days: int | None = Field(default=None, gt=0)
    censoring: str | None = Field(default=None, description="Rule for subjects not followed to the horizon.")


class CohortSpec(Strict):
    """A cohort: a partition of every asset.

    ``subject`` names the column that identifies a person in ``subject_table`` (one row a prediction unit) and, by
    default, in every other table. ``features`` and ``outcome`` name SQL models.
    """

    name: Name
    title: str = Field(min_length=1)
    disease: Disease
    intended_use: str = Field(min_length=1)
    not_for: str = Field(min_length=1, description="Uses for which the model must not be taken.")
    owner: Owner
    data: DataDescription
    prediction: Prediction
    subject: Name
    subject_table: Name = "subjects"
    tables: dict[Name, Table] = Field(min_length=1)
    features: Name
    outcome: Name
    target: Target
    vars: dict[Name, Scalar | list[Scalar]] = Field(default_factory=dict)
    modelling: Modelling = Modelling()
    decisions: Decisions
    approval: ApprovalPolicy = ApprovalPolicy()
    pccp: ChangeControlPlan = ChangeControlPlan()
    monitoring: Monitoring = Monitoring()
    family: str | None = Field(default=None, description="Family the cohort was made from, if any.")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.subject_table not in self.tables:
            raise ValueError(f"subject_table {self.subject_table!r} is not among tables {sorted(self.tables)}")
        for name, table in self.tables.items():
            column = table.subject or self.subject
            if column not in table.columns:
                raise ValueError(f"table {name!r} has no subject column {column!r}; name it with `subject`")
            if "identifier" not in table.columns[column].role:
                raise ValueError(f"{name}.{column} names the subject and needs role identifier")
            for reference in table.references:
                other = self.tables.get(reference.table)
                if other is None:
                    raise ValueError(f"table {name!r} refers to table {reference.table!r}, which is not described")
                for target in reference.to or reference.columns:
                    if target not in other.columns:
                        raise ValueError(f"table {name!r} refers to {reference.table}.{target}, which is not described")
        if self.prediction.index_date is not None:
            table_name, column_name = self.prediction.index_date.split(".")
            if table_name != self.subject_table:
                raise ValueError(f"index_date must lie in the subject table {self.subject_table!r}")
            index = self.tables[table_name].columns.get(column_name)
            if index is None or index.type not in ("date", "datetime"):
                raise ValueError(f"index_date {self.prediction.index_date!r} is not a described date")
        elif any(table.recorded for table in self.tables.values()):
            raise ValueError("a table says when rows were recorded, but prediction has no index_date to compare with")
        for name, table in self.tables.items():
            if name != self.subject_table and self.prediction.index_date is not None and table.recorded is None:
                raise ValueError(
                    f"table {name!r} must say with `recorded` when a row became known, or features could see the future"
                )
        if self.data.kind == "real" and any(t.source.kind == "synthetic" for t in self.tables.values()):
            raise ValueError("a cohort with a synthetic table cannot be described as real data")
        if self.modelling.split_by is not None and self.modelling.split_by not in self.protected:
            raise ValueError(f"split_by {self.modelling.split_by!r} is not a protected column of the subject table")
        return self

    @property
    def subjects(self) -> Table:
        """The table with one row per prediction unit."""
        return self.tables[self.subject_table]

    @property
    def key(self) -> tuple[str, ...]:
        """Columns that name one prediction unit."""
        return self.subjects.key

    @property
    def protected(self) -> tuple[str, ...]:
        """Protected attributes, from the subject table."""
        return self.subjects.with_role("protected")

    @property
    def synthetic(self) -> bool:
        """True when the records were made by a generator."""
        return self.data.kind == "synthetic"

    def column(self, table: str, name: str) -> Column:
        """The description of one column."""
        return self.tables[table].columns[name]

    def subject_of(self, table: str) -> str:
        """Name of the subject column in ``table``."""
        return self.tables[table].subject or self.subject

    def training_facts(self) -> dict[str, Any]:
        """What a model is made from and for, as plain JSON values: all but who signs, what may change, what is watched.

        A new signing policy makes no new model.
        """
        return self.model_dump(mode="json", by_alias=True, exclude={"approval", "pccp", "monitoring"})

    def canonical(self) -> dict[str, Any]:
        """The description as plain JSON values, defaults filled in: what its digest is made of."""
        return self.model_dump(mode="json", by_alias=True)
