"""The description of a cohort: the one source from which schema, form, card and limits are made.

What belongs here: the model of the whole and what only the whole can check. Tables, sources and decisions have
modules of their own; reading YAML and naming lines is the work of ``loading``.
"""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from clinical_assets.cohorts.base import Grown, Name, Scalar, Strict
from clinical_assets.cohorts.card_statements import CardStatements
from clinical_assets.cohorts.decisions import FIXED_HORIZON, SAMPLERS, Decisions, Modelling, Target, TimeToEvent
from clinical_assets.cohorts.governance import Access, ApprovalPolicy, ChangeControlPlan, Monitoring
from clinical_assets.cohorts.sources_spec import FileSource, SyntheticSource
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


class StandIn(Strict):
    """What is used in place of files that lie nowhere yet: generated tables, and what is true of them.

    For records that may not be shipped. As long as no file of the tables is there, the cohort is the stand-in:
    synthetic, with this source, licence and limits. It is the cohort itself as soon as one is.
    """

    tables: dict[Name, SyntheticSource] = Field(min_length=1)
    source: str = Field(min_length=1)
    licence: str = Field(min_length=1)
    limits: tuple[str, ...] = Field(min_length=1)


class DataDescription(Grown):
    """Where the records come from, under which licence, and whether they are real."""

    LATER: ClassVar[frozenset[str]] = frozenset({"stand_in"})

    kind: Literal["real", "synthetic"]
    source: str = Field(min_length=1)
    licence: str = Field(min_length=1)
    doi: str | None = None
    collected: str | None = Field(default=None, description="Years or period of collection.")
    limits: tuple[str, ...] = Field(min_length=1, description="What the data cannot support.")
    stand_in: StandIn | None = Field(default=None, description="Generated records until the files are there.")


class Prediction(Strict):
    """When the prediction is made, what it foretells, and how the unfinished are handled.

    ``index_date`` is ``table.column`` of the moment from which time is counted: a date, or a day number where
    records carry days instead of dates. The prediction is made ``landmark_days`` after it, and feature SQL sees
    nothing recorded later. Without an index date the tables hold one moment only, and ``moment`` says which.
    """

    moment: str = Field(min_length=1)
    index_date: str | None = Field(default=None, pattern=r"^[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*$")
    landmark_days: int = Field(default=0, ge=0)
    horizon_days: int | None = Field(default=None, gt=0)
    censoring: str | None = Field(default=None, description="Rule for subjects not followed to the horizon.")


class _Written(Strict):
    """An outcome as it is written, so that what is wrong with it is named by its place in the file."""

    outcome: TimeToEvent


