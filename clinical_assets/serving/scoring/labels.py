"""Features in clinical words: label and unit, from the files beside the SQL and from the description.

What belongs here: naming features for an answer. What does not: the contributions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from clinical_assets.warehouse.sql.project import SqlProject


@dataclass(frozen=True)
class FeatureLabel:
    """How a feature is called, and its UCUM unit where it has one."""

    text: str
    unit: str | None


def feature_labels(sql: SqlProject, features: tuple[str, ...]) -> Mapping[str, FeatureLabel]:
    """Labels of a cohort's features; one that the SQL of today no longer yields is called by its name."""
    model = sql.feature_model
    docs, lineage = sql.docs(model), sql.traced(model)
    described = {column.name: column.description for column in sql.columns(model)}
    found = {}
    for name in features:
        written = docs.column(name)
        unit = written.unit if written is not None else None
        if unit is None and name.lower() in lineage.copies:
            for table, column in lineage.columns.get(name.lower(), ())[:1]:
                if table in sql.spec.tables and column in sql.spec.tables[table].columns:
                    unit = sql.spec.tables[table].columns[column].unit
        text = described.get(name, "")
        if unit is not None:
            text = text.removesuffix(f"[{unit}]").strip()
        found[name] = FeatureLabel(text.removesuffix(".") or name.replace("_", " "), None if unit == "1" else unit)
    return found
