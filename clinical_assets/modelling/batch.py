"""Scores for many rows: the bundle's own statement in DuckDB, its ONNX graph over what comes out, chunk by chunk."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from clinical_assets.modelling.bundle import Bundle

if TYPE_CHECKING:
    import duckdb
    import polars as pl

CHUNK_ROWS = 65_536


def score_rows(
    connection: duckdb.DuckDBPyConnection,
    bundle: Bundle,
    *,
    key: Sequence[str],
    chunk_rows: int = CHUNK_ROWS,
    workers: int | None = None,
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
    workers : int, optional
        Chunks scored side by side, each in one thread; default one a core.

    Yields
    ------
    polars.DataFrame
        Key columns and ``risk`` (two classes), or ``risk_<k>`` for each class.
    """
    import polars as pl

    workers = workers or os.cpu_count() or 1
    bundle.score(np.empty((0, len(bundle.feature_columns))))  # opens the session once, before threads share it
    reader = connection.execute(bundle.statement).to_arrow_reader(chunk_rows)
    frames = (pl.DataFrame(pl.from_arrow(batch)) for batch in reader if batch.num_rows)
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[Future[pl.DataFrame]] = deque()
        for frame in frames:
            waiting.append(pool.submit(_scored, bundle, frame, tuple(key)))
            # A bounded queue bounds the memory; the oldest chunk comes first, so rows keep their order.
            if len(waiting) > workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _scored(bundle: Bundle, frame: pl.DataFrame, key: tuple[str, ...]) -> pl.DataFrame:
    import polars as pl

    risk = bundle.score(frame)
    if risk.ndim == 1:
        return frame.select(*key, pl.Series("risk", risk))
    columns = [pl.Series(f"risk_{k}", np.ascontiguousarray(risk[:, k])) for k in range(risk.shape[1])]
    return frame.select(*key, *columns)
