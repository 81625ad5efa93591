"""A file that was made to exhaust memory or disk is refused with the limit and the variable that sets it."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from assets_tests.sources.conftest import Load
from clinical_assets.foundation.errors import SourceError

Write = Callable[[Path], str]


def _csv(columns: int) -> Write:
    def write(folder: Path) -> str:
        header = ",".join(f"c{n}" for n in range(columns))
        (folder / "wide.csv").write_text(f"{header}\n{','.join(['1'] * columns)}\n")
        return "wide.csv"

    return write


def _jsonl(folder: Path) -> str:
    (folder / "wide.jsonl").write_text(json.dumps({f"k{n}": n for n in range(50_000)}) + "\n")
    return "wide.jsonl"


def _bomb(folder: Path) -> str:
    with gzip.open(folder / "bomb.csv.gz", "wb", compresslevel=9) as file:
        file.write(b"a,b\n")
        for _ in range(200):
            file.write(b"0,0\n" * (1 << 18))
    return "bomb.csv.gz"


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (_csv(6_000), r"6,000 columns, and the limit is 5,000"),
        (_csv(1_000_000), r"columns, and the limit is 5,000"),
        (_jsonl, r"50,000 columns, and the limit is 5,000"),
        (_bomb, r"unpacks to more than 200 times its size"),
    ],
    ids=["6,000 columns", "a million columns", "50,000 keys", "gzip bomb"],
)
def test_a_hostile_file_is_refused_with_the_limit(load: Load, tmp_path: Path, write: Write, words: str) -> None:
    name = write(tmp_path)
    with pytest.raises(SourceError, match=words) as caught:
        load(kind="file", path=name)
    assert "CLINICAL_ASSETS_MAX_" in (caught.value.cure or "")


def test_a_generator_makes_no_more_rows_than_the_limit(load: Load) -> None:
    with pytest.raises(SourceError, match="rows above the limit of 20,000,000"):
        load(kind="synthetic", generator="tabular_risk", seed=1, parameters={"rows": 10**12})


def test_a_limit_can_be_set(load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLINICAL_ASSETS_MAX_COLUMNS", "3")
    with pytest.raises(SourceError, match="4 columns, and the limit is 3"):
        load(kind="file", path=_csv(4)(tmp_path))
