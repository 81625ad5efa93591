"""What ``source()`` stands for: a table as a model may see it.

A feature model sees a table as it was known when the prediction is made: columns whose role says that they are known
later (or not meant for use) do not exist for it, and neither do rows recorded after the index date plus the landmark.
Everything else sees the validated table as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.errors import SqlModelError
from clinical_assets.warehouse.sql.schema import BOOKKEEPING, ROW_NUMBER, table_types
from clinical_assets.warehouse.store.sql_text import quoted

_HIDDEN_ROLES = {
    "target": "its role is target: it is only known after the prediction",
    "outcome": "its role is outcome: it is only known after the prediction",
    "weight": "its role is weight: it says how much a record counts, and new records have none",
    "group": "its role is group: it says which records belong together, and a new one belongs to none that was seen",
    "ignored": "its role is ignored: the cohort's description keeps it out of features",
}


@dataclass(frozen=True)
class SourceView:
    """One table as a model sees it.

    Attributes
    ----------
    relation : str
        ``validated.<table>`` or a bookkeeping table.
    cte : str
        Name of the common table expression.
    sql : str
        Its SELECT.
    columns : tuple of str
        What it yields.
    hidden : dict
        Columns that exist in the table but not here, and why.
    """

    relation: str
    cte: str
    sql: str
    columns: tuple[str, ...]
    hidden: dict[str, str] = field(default_factory=dict)


def plain_view(spec: CohortSpec, table: str) -> SourceView:
    """The validated table as it is, row number included."""
    columns = tuple(table_types(spec, table))
    listed = ", ".join(quoted(name) for name in columns)
    return SourceView(
        relation=f"validated.{table}",
        cte=f"source__{table}",
        sql=f"SELECT {listed}\nFROM validated.{quoted(table)}",
        columns=columns,
    )


def bookkeeping_view(relation: str, *, absent: bool) -> SourceView:
    """A table about the records; an empty one of the same shape when it is not there yet."""
    namespace, table = relation.split(".")
    types = BOOKKEEPING[relation]
    if absent:
        nothing = ", ".join(f"CAST(NULL AS {kind}) AS {quoted(name)}" for name, kind in types.items())
        sql = f"SELECT {nothing}\nWHERE FALSE"
    else:
        sql = f"SELECT {', '.join(map(quoted, types))}\nFROM {quoted(namespace)}.{quoted(table)}"
    return SourceView(relation=relation, cte=f"book__{namespace}_{table}", sql=sql, columns=tuple(types))


def known_view(spec: CohortSpec, table: str) -> SourceView:
    """The table as it was known when the prediction is made.

    Rows of the subject table are the prediction units themselves and stay, unless that table says when a row was
    recorded. Rows of other tables are kept per unit: where one subject has several units, a row appears once for
    every unit that could have known it, with that unit's key columns.

    Raises
    ------
    SqlModelError
        When the description hides a key column, or counts days without saying from which unit's index date.
    """
    described = spec.tables[table]
    hidden = {
        name: f"validated.{table}.{name} exists, but {_HIDDEN_ROLES[role]}"
        for name, column in described.columns.items()
        for role in column.role
        if role in _HIDDEN_ROLES
    }
    for name in (*spec.key, spec.subject) if table == spec.subject_table else (spec.subject_of(table),):
        if name in hidden:
            raise SqlModelError(
                f"Cohort {spec.name}: {hidden[name]}, and it names the unit of prediction.",
                cure="Give the column the role identifier alone.",
            )
    columns = [name for name in described.columns if name not in hidden]
    hidden[ROW_NUMBER] = f"validated.{table}.{ROW_NUMBER} exists, but the order of records can give the outcome away"
    selected = [f"t.{quoted(name)}" for name in columns]
    lines = [f"FROM validated.{quoted(table)} AS t"]
    if spec.prediction.index_date is not None and described.recorded is not None:
        if table != spec.subject_table:
            shared = _shared_key(spec, table)
            added = [name for name in spec.key if name not in shared]
            clash = [name for name in added if name in described.columns]
            if clash:
                raise SqlModelError(
                    f"Cohort {spec.name}: validated.{table}.{clash[0]} is hidden but is a key column of the units."
                )
            columns += added
            selected += [f"u.{quoted(name)}" for name in added]
            pairs = " AND ".join(f"t.{quoted(there)} = u.{quoted(name)}" for name, there in shared.items())
            lines.append(f"JOIN validated.{quoted(spec.subject_table)} AS u ON {pairs}")
        lines.append(f"WHERE {_known_in_time(spec, table)}")
    return SourceView(
        relation=f"validated.{table}",
        cte=f"known__{table}",
        sql=f"SELECT {', '.join(selected)}\n" + "\n".join(lines),
        columns=tuple(columns),
        hidden=hidden,
    )


def _shared_key(spec: CohortSpec, table: str) -> dict[str, str]:
    """Columns that tie a row to its prediction unit: name in the subject table -> name in ``table``."""
    there = spec.tables[table].columns
    shared = {spec.subject: spec.subject_of(table)}
    shared |= {name: name for name in spec.key if name != spec.subject and name in there}
    return shared


def _known_in_time(spec: CohortSpec, table: str) -> str:
    described = spec.tables[table]
    recorded = described.recorded or ""
    days = spec.prediction.landmark_days
    kind = described.columns[recorded].type
    when = f"t.{quoted(recorded)}"
    start = f"{'t' if table == spec.subject_table else 'u'}.{quoted(spec.index_column or '')}"
    if spec.counts_days:
        # Day numbers of one clock, that of the index.
        return f"{when} <= {start} + {days}"
    if kind == "integer":
        missing = [name for name in spec.key if name not in _shared_key(spec, table)]
        if missing and table != spec.subject_table:
            raise SqlModelError(
                f"Cohort {spec.name}: {table}.{recorded} counts days, but a subject has several units and the table "
                f"does not say from which one's index date (it lacks {', '.join(missing)}).",
                cure="Add the key columns to the table, or record dates instead of day numbers.",
            )
        return f"{when} <= {days}"
    kinds = {kind, spec.subjects.columns[spec.index_column or ""].type}
    if kinds == {"datetime"}:
        return f"{when} <= {start} + INTERVAL {days} DAY"
    if kinds == {"date"}:
        return f"{when} <= {start} + {days}"
    # One side knows the day only, so no finer comparison than by day is possible.
    return f"CAST({when} AS DATE) <= CAST({start} AS DATE) + {days}"