class CohortSpec(Grown):
    """A cohort: a partition of every asset.

    ``subject`` names the column that identifies a person in ``subject_table`` (one row a prediction unit) and, by
    default, in every other table. ``features`` and ``outcome`` name SQL models; an outcome that is a time to an event
    is written as one (`TimeToEvent`) and becomes the model ``fixed_horizon`` with its variables. ``timezone`` is the
    clock on the wall where the records were made: times with an offset are turned into it, times without are taken to
    be of it.
    """

    LATER: ClassVar[frozenset[str]] = frozenset({"timezone", "access"})

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
    timezone: str | None = Field(default=None, description="Zone of the tz database, such as Europe/Berlin.")
    features: Name
    outcome: Name
    target: Target
    vars: dict[Name, Scalar | list[Scalar]] = Field(default_factory=dict)
    modelling: Modelling = Modelling()
    decisions: Decisions
    approval: ApprovalPolicy = ApprovalPolicy()
    access: Access = Access()
    pccp: ChangeControlPlan = ChangeControlPlan()
    monitoring: Monitoring = Monitoring()
    card: CardStatements | None = Field(default=None, description="What a person says about the model on its card.")
    family: str | None = Field(default=None, description="Family the cohort was made from, if any.")

    @model_validator(mode="before")
    @classmethod
    def _time_to_event_written_out(cls, given: Any) -> Any:
        if not isinstance(given, Mapping) or not isinstance(given.get("outcome"), Mapping):
            return given
        outcome = _Written.model_validate({"outcome": given["outcome"]}).outcome
        variables, prediction = given.get("vars") or {}, given.get("prediction")
        if isinstance(variables, Mapping):
            twice = sorted(variables.keys() & (outcome.as_vars().keys() | {"horizon_days"}))
            if twice:
                raise ValueError(f"`outcome` says time and event already: remove {', '.join(twice)} from `vars`")
            variables = {**outcome.as_vars(), **variables}
        if isinstance(prediction, Mapping):
            said = prediction.get("horizon_days", outcome.horizon_days)
            if said != outcome.horizon_days:
                raise ValueError(
                    f"the horizon is {outcome.horizon_days} days by `outcome`, {said} by `prediction`: keep the first"
                )
            prediction = {**prediction, "horizon_days": outcome.horizon_days}
        return {**given, "outcome": FIXED_HORIZON, "vars": variables, "prediction": prediction}

    @field_validator("timezone")
    @classmethod
    def _zone_exists(cls, value: str | None) -> str | None:
        if value is not None and value not in zoneinfo.available_timezones():
            raise ValueError("not a zone of the tz database; write it as Europe/Berlin, America/New_York or UTC")
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.subject_table not in self.tables:
            raise ValueError(f"subject_table {self.subject_table!r} is not among tables {sorted(self.tables)}")
        self._tables_fit_together()
        self._stand_in_fits()
        self._times_fit_together()
        costs, classes = self.decisions.class_costs, len(self.target.classes)
        if costs is not None and len(costs.matrix) != classes:
            also = "; two classes need no matrix: costs say it" if classes == 2 else ""
            raise ValueError(f"class_costs has {len(costs.matrix)} rows, but the target has {classes} classes{also}")
        if self.data.kind == "real" and any(t.source.kind == "synthetic" for t in self.tables.values()):
            raise ValueError("a cohort with a synthetic table cannot be described as real data")
        if self.modelling.split_by is not None and self.modelling.split_by not in self.protected:
            raise ValueError(f"split_by {self.modelling.split_by!r} is not a protected column of the subject table")
        if self.modelling.pooled and (self.weight is not None or self.modelling.published):
            raise ValueError("modelling.pooled goes neither with a column of role weight nor with published formulas")
        if self.modelling.published and classes != 2:
            raise ValueError(f"modelling.published: a formula gives one risk, but the target has {classes} classes")
        self._weight_fits()
        self._group_fits()
        self._notes_fit()
        self._noise_fits()
        return self

    def _weight_fits(self) -> None:
        for name, table in self.tables.items():
            found = table.with_role("weight")
            if found and name != self.subject_table:
                raise ValueError(
                    f"{name}.{found[0]} has role weight, which only the subject table {self.subject_table!r} may"
                )
            if len(found) > 1:
                raise ValueError(f"{', '.join(found)} have role weight: one column says how much a record counts")
        drawn = [strategy for strategy in self.modelling.imbalance if strategy in SAMPLERS]
        if self.weight is not None and drawn:
            raise ValueError(
                f"modelling.imbalance offers {drawn[0]}, whose invented records have no case weight: "
                "use none or class_weight"
            )

    def _noise_fits(self) -> None:
        noise, drawn = self.modelling.label_noise, [way for way in self.modelling.imbalance if way in SAMPLERS]
        if noise is not None and noise.doubted_weight is not None and drawn:
            raise ValueError(
                f"modelling.imbalance offers {drawn[0]}, whose invented records have no weight: with "
                "label_noise.doubted_weight use none, class_weight or focal"
            )

    def _group_fits(self) -> None:
        for name, table in self.tables.items():
            found = table.with_role("group")
            if found and name != self.subject_table:
                raise ValueError(
                    f"{name}.{found[0]} has role group, which only the subject table {self.subject_table!r} may"
                )
            if len(found) > 1:
                raise ValueError(f"{', '.join(found)} have role group: one column says which records belong together")

    def _notes_fit(self) -> None:
        for name in self.modelling.notes:
            column = self.subjects.columns.get(name)
            if column is None or "note" not in column.role or column.type != "string":
                raise ValueError(f"modelling.notes: {name!r} is no text of role note in table {self.subject_table!r}")

    def _tables_fit_together(self) -> None:
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

    def _stand_in_fits(self) -> None:
        stand_in = self.data.stand_in
        if stand_in is None:
            return
        for name in stand_in.tables.keys() - self.tables.keys():
            raise ValueError(f"data.stand_in names table {name!r}, which is not described")
        for name, table in self.tables.items():
            if isinstance(table.source, FileSource) and name not in stand_in.tables:
                raise ValueError(f"data.stand_in has no generator for table {name!r}, whose source is a file")
            # The stand-in itself, once it was put in place, has that generator as its source.
            if name in stand_in.tables and table.source != stand_in.tables[name] and table.source.kind != "file":
                raise ValueError(f"data.stand_in stands for files, but the source of table {name!r} is none")

    def _times_fit_together(self) -> None:
        if self.prediction.index_date is not None:
            table_name, column_name = self.prediction.index_date.split(".")
            if table_name != self.subject_table:
                raise ValueError(f"index_date must lie in the subject table {self.subject_table!r}")
            index = self.tables[table_name].columns.get(column_name)
            if index is None or index.type not in ("date", "datetime", "integer"):
                raise ValueError(f"index_date {self.prediction.index_date!r} is not a described date or day number")
            for name, table in self.tables.items():
                if index.type == "integer" and table.recorded and table.columns[table.recorded].type != "integer":
                    raise ValueError(
                        f"{name}.{table.recorded} is a {table.columns[table.recorded].type}, but the index is the day "
                        f"number {self.prediction.index_date}: they cannot be compared"
                    )
        elif any(table.recorded for table in self.tables.values()):
            raise ValueError("a table says when rows were recorded, but prediction has no index_date to compare with")
        for name, table in self.tables.items():
            if name != self.subject_table and self.prediction.index_date is not None and table.recorded is None:
                raise ValueError(
                    f"table {name!r} must say with `recorded` when a row became known, or features could see the future"
                )

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
    def weight(self) -> str | None:
        """Column of the subject table with the case weight of a record, or None where all count alike."""
        return next(iter(self.subjects.with_role("weight")), None)

    @property
    def group(self) -> str | None:
        """Column of the subject table whose equal values keep records together, or None."""
        return next(iter(self.subjects.with_role("group")), None)

    @property
    def time_to_event(self) -> TimeToEvent | None:
        """The outcome as a time to an event, or None where it is none."""
        if self.outcome != FIXED_HORIZON:
            return None
        return TimeToEvent.of_vars(self.vars, self.prediction.horizon_days)

    @property
    def index_column(self) -> str | None:
        """Column of the subject table from which time is counted, or None where tables hold one moment only."""
        date = self.prediction.index_date
        return None if date is None else date.split(".")[1]

    @property
    def counts_days(self) -> bool:
        """True when time is counted in day numbers: the index is one, and records carry no dates to compare with."""
        column = self.index_column
        return column is not None and self.subjects.columns[column].type == "integer"

    @property
    def synthetic(self) -> bool:
        """True when the records were made by a generator."""
        return self.data.kind == "synthetic"

    def stood_in(self) -> CohortSpec:
        """The same cohort with its stand-in in place of the files, and called synthetic.

        Raises
        ------
        ValueError
            The description has none.
        """
        stand_in = self.data.stand_in
        if stand_in is None:
            raise ValueError(f"cohort {self.name!r} has no stand-in")
        said = {"source": stand_in.source, "licence": stand_in.licence, "limits": stand_in.limits}
        data = self.data.model_copy(update={"kind": "synthetic", "doi": None, "collected": None, **said})
        made = {
            name: self.tables[name].model_copy(update={"source": source}) for name, source in stand_in.tables.items()
        }
        title = f"{self.title} (synthetic stand-in)"
        return self.model_copy(update={"title": title, "data": data, "tables": {**self.tables, **made}})

    def column(self, table: str, name: str) -> Column:
        """The description of one column."""
        return self.tables[table].columns[name]

    def subject_of(self, table: str) -> str:
        """Name of the subject column in ``table``."""
        return self.tables[table].subject or self.subject

    def group_label(self, attribute: str, group: str) -> str:
        """A group of a protected attribute for a reader: ``F: Female`` where the description names its codes."""
        column = self.subjects.columns.get(attribute)
        label = (column.categories or {}).get(group) if column is not None else None
        return group if label is None or label == group else f"{group}: {label}"

    def labelled(self, text: str) -> str:
        """A text in which every ``attribute=code`` of a protected attribute also has its label: ``sex=F: Female``."""
        for attribute in self.protected:
            for code in self.subjects.columns[attribute].categories or {}:
                said = self.group_label(attribute, code)
                if said != code:
                    rest = re.escape(said.removeprefix(code))
                    text = re.sub(rf"\b{attribute}={re.escape(code)}(?!\w|{rest})", f"{attribute}={said}", text)
        return text

    def group_of(self, criterion: str) -> str | None:
        """Whom a criterion such as ``auroc[sex=F]`` is about, with labels; None where no code of it has a label."""
        text = self.labelled(criterion)
        return None if text == criterion else text.partition("[")[2].removesuffix("]")

    def training_facts(self) -> dict[str, Any]:
        """What a model is made from and for, as plain JSON: all but who signs and asks, what may change or is watched.

        A new signing policy makes no new model, and neither do words on its card, nor where a hospital keeps a value.
        """
        codes = {"__all__": {"columns": {"__all__": {"code"}}}}
        parts = dict.fromkeys(("approval", "access", "pccp", "monitoring", "card"), True)
        return self.model_dump(mode="json", by_alias=True, exclude={**parts, "tables": codes})

    def canonical(self) -> dict[str, Any]:
        """The description as plain JSON values, defaults filled in: what its digest is made of.

        The card's part is there only as far as it was written, so that descriptions without it keep their digest.
        """
        plain = self.model_dump(mode="json", by_alias=True, exclude={"card"})
        card = {} if self.card is None else self.card.model_dump(mode="json", exclude_none=True)
        return {**plain, "card": card} if card else plain
