"""Parquet: types as found, rows numbered by the files themselves, damage named."""

from __future__ import annotations

import datetime
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from assets_tests.sources.conftest import Load
from clinical_assets.foundation.errors import SourceError


def test_types_and_values_are_as_found(load: Load, tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "id": [1, 2, 3],
            "weight kg": [70.5, None, 80.0],
            "day": [datetime.date(2020, 1, 1), None, datetime.date(2020, 2, 1)],
            "is_ill": [True, False, None],
        }
    )
    frame.write_parquet(tmp_path / "x.parquet")
    loaded = load(path="x.parquet")
    assert loaded.columns == frame.columns
    assert loaded.types == ["BIGINT", "DOUBLE", "DATE", "BOOLEAN"]
    assert loaded.rows == frame.rows()
    assert loaded.numbers == [1, 2, 3]


def test_numbers_go_on_over_files_in_the_order_of_their_names(load: Load, tmp_path: Path) -> None:
    for name, start, rows in (("b", 300_000, 150_000), ("a", 0, 300_000), ("c", 450_000, 3)):
        (tmp_path / f"part={name}").mkdir()
        pl.DataFrame({"id": range(start, start + rows)}).write_parquet(
            tmp_path / f"part={name}" / "x.parquet", row_group_size=50_000
        )
    loaded = load(path="part=*/x.parquet")
    assert loaded.columns == ["id"]
    assert [row[0] for row in loaded.rows] == list(range(450_003))
    assert loaded.numbers == list(range(1, 450_004))


def test_a_column_called_like_duckdbs_own_row_number_does_not_renumber(load: Load, tmp_path: Path) -> None:
    frame = pl.DataFrame({"file_row_number": [7, 7, 7], "file_index": [9, 9, 9]})
    frame.write_parquet(tmp_path / "x.parquet")
    loaded = load(path="x.parquet")
    assert (loaded.numbers, loaded.rows) == ([1, 2, 3], frame.rows())


def test_doubled_and_reserved_names_are_refused(load: Load, tmp_path: Path) -> None:
    table = pa.table([pa.array([1]), pa.array([2])], names=["age", "AGE"])
    pq.write_table(table, tmp_path / "x.parquet")
    with pytest.raises(SourceError, match="columns 1 and 2 are both called 'age' and 'AGE'"):
        load(path="x.parquet")
    pq.write_table(table.rename_columns(["id", "_row"]), tmp_path / "x.parquet")
    with pytest.raises(SourceError, match="reserved"):
        load(path="x.parquet")


def test_files_with_other_columns_or_types_are_refused(load: Load, tmp_path: Path) -> None:
    pl.DataFrame({"id": [1], "age": [50]}).write_parquet(tmp_path / "p1.parquet")
    for other in (pl.DataFrame({"id": [1], "age": ["50"]}), pl.DataFrame({"id": [1]})):
        other.write_parquet(tmp_path / "p2.parquet")
        with pytest.raises(SourceError, match=r"p2\.parquet has other columns than p1\.parquet: see 'age'"):
            load(path="p*.parquet")


@pytest.mark.parametrize("keep", [0, 3, 100, -20])
def test_a_cut_off_file_is_refused_by_name(load: Load, tmp_path: Path, keep: int) -> None:
    pl.DataFrame({"id": range(1000)}).write_parquet(tmp_path / "whole.parquet")
    with pytest.raises(SourceError, match=r"x\.parquet .* is no whole Parquet file") as caught:
        load(path="x.parquet", content=(tmp_path / "whole.parquet").read_bytes()[:keep])
    assert str(tmp_path) not in caught.value.message


def test_an_empty_table_gives_no_rows(load: Load, tmp_path: Path) -> None:
    pl.DataFrame({"id": pl.Series([], dtype=pl.Int64)}).write_parquet(tmp_path / "x.parquet")
    assert load(path="x.parquet").rows == []
