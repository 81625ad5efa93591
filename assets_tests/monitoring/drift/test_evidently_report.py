import html
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import duckdb
import polars as pl
import pytest

from assets_tests.worlds.tables.batches import FEATURES, records
from clinical_assets.monitoring.drift.columns import DriftError, DriftTable
from clinical_assets.monitoring.drift.evidently_report import EvidentlyReport, write_evidently_report

COLUMNS = (*FEATURES, "empty", "risk")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EvidentlyReport]:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a connection was opened")

    empty = pl.lit(None, dtype=pl.Float64).alias("empty")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", refuse)
        patch.setattr(socket, "create_connection", refuse)
        yield write_evidently_report(
            records(900, seed=1).with_columns(empty),
            records(150, seed=2, shift=1.0).with_columns(empty),
            tmp_path_factory.mktemp("pages") / "new" / "evidently.html",
            columns=COLUMNS,
            title="ward <7>, batch 3",
            synthetic=True,
            rows=200,
        )


def test_the_page_says_what_it_rests_on_and_that_the_data_is_synthetic(report: EvidentlyReport) -> None:
    text = report.path.read_text(encoding="utf-8")
    assert (report.rows_reference, report.rows_batch, report.left_out) == (200, 150, ("empty",))
    assert report.size_bytes == report.path.stat().st_size
    assert "a sample of 150 of 150 records of the batch and 200 of 900 of the reference" in text
    assert "SYNTHETIC DATA" in text
    assert "ward &lt;7&gt;, batch 3" in text
    assert "Left out, without values in one sample: empty." in text
    assert [each.name for each in report.path.parent.iterdir()] == ["evidently.html"]


def test_the_page_fetches_nothing_and_its_policy_forbids_it(report: EvidentlyReport) -> None:
    text = report.path.read_text(encoding="utf-8")
    assert not re.findall(r'<(?:script|img|iframe)[^>]+src=["\']?(?!data:)', text)
    assert not re.findall(r'<link[^>]+href=["\']?(?!data:)', text)
    assert not re.findall(r"url\((?!data:)[\"']?https?:", text)
    policy = html.unescape(text[: text.index("<style")])
    assert "default-src 'none'" in policy
    assert "connect-src 'none'" in policy
    assert os.environ["DO_NOT_TRACK"] == "1"


def test_a_sample_is_the_same_from_a_frame_and_from_a_database_and_changes_with_the_seed() -> None:
    frame = records(5_000, seed=1)
    connection = duckdb.connect()
    connection.register("f", frame)
    connection.execute("CREATE TABLE t AS SELECT * FROM f")
    columns = ("risk", "ward")
    stored = DriftTable("t", connection=connection, what="batch").sample(columns, rows=100, seed=4)
    local = DriftTable(frame, connection=None, what="batch")
    assert stored.equals(local.sample(columns, rows=100, seed=4))
    assert stored.columns == list(columns)
    assert not stored.equals(local.sample(columns, rows=100, seed=5))
    assert local.sample(columns, rows=9_000, seed=4).equals(frame.select(columns))


def test_nothing_to_draw_is_an_error_before_anything_is_written(tmp_path: Path) -> None:
    frame = records(300, seed=1)
    path = tmp_path / "page.html"
    for batch, columns, said in (
        (frame.clear(), FEATURES, "the batch has no records"),
        (frame.with_columns(empty=pl.lit(None, dtype=pl.Float64)), ("empty",), "no column"),
    ):
        with pytest.raises(DriftError, match=said):
            write_evidently_report(frame, batch, path, columns=columns, title="x", synthetic=True)
    assert not list(tmp_path.iterdir())
