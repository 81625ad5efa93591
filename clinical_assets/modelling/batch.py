"""Scores for many rows: the bundle's own statement in DuckDB, its ONNX graph over what comes out, chunk by chunk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from clinical_assets.modelling.bundle import Bundle

if TYPE_CHECKING:
    import duckdb
    import polars as pl

CHUNK_ROWS = 131_072


def score_rows(
    connection: duckdb.DuckDBPyConnection, bundle: Bundle, *, key: Sequence[str], chunk_rows: int = CHUNK_ROWS
) -> Iterator[pl.DataFrame]:
    """Score every prediction unit that the validated tables of a connection hold.

    Parameters
    ----------
    connection : DuckDBPyConnection
        Has a schema ``validated`` as the bundle's statement expects it.
    bundle : Bundle
        A verified bundle.
    key : sequence of str
        Columns that name a unit.
    chunk_rows : int
        Rows handled at once; bounds the memory.

    Yields
    ------
    polars.DataFrame
        Key columns and ``risk`` (two classes), or ``risk_<k>`` for each class.
    """
    import polars as pl

    reader = connection.execute(bundle.statement).to_arrow_reader(chunk_rows)
    for batch in reader:
        frame = pl.DataFrame(pl.from_arrow(batch))
        if frame.height == 0:
            continue
        risk = bundle.score(frame)
        if risk.ndim == 1:
            yield frame.select(*key, pl.Series("risk", risk))
        else:
            columns = [pl.Series(f"risk_{k}", np.ascontiguousarray(risk[:, k])) for k in range(risk.shape[1])]
            yield frame.select(*key, *columns)
