"""Objects of R's files come out with R's missing values as null, and what is damaged or absent is named."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from assets_tests.worlds.tables.debian import lazy_load, rda
from clinical_assets.foundation.errors import SourceError
from clinical_assets.sources.r_packages.r_objects import read_frame, read_objects

rdata = pytest.importorskip("rdata")

FRAME = pd.DataFrame(
    {
        "age": [61.5, float("nan"), 70.0],
        "status": pd.array([1, None, 0], dtype="Int32"),
        "days": ["12", None, "NA"],
        "stage": pd.Categorical(["I", "II", "II"]),  # rdata cannot write a factor with a missing value
        "alive": pd.array([True, False, None], dtype="boolean"),
    }
)
READ = pl.DataFrame(
    {
        "age": [61.5, None, 70.0],
        "status": pl.Series([1, None, 0], dtype=pl.Int32),
        "days": ["12", None, "NA"],
        "stage": ["I", "II", "II"],
        "alive": [True, False, None],
    }
)
RDB, RDX = "data/Rdata.rdb", "data/Rdata.rdx"


def test_a_frame_of_a_data_file_keeps_values_types_and_what_is_missing(tmp_path: Path) -> None:
    content = rda(tmp_path, {"other": [1.0], "cases": FRAME})
    assert_frame_equal(read_frame("data/x.rda", {"data/x.rda": content}, "cases"), READ)
    assert set(read_objects("x.rda", content)) == {"other", "cases"}


def test_a_frame_of_a_lazy_load_database_is_the_same(tmp_path: Path) -> None:
    database, index = lazy_load(tmp_path, {"other": FRAME.head(1), "cases": FRAME})
    assert_frame_equal(read_frame(RDB, {RDB: database, RDX: index}, "cases"), READ)


@pytest.mark.parametrize(
    "pack",
    [
        lambda plain: b"0" + plain,
        lambda plain: b"1" + zlib.compress(plain),
        lambda plain: b"2" + bz2.compress(plain),
        lambda plain: (
            b"Z" + lzma.compress(plain, format=lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA2, "preset": 6}])
        ),
    ],
    ids=["plain", "zlib", "bzip2", "xz"],
)
def test_every_compression_of_lazy_load_databases_is_read(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    import numpy as np

    database, _ = lazy_load(tmp_path, {"cases": FRAME})
    plain = zlib.decompress(database[4:])
    packed = len(plain).to_bytes(4, "big") + pack(plain)
    index = {
        "variables": {"cases": np.array([0, len(packed)], dtype=np.int32)},
        "references": {},
        "compressed": np.array([3], dtype=np.int32),
    }
    rdata.write_rds(tmp_path / "index.rdx", index)
    content = {RDB: packed, RDX: (tmp_path / "index.rdx").read_bytes()}
    assert_frame_equal(read_frame(RDB, content, "cases"), READ)
    with pytest.raises(SourceError, match="object cases is damaged"):
        read_frame(RDB, {**content, RDB: packed[:4] + b"?" + packed[5:]}, "cases")


def test_a_slot_of_an_object_is_reached_by_its_name(tmp_path: Path) -> None:
    content = rda(tmp_path, {"cases": FRAME})
    # A data frame keeps the names of its columns in an attribute, as an S4 object keeps its slots.
    with pytest.raises(SourceError, match="object cases@names is no table"):
        read_frame("x.rda", {"x.rda": content}, "cases@names")
    with pytest.raises(SourceError, match=r"no object 'colData'\.[\s\S]*class, names, row\.names"):
        read_frame("x.rda", {"x.rda": content}, "cases@colData")


def test_an_absent_object_is_refused_with_those_that_are_there(tmp_path: Path) -> None:
    database, index = lazy_load(tmp_path, {"cases": FRAME, "controls": FRAME})
    with pytest.raises(SourceError, match=r"no object 'case'[\s\S]*cases, controls"):
        read_frame(RDB, {RDB: database, RDX: index}, "case")
    content = rda(tmp_path, {"cases": FRAME, "controls": FRAME})
    with pytest.raises(SourceError, match=r"no object 'case'[\s\S]*cases, controls"):
        read_frame("x.rda", {"x.rda": content}, "case")
    with pytest.raises(SourceError, match="the description names none"):
        read_frame("x.rda", {"x.rda": content}, None)


def test_a_text_table_is_parted_at_blanks_and_a_ragged_line_is_named() -> None:
    text = b"group t1\n1   20\n2 30\n"
    expected = pl.DataFrame({"group": ["1", "2"], "t1": ["20", "30"]})
    assert_frame_equal(read_frame("bmt.txt", {"bmt.txt": text}, None), expected)
    assert_frame_equal(read_frame("bmt.txt.gz", {"bmt.txt.gz": gzip.compress(text)}, None), expected)
    with pytest.raises(SourceError, match=r"bmt\.txt, line 4: 1 values for 2 columns"):
        read_frame("bmt.txt", {"bmt.txt": text + b"5\n"}, None)
    with pytest.raises(SourceError, match="quotes"):
        read_frame("bmt.txt", {"bmt.txt": text + b'"a b"\n'}, None)


def test_what_is_no_r_data_is_refused() -> None:
    with pytest.raises(SourceError, match=r"x\.rda cannot be read as R data"):
        read_frame("x.rda", {"x.rda": b"<html></html>"}, "cases")
