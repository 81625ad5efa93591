"""Records that are held in memory, scored as a batch is: one patient at a time, or a few, within a few milliseconds.

What belongs here: keeping the bundle's statement planned and warm for few rows. What does not: batches
(``batch_scoring``), whose decisions this shares.

Planning a statement takes longer than running it over one patient, so it is planned once per connection, over empty
tables. DuckDB draws conclusions from what a table holds when it plans (a filter that nothing can pass is a plan of
nothing), so the two optimisers that do so are off here, and now and then a plan made afresh is the witness.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count
from typing import TYPE_CHECKING, Any

import numpy as np

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.types import FloatArray
from clinical_assets.modelling.bundle.batch_scoring import RowDecisions, decisions_of, insert_arrow, with_scores
from clinical_assets.modelling.bundle.bundle import Bundle
from clinical_assets.modelling.bundle.bundle_files import BundleError
from clinical_assets.modelling.bundle.contributions import Explanation
from clinical_assets.warehouse.sql.schema import empty_database, table_types
from clinical_assets.warehouse.store.sql_text import quoted

if TYPE_CHECKING:
    import duckdb
    import polars as pl

_OFF = "statistics_propagation,compressed_materialization"
WITNESSED_CALLS = 256
#: Rows inserted by one statement of values; more go by Arrow, which costs more to begin with.
_ROWS_BY_VALUES = 32
#: Types whose Python value is the number that the model reads, to the last bit; others are read through a frame.
_EXACT = frozenset({
    "BOOLEAN", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "FLOAT", "DOUBLE",
})  # fmt: skip


@dataclass(frozen=True)
class TableRows:
    """Validated rows of one table as plain values.

    Attributes
    ----------
    columns : tuple of str
        Their names.
    rows : sequence of tuple
        Values in that order; None is missing.
    """

    columns: tuple[str, ...]
    rows: Sequence[tuple[Any, ...]]


@dataclass(frozen=True)
class ScoredUnits:
    """Scores of records, unit by unit.

    Attributes
    ----------
    keys : list of tuple
        Key of each unit.
    X : array of shape (n, p)
        Features in the order of the model; NaN is missing.
    decisions : RowDecisions
        Risk, alert, tier, and class of more than two.
    explanation : Explanation
        Contributions.
    """

    keys: list[tuple[Any, ...]]
    X: FloatArray
    decisions: RowDecisions
    explanation: Explanation


@dataclass(frozen=True)
class ScoredRecords:
    """Scores of records held in memory.

    Attributes
    ----------
    frame : polars.DataFrame
        One row per prediction unit: what the statement yields (key and features), ``risk`` of class ``action_from`` or
        a more severe one, ``is_alert``, ``tier``, and what else ``batch_scoring.with_scores`` adds.
    explanation : Explanation
        Contributions in the order of the rows.
    """

    frame: pl.DataFrame
    explanation: Explanation


class RecordScorer:
    """Scores records that are held in memory: one patient at a time, or a few.

    It is made once per process and may be used from several threads. Records of one call are seen by no other.

    Parameters
    ----------
    spec : CohortSpec
        The cohort's description.
    bundle : Bundle
        A verified bundle of the cohort.
    witnessed_calls : int
        Every so manieth call, a plan made afresh must yield the same rows.
    """

    def __init__(self, spec: CohortSpec, bundle: Bundle, *, witnessed_calls: int = WITNESSED_CALLS) -> None:
        self.spec = spec
        self._witnessed_calls = witnessed_calls
        self.bundle = bundle
        self._statement = bundle.statement
        self._database = empty_database(spec)
        self._database.execute(f"SET disabled_optimizers = '{_OFF}'")
        described = self._database.execute(f"DESCRIBE SELECT * FROM (\n{self._statement}\n)").fetchall()
        types = {str(row[0]): str(row[1]) for row in described}
        columns = list(types)
        self._exact = all(types.get(name) in _EXACT for name in bundle.feature_columns)
        self._features = [columns.index(name) for name in bundle.feature_columns] if self._exact else []
        self._key = [columns.index(name) for name in spec.key]
        self._idle: list[_Connection] = []
        self._calls = count(1)

    def __enter__(self) -> RecordScorer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the memory back."""
        self._database.close()

    def features(self, records: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
        """What the bundle's statement yields for these records.

        Parameters
        ----------
        records : mapping of table name to polars.DataFrame
            Validated records. A column that is left out is missing in every row, a table that is left out is empty.

        Raises
        ------
        duckdb.Error
            The description has no such table or column, or a value is of another type.
        """
        with self._lent() as connection:
            for name, rows in records.items():
                insert_arrow(connection.cursor, name, rows.to_arrow())
            return connection.run().pl()

    def score(self, records: Mapping[str, pl.DataFrame]) -> ScoredRecords:
        """Features, risk, alert, tier and contributions; records and errors as `features`."""
        frame = with_scores(self.bundle, self.features(records))
        return ScoredRecords(frame, self.bundle.explain(frame))

    def score_rows(self, records: Mapping[str, TableRows]) -> ScoredUnits:
        """The same for rows of plain values, without a frame on the way; errors as `features`, and of the bundle."""
        with self._lent() as connection:
            for name, rows in records.items():
                connection.insert(name, rows)
            X, keys = self._read(connection)
        served = self.bundle.score(X)
        explained = self.bundle.explain(X, served=served)
        return ScoredUnits(keys, X, decisions_of(self.bundle, X, served), explained)

    def _read(self, connection: _Connection) -> tuple[FloatArray, list[tuple[Any, ...]]]:
        if not self._exact:
            frame = connection.run().pl()
            keys = list(zip(*(frame[name].to_list() for name in self.spec.key), strict=True))
            return self.bundle.matrix(frame), keys
        rows = connection.run().fetchall()
        if next(self._calls) % self._witnessed_calls == 0:
            self._require_witness(connection, rows)
        X = np.array([[row[place] for place in self._features] for row in rows], dtype=np.float64)
        return X.reshape(len(rows), len(self._features)), [tuple(row[place] for place in self._key) for row in rows]

    def _require_witness(self, connection: _Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        again = connection.cursor.execute(self._statement).fetchall()
        if sorted(map(repr, rows)) != sorted(map(repr, again)):
            raise BundleError(
                f"{self.bundle.cohort}: the statement, planned ahead and planned now, yields different features.",
                cure="Report it with features.sql; batch scoring plans each statement anew.",
            )

    @contextlib.contextmanager
    def _lent(self) -> Iterator[_Connection]:
        """A connection of one's own, in a transaction that is undone; after an error it is not used again."""
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = _Connection(self.spec, self._database.cursor(), self._statement)
        try:
            connection.cursor.begin()
            yield connection
            connection.cursor.rollback()
        except BaseException:
            connection.cursor.close()
            raise
        self._idle.append(connection)


class _Connection:
    """A connection with the statement planned and the ways to insert rows parsed."""

    def __init__(self, spec: CohortSpec, cursor: duckdb.DuckDBPyConnection, statement: str) -> None:
        self.cursor = cursor
        self._spec = spec
        self._inserts: dict[tuple[str, tuple[str, ...], int], Any] = {}
        cursor.execute(f"PREPARE unit_features AS {statement}")

    def run(self) -> duckdb.DuckDBPyConnection:
        """The statement over what was inserted."""
        return self.cursor.execute("EXECUTE unit_features")

    def insert(self, table: str, rows: TableRows) -> None:
        """Insert plain values; they are of the table's types."""
        if not rows.rows:
            return
        if len(rows.rows) > _ROWS_BY_VALUES:
            insert_arrow(self.cursor, table, _arrow(self._spec, table, rows))
            return
        # Powers of two, so that few statements are kept.
        for start, size in _parts(len(rows.rows)):
            part = rows.rows[start : start + size]
            self.cursor.execute(self._insert(table, rows.columns, size), list(chain.from_iterable(part)))

    def _insert(self, table: str, columns: tuple[str, ...], size: int) -> Any:
        known = self._inserts.get((table, columns, size))
        if known is None:
            types = table_types(self._spec, table)
            one = "(" + ", ".join(f"?::{types[name]}" for name in columns) + ")"
            named = ", ".join(map(quoted, columns))
            text = f"INSERT INTO validated.{quoted(table)} ({named}) VALUES {', '.join([one] * size)}"
            (known,) = self.cursor.extract_statements(text)
            self._inserts[table, columns, size] = known
        return known


def _parts(number: int) -> Iterator[tuple[int, int]]:
    start = 0
    while start < number:
        size = 1 << ((number - start).bit_length() - 1)
        yield start, size
        start += size


def _arrow(spec: CohortSpec, table: str, rows: TableRows) -> Any:
    import polars as pl

    from clinical_assets.warehouse.validation.conversions import described_type

    described = spec.tables[table].columns
    types = {name: described_type(described[name]) if name in described else pl.Int64() for name in rows.columns}
    return pl.DataFrame(rows.rows, schema=types, orient="row").to_arrow()
