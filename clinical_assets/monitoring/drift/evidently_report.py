"""Evidently's drift report as one HTML file, for people who want pictures.

What belongs here: drawing the sample, running the preset, and a page that says what it rests on and asks nobody for
anything. What does not: deciding about drift; that rests on all records (``drift``).

Evidently needs minutes and gigabytes for a million rows, so it is given a bounded sample. Its server sends usage data,
its report does not; the switch for it is set all the same.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from clinical_assets.foundation.atomic_files import write_whole
from clinical_assets.monitoring.drift.columns import DriftError, DriftTable
from clinical_assets.reporting.pages import render_part

if TYPE_CHECKING:
    import duckdb
    import pandas as pd
    import polars as pl

# A browser that opens the page contacts nobody, whatever the scripts in it would like.
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval' data: blob:; style-src 'unsafe-inline'; "
    "img-src data: blob:; font-src data:; worker-src blob:; connect-src 'none'; form-action 'none'; base-uri 'none'"
)


@dataclass(frozen=True)
class EvidentlyReport:
    """Where the page lies and what it rests on.

    Attributes
    ----------
    path : Path
    size_bytes : int
    rows_reference, rows_batch : int
        Records in the samples.
    left_out : tuple of str
        Columns without a value in one of the samples, which Evidently refuses.
    """

    path: Path
    size_bytes: int
    rows_reference: int
    rows_batch: int
    left_out: tuple[str, ...]


def write_evidently_report(
    reference: str | pl.DataFrame | pl.LazyFrame,
    batch: str | pl.DataFrame | pl.LazyFrame,
    path: Path,
    *,
    columns: Sequence[str],
    title: str,
    synthetic: bool,
    connection: duckdb.DuckDBPyConnection | None = None,
    rows: int = 2_000,
    seed: int = 0,
) -> EvidentlyReport:
    """Write Evidently's ``DataDriftPreset`` of a sample of both sides as one HTML file of about 5 MB.

    Parameters
    ----------
    reference, batch, connection
        As `drift.drift_report` takes them.
    path : Path
        The file, which appears whole or not at all; its folder is made.
    columns : sequence of str
        Features and the predicted risk. No others: what is not named is not in the page.
    title : str
        Cohort and batch, for the heading.
    synthetic : bool
        Whether the data is; the page then says so on top.
    rows : int
        Largest number of records drawn from each side.
    seed : int
        Of the draw of records.

    Raises
    ------
    DriftError
        A column is absent or neither number nor text; no record on one side; no column with values on both.
    """
    tables = (
        DriftTable(reference, connection=connection, what="reference"),
        DriftTable(batch, connection=connection, what="batch"),
    )
    for table in tables:
        if not table.rows:
            raise DriftError(f"the {table.what} has no records to draw.", cure="Wait for a batch with records.")
    samples = [table.sample(columns, rows=rows, seed=seed) for table in tables]
    text = [name for name in columns if "text" in {table.kind(name) for table in tables}]
    then, now = (_to_pandas(sample, text) for sample in samples)
    left_out = tuple(name for name in columns if then[name].isna().all() or now[name].isna().all())
    kept = [name for name in columns if name not in left_out]
    if not kept:
        raise DriftError(
            "no column has values in both samples.", cure="Look at the missing shares of the drift report."
        )
    html = _render(
        then[kept], now[kept], numbers=[n for n in kept if n not in text], text=[n for n in kept if n in text]
    )
    note = render_part(
        "evidently/note.html.j2",
        title=title,
        synthetic=synthetic,
        drawn=[sample.height for sample in samples],
        rows=[table.rows for table in tables],
        left_out=left_out,
        seed=seed,
    )
    head = render_part("evidently/head.html.j2", title=title, synthetic=synthetic, page_policy=_POLICY)
    page = write_whole(path, _labelled(html, {"<head>": head, "<body>": note}))
    return EvidentlyReport(page, page.stat().st_size, samples[0].height, samples[1].height, left_out)


def _to_pandas(sample: pl.DataFrame, text: Sequence[str]) -> pd.DataFrame:
    import pandas as pd
    import polars as pl

    # Through lists and arrays: the sample is small, and pyarrow's own conversion would keep nullable types.
    return pd.DataFrame(
        {
            name: sample[name].cast(pl.String).to_list()
            if name in text
            else sample[name].cast(pl.Float64).fill_null(float("nan")).to_numpy()
            for name in sample.columns
        }
    )


def _render(reference: pd.DataFrame, batch: pd.DataFrame, *, numbers: Sequence[str], text: Sequence[str]) -> str:
    # Before the import: afterwards it is read no more.
    os.environ["DO_NOT_TRACK"] = "1"
    import numpy as np
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    definition = DataDefinition(numerical_columns=list(numbers), categorical_columns=list(text))
    current, past = (Dataset.from_pandas(frame, data_definition=definition) for frame in (batch, reference))
    # Columns of one value make Evidently divide nothing by nothing in a statistic that it does not show.
    with np.errstate(divide="ignore", invalid="ignore"):
        return str(Report([DataDriftPreset()]).run(current, past).get_html_str(as_iframe=False))


def _labelled(html: str, parts: Mapping[str, str]) -> str:
    for tag, addition in parts.items():
        if html.count(tag) < 1:
            raise DriftError(
                f"Evidently's page has no {tag}, so it cannot be labelled.", cure="Use the locked version of evidently."
            )
        html = html.replace(tag, tag + addition, 1)
    return html
