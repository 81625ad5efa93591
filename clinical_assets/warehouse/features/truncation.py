"""Whether features stay as they are when everything after the prediction is deleted.

What belongs here: a copy of the validated tables that ends at each unit's prediction, the feature statement over that
copy, and the comparison. The guard hides later rows from a statement; here they do not exist, by a rule of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.warehouse.features.feature_checks import FEATURES
from clinical_assets.warehouse.sql.guard.confined import write_result
from clinical_assets.warehouse.sql.guard.views import known_view
from clinical_assets.warehouse.sql.model import CompiledModel
from clinical_assets.warehouse.sql.schema import create_validated_tables, table_types
from clinical_assets.warehouse.store.sql_text import quoted

if TYPE_CHECKING:
    import duckdb

#: Persons whose units are compared, chosen by a hash; all where there are fewer.
PERSONS = 20_000
#: Differences of rounding are none: sums of the same numbers in another order.
_TOLERANCE = 1e-9


@dataclass(frozen=True)
class TruncationResult:
    """What deleting the future did to the features.

    Attributes
    ----------
    units : int
        Prediction units that were compared; 0 where the tables hold one moment only.
    removed : mapping
        Table to the number of rows that were deleted because they came later.
    undated : tuple of str
        Tables whose rows have no time: what they hold is taken to have been known.
    changed : mapping
        Feature to the number of units whose value changed.
    lost : int
        Units that yield no row any more.
    """

    units: int
    removed: Mapping[str, int]
    undated: tuple[str, ...]
    changed: Mapping[str, int]
    lost: int


def truncation_invariance(
    connection: duckdb.DuckDBPyConnection, spec: CohortSpec, compiled: CompiledModel, *, persons: int = PERSONS
) -> TruncationResult:
    """Compute the features of units from tables that end at their prediction, and compare.

    Where a person has several units, the first and the last one are compared, each with the tables as they were then:
    later units of the same person are deleted too. Columns that only the future fills (roles ``outcome``, ``target``,
    ``weight``) and those that features may not read (``ignored``) are emptied.

    Parameters
    ----------
    connection : DuckDBPyConnection
        Has ``validated.*`` and the features of all units as ``model.features``.
    spec : CohortSpec
        The cohort.
    compiled : CompiledModel
        The feature statement.
    persons : int
        At most so many persons.

    Raises
    ------
    SqlModelError
        The statement cannot run on the tables as they were known.
    """
    undated = tuple(
        name for name, table in spec.tables.items() if table.recorded is None and name != spec.subject_table
    )
    if spec.index_column is None:
        return TruncationResult(0, {}, undated, {}, 0)
    several = spec.key != (spec.subject_of(spec.subject_table),)
    results = [_compared(connection, spec, compiled, persons, order) for order in (("", " DESC") if several else ("",))]
    names = {name for each in results for name in each.changed}
    return TruncationResult(
        units=sum(each.units for each in results),
        removed={name: max(each.removed[name] for each in results) for name in results[0].removed},
        undated=undated,
        changed={name: sum(each.changed.get(name, 0) for each in results) for name in sorted(names)},
        lost=sum(each.lost for each in results),
    )


def _compared(
    connection: duckdb.DuckDBPyConnection, spec: CohortSpec, compiled: CompiledModel, persons: int, order: str
) -> TruncationResult:
    import duckdb

    key = ", ".join(map(quoted, spec.key))
    subject, index = quoted(spec.subject_of(spec.subject_table)), quoted(spec.index_column or "")
    ordered = ", ".join(f"{quoted(name)}{order}" for name in spec.key)
    # A person's only unit is the first one already.
    more = f" AND count(*) OVER (PARTITION BY {subject}) > 1" if order else ""
    units = (
        f"SELECT {key}, {subject} AS _person, {index} AS _index FROM validated.{quoted(spec.subject_table)} "
        f"QUALIFY row_number() OVER (PARTITION BY {subject} ORDER BY {index}{order}, {ordered}) = 1{more} "
        f"ORDER BY md5(CAST({subject} AS VARCHAR)) LIMIT {int(persons)}"
    )
    removed: dict[str, int] = {}
    config: dict[str, str | bool | int | float | list[str]] = {"threads": "1", "enable_external_access": "false"}
    with duckdb.connect(config=config) as past:
        create_validated_tables(past, spec)
        past.execute("CREATE SCHEMA model")
        for table in spec.tables:
            described = ", ".join(map(quoted, table_types(spec, table)))
            known = set(known_view(spec, table).columns)
            kept = ", ".join(
                f"t.{quoted(name)}" if name in known else f"NULL AS {quoted(name)}" for name in table_types(spec, table)
            )
            joined = (
                f"FROM validated.{quoted(table)} AS t JOIN ({units}) AS u "
                f"ON t.{quoted(spec.subject_of(table))} = u._person"
            )
            late = _is_late(spec, table)
            counted = connection.execute(f"SELECT count(*) {joined} WHERE {late}").fetchone()
            removed[table] = counted[0] if counted else 0
            rows = connection.execute(f"SELECT {kept} {joined} WHERE NOT ({late})").to_arrow_table()
            past.register("incoming", rows)
            past.execute(f"INSERT INTO validated.{quoted(table)} SELECT {described} FROM incoming")
            past.unregister("incoming")
        features = connection.execute(
            f"SELECT f.* FROM {FEATURES} AS f JOIN ({units}) AS u USING ({key})"
        ).to_arrow_table()
        names = [name for name in features.column_names if name not in spec.key]
        listed = [*map(quoted, spec.key), *(f"CAST({quoted(name)} AS DOUBLE) AS {quoted(name)}" for name in names)]
        write_result(past, FEATURES, compiled, columns=listed)
        past.register("expected", features)
        return _differences(past, spec, names, removed)


def _differences(
    past: duckdb.DuckDBPyConnection, spec: CohortSpec, names: list[str], removed: dict[str, int]
) -> TruncationResult:
    first = quoted(spec.key[0])
    key = ", ".join(map(quoted, spec.key))
    counts = ", ".join(
        f"count(*) FILTER (WHERE f.{first} IS NOT NULL AND ({_differs(name)})) AS {quoted(name)}" for name in names
    )
    row = past.execute(
        f"SELECT count(*), count(*) FILTER (WHERE f.{first} IS NULL), {counts} "
        f"FROM expected AS e LEFT JOIN {FEATURES} AS f USING ({key})"
    ).fetchone()
    units, lost, *differing = row or (0, 0)
    changed = {name: count for name, count in zip(names, differing, strict=True) if count}
    return TruncationResult(units, removed, (), changed, lost)


def _differs(name: str) -> str:
    then, now = f"f.{quoted(name)}", f"e.{quoted(name)}"
    apart = f"abs({then} - {now}) > {_TOLERANCE} * greatest(1, abs({then}), abs({now}))"
    return f"({then} IS NULL) <> ({now} IS NULL) OR coalesce({apart}, FALSE)"


def _is_late(spec: CohortSpec, table: str) -> str:
    """Condition on a row ``t`` and its person's unit ``u``: it came after the prediction, or nobody knows when."""
    described, columns = spec.tables[table], spec.tables[table].columns
    days = spec.prediction.landmark_days
    if table == spec.subject_table and described.recorded is None:
        # Another unit of the same person is later when its index is; a unit without an index has no past but itself.
        itself = " AND ".join(f"t.{quoted(name)} = u.{quoted(name)}" for name in spec.key)
        return f"NOT ({itself}) AND NOT coalesce(t.{quoted(spec.index_column or '')} <= u._index, FALSE)"
    if described.recorded is None:
        return "FALSE"
    when = f"t.{quoted(described.recorded)}"
    kinds = (columns[described.recorded].type, spec.subjects.columns[spec.index_column or ""].type)
    if spec.counts_days:
        last = f"u._index + {days}"
    elif kinds[0] == "integer":
        last = f"{days}"
    elif kinds == ("datetime", "datetime"):
        last = f"u._index + INTERVAL {days} DAY"
    else:
        # What is known by day was known until that day's last microsecond.
        when = f"CAST({when} AS TIMESTAMP)"
        last = f"date_trunc('day', CAST(u._index AS TIMESTAMP)) + INTERVAL {days + 1} DAY - INTERVAL 1 MICROSECOND"
    return f"NOT coalesce({when} <= {last}, FALSE)"
