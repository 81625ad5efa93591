"""Columns for a comparison, one at a time: from a relation in DuckDB or from a polars frame.

What belongs here: reading one column's values or counts so that no more than that column is in memory. What does not:
comparing them (``features``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.foundation.types import FloatArray
from clinical_assets.warehouse.store.sql_text import literal, quoted

if TYPE_CHECKING:
    import duckdb
    import polars as pl

ColumnKind = Literal["number", "text"]
# A text with more different values than this is an identifier or prose, and drifts by nature.
MOST_CATEGORIES = 500
_NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "FLOAT", "DOUBLE", "DECIMAL", "BOOLEAN")


class DriftError(ClinicalAssetsError):
    """Data that cannot be compared: a column is absent, infinite or of a kind that has no distribution."""


@dataclass(frozen=True)
class Counted:
    """Records of a text column per category, of categories outside those asked for, and missing ones."""

    by_category: Mapping[str, int]
    unseen: int
    missing: int


class DriftTable:
    """A sample whose columns are read one by one.

    Parameters
    ----------
    data : str, polars.DataFrame or polars.LazyFrame
        A relation as SQL names it on ``connection`` (``batch``, ``reference."1f.."``, or a query in brackets, which is
        then run once for each column), or a frame. NULL and NaN are missing.
    connection : duckdb.DuckDBPyConnection, optional
    what : str
        How errors call it.

    Raises
    ------
    DriftError
        A relation without a connection.
    """

    def __init__(
        self,
        data: str | pl.DataFrame | pl.LazyFrame,
        *,
        connection: duckdb.DuckDBPyConnection | None,
        what: str,
    ) -> None:
        import polars as pl

        self.what = what
        self._relation: str | None = None
        self._frame: pl.LazyFrame | None = None
        if isinstance(data, str):
            if connection is None:
                raise DriftError(
                    f"the {what} {data} is the name of a relation, without a connection to find it on.",
                    cure="Pass `connection`, or a polars frame.",
                )
            self._connection = connection
            self._relation = data
            columns = connection.execute(f"SELECT * FROM {data} LIMIT 0").description
            self._types = {str(column[0]): str(column[1]) for column in columns}
            self.rows = self._number(f"SELECT count(*) FROM {data}")
        else:
            self._frame = data.lazy()
            self._schema = self._frame.collect_schema()
            self._types = {name: str(kind) for name, kind in self._schema.items()}
            self.rows = int(self._frame.select(pl.len()).collect().item())

    def kind(self, name: str) -> ColumnKind:
        """Whether a column is a number (or boolean) or text. Raises DriftError for others, and for absent ones."""
        if name not in self._types:
            raise DriftError(
                f"the {self.what} has no column {name!r}.",
                cure="Make both samples with the feature statement of the same bundle.",
            )
        if self._frame is not None:
            import polars as pl

            kind = self._schema[name]
            number = kind.is_numeric() or kind in (pl.Boolean, pl.Null)
            text = kind in (pl.String, pl.Categorical, pl.Enum)
        else:
            kind_name = self._types[name].upper()
            number = kind_name.removeprefix("U").startswith(_NUMBERS)
            text = kind_name.startswith(("VARCHAR", "ENUM"))
        if not (number or text):
            raise DriftError(
                f"column {name!r} of the {self.what} is of type {self._types[name]}, which is neither number nor text.",
                cure="Derive a number from it, such as days since the index date.",
            )
        return "number" if number else "text"

    def numbers(self, name: str) -> FloatArray:
        """The values of a column that are present, ascending."""
        import polars as pl

        if self._frame is not None:
            column = self._frame.select(pl.col(name).cast(pl.Float64)).collect().to_series()
            values = column.fill_nan(None).drop_nulls()
        else:
            value = f"CAST({quoted(name)} AS DOUBLE)"
            present = f"{quoted(name)} IS NOT NULL AND NOT isnan({value})"
            fetched = self._connection.execute(
                f"SELECT {value} AS v FROM {self._relation} WHERE {present}"
            ).fetchnumpy()
            values = pl.Series(fetched.pop("v"), dtype=pl.Float64)
        # polars sorts floats twice as fast as numpy.
        return values.sort().to_numpy()

    def counts(self, name: str, *, known: Sequence[str] | None = None) -> Counted:
        """Records per category of a text column; with ``known``, all others count as unseen.

        Raises
        ------
        DriftError
            Without ``known``: more than 500 categories.
        """
        pairs = self._frame_counts(name, known) if self._frame is not None else self._relation_counts(name, known)
        by_category = {str(category): count for category, count in pairs if category is not None}
        if known is None and len(by_category) > MOST_CATEGORIES:
            raise DriftError(
                f"column {name!r} of the {self.what} has more than {MOST_CATEGORIES} different texts.",
                cure="Leave it out, or group its values into categories.",
            )
        missing = next((count for category, count in pairs if category is None), 0)
        return Counted(by_category, self.rows - missing - sum(by_category.values()), missing)

    def sample(self, columns: Sequence[str], *, rows: int, seed: int) -> pl.DataFrame:
        """At most ``rows`` records, drawn without replacement, in their order; the same data and seed give the same."""
        import numpy as np
        import polars as pl

        for name in columns:
            self.kind(name)
        drawn = np.arange(self.rows)
        if self.rows > rows:
            drawn = np.sort(np.random.default_rng(seed).choice(self.rows, size=rows, replace=False))
        if self._frame is not None:
            indexed = self._frame.select(*columns).with_row_index("_place")
            kept = indexed.filter(pl.col("_place").is_in(drawn.tolist()))
            return kept.drop("_place").collect()
        if not drawn.size:
            return self._connection.execute(self._select(columns, "FALSE")).pl()
        # Row numbers without an order stream past, so that nothing but the drawn records is held.
        return self._connection.execute(self._select(columns, f"_place IN {literal((drawn + 1).tolist())}")).pl()

    def _select(self, columns: Sequence[str], condition: str) -> str:
        names = ", ".join(quoted(name) for name in columns)
        numbered = f"SELECT {names}, row_number() OVER () AS _place FROM {self._relation}"
        return f"SELECT {names} FROM ({numbered}) WHERE {condition} ORDER BY _place"

    def _frame_counts(self, name: str, known: Sequence[str] | None) -> list[tuple[str | None, int]]:
        import polars as pl

        assert self._frame is not None
        column = self._frame.select(pl.col(name).cast(pl.String))
        if known is not None:
            column = column.filter(pl.col(name).is_in(list(known)) | pl.col(name).is_null())
        counted = column.group_by(name).agg(pl.len().alias("_records")).head(MOST_CATEGORIES + 2).collect()
        return [(category, int(count)) for category, count in counted.iter_rows()]

    def _relation_counts(self, name: str, known: Sequence[str] | None) -> list[tuple[str | None, int]]:
        value = f"CAST({quoted(name)} AS VARCHAR)"
        kept = ""
        if known is not None:
            among = f" OR {value} IN {literal(list(known))}" if known else ""
            kept = f" WHERE {quoted(name)} IS NULL{among}"
        return self._connection.execute(
            f"SELECT {value}, count(*) FROM {self._relation}{kept} GROUP BY ALL LIMIT {MOST_CATEGORIES + 2}"
        ).fetchall()

    def _number(self, statement: str) -> int:
        row = self._connection.execute(statement).fetchone()
        assert row is not None
        return int(row[0])
