"""How long does one patient wait? Features by the bundle's own statement and the risk from its graph, one at a time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from clinical_assets.modelling.inputs import FloatArray
from clinical_assets.statistics.intervals import Estimate
from clinical_assets.warehouse.sql_schema import table_types
from clinical_assets.warehouse.sql_text import quoted

if TYPE_CHECKING:
    import duckdb

    from clinical_assets.governance.candidate import ReleaseCandidate

CALLS, WARM_UP, PATIENCE_S = 200, 20, 10.0


def measure_latency(candidate: ReleaseCandidate) -> tuple[Estimate, dict[str, float]]:
    """Milliseconds from the records of one patient to a risk, on one thread.

    Up to 200 calls after 20 that do not count, fewer when 10 seconds are over.

    Returns
    -------
    Estimate
        The 95th percentile of the calls with the interval of an order statistic, which takes no distribution for
        granted.
    dict
        ``median_ms``, ``features_median_ms`` and ``score_median_ms``.
    """
    from clinical_assets.warehouse.sql_schema import empty_database

    bundle = candidate.bundle
    with empty_database(candidate.spec) as connection:
        _put_one_patient(connection, candidate)
        statement = bundle.statement
        features, scores = [], []
        until = time.perf_counter() + PATIENCE_S
        for call in range(WARM_UP + CALLS):
            begun = time.perf_counter()
            row = connection.execute(statement).pl()
            made = time.perf_counter()
            bundle.score(row)
            done = time.perf_counter()
            if call >= WARM_UP:
                features.append(1000 * (made - begun))
                scores.append(1000 * (done - made))
                if done > until:
                    break
    total = np.asarray(features) + np.asarray(scores)
    medians = {
        "median_ms": float(np.median(total)),
        "features_median_ms": float(np.median(features)),
        "score_median_ms": float(np.median(scores)),
    }
    return percentile_of(total, 0.95), medians


def percentile_of(values: FloatArray, share: float) -> Estimate:
    """A percentile of values (n,) with its distribution-free 95 % interval; open above where n is too small for one.

    Source: Conover 1999, Practical Nonparametric Statistics, section 3.2 (binomial order statistics).
    """
    from scipy.stats import binom

    ordered, n = np.sort(values), values.size
    low = int(binom.ppf(0.025, n, share))
    high = int(binom.ppf(0.975, n, share))
    return Estimate(
        float(np.quantile(ordered, share)),
        float(ordered[max(low - 1, 0)]),
        float(ordered[high]) if high < n else float("inf"),
        n,
        n,
        f"{share:.0%} percentile, order statistics",
    )


def _put_one_patient(connection: duckdb.DuckDBPyConnection, candidate: ReleaseCandidate) -> None:
    """Copy the records of the subject with the smallest identifier that every table knows, if there is such a one."""
    spec = candidate.spec
    with candidate.warehouse.reader() as source:
        subject = f"SELECT {quoted(spec.subject_of(spec.subject_table))} FROM validated.{quoted(spec.subject_table)}"
        for name in spec.tables:
            if name != spec.subject_table:
                subject += f" INTERSECT SELECT {quoted(spec.subject_of(name))} FROM validated.{quoted(name)}"
        (one,) = source.execute(f"SELECT min(#1) FROM ({subject})").fetchone() or (None,)
        for name in spec.tables:
            columns = ", ".join(map(quoted, table_types(spec, name)))
            mine = quoted(spec.subject_of(name))
            wanted = "LIMIT 1" if one is None else f"WHERE {mine} = {_literal(one)}"
            rows = source.execute(f"SELECT {columns} FROM validated.{quoted(name)} {wanted}").pl()
            connection.register("_one", rows.to_arrow())
            connection.execute(f"INSERT INTO validated.{quoted(name)} BY NAME SELECT * FROM _one")
            connection.unregister("_one")


def _literal(value: str | int) -> str:
    from clinical_assets.warehouse.sql_text import literal

    return literal(value)
