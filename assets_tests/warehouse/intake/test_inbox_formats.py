"""A delivery is read by the reader that its ending says, and what no reader is for is refused with a cure."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyreadstat
import pytest

from assets_tests.worlds.tables.workbook import write_opendocument, write_workbook
from assets_tests.worlds.team.arrivals import Arrivals, arrivals, ward, write
from assets_tests.worlds.team.cohorts import made_subjects, made_visits
from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.settings import Settings
from clinical_assets.sources.readers import ENDINGS
from clinical_assets.warehouse.intake.inbox_intake import Intake, take_in
from clinical_assets.warehouse.intake.refused_deliveries import open_refusals

ROWS = [{"patient_id": f"00{n}", "age_years": 40 + n, "sex": "fm"[n % 2]} for n in range(4)]
FRAME = pl.DataFrame(ROWS)
CSV, TSV = FRAME.write_csv().encode(), FRAME.write_csv(separator="\t").encode()
LINES = FRAME.write_ndjson().encode()
CELLS = [FRAME.columns, *map(list, FRAME.rows())]


def zstd(content: bytes) -> bytes:
    return pa.compress(content, codec="zstd", asbytes=True)


WRITERS: dict[str, Callable[[Path], Any]] = {
    ".csv": lambda path: path.write_bytes(CSV),
    ".txt": lambda path: path.write_bytes(CSV),
    ".tsv": lambda path: path.write_bytes(TSV),
    ".tab": lambda path: path.write_bytes(TSV),
    ".csv.gz": lambda path: path.write_bytes(gzip.compress(CSV)),
    ".csv.gzip": lambda path: path.write_bytes(gzip.compress(CSV)),
    ".tsv.zst": lambda path: path.write_bytes(zstd(TSV)),
    ".csv.zstd": lambda path: path.write_bytes(zstd(CSV)),
    ".jsonl": lambda path: path.write_bytes(LINES),
    ".ndjson": lambda path: path.write_bytes(LINES),
    ".ndjson.gz": lambda path: path.write_bytes(gzip.compress(LINES)),
    ".jsonl.zst": lambda path: path.write_bytes(zstd(LINES)),
    ".parquet": FRAME.write_parquet,
    ".pq": FRAME.write_parquet,
    ".xlsx": lambda path: write_workbook(path, {"May": CELLS}),
    ".XLSX": lambda path: write_workbook(path, {"May": CELLS}),
    ".ods": lambda path: write_opendocument(path, {"May": CELLS}),
    ".sav": lambda path: pyreadstat.write_sav(FRAME, str(path)),
    ".zsav": lambda path: pyreadstat.write_sav(FRAME, str(path), compress=True),
    ".dta": lambda path: pyreadstat.write_dta(FRAME, str(path)),
    ".xpt": lambda path: pyreadstat.write_xport(FRAME, str(path), file_format_version=8),
}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Files count as settled at once."""
    return replace(settings, inbox_settled_s=0.0, inbox_folder_settled_s=0.0)


@pytest.fixture
def small(small_spec: CohortSpec, settings: Settings, tmp_path: Path) -> Arrivals:
    """A cohort of one table, described as CSV with commas."""
    mine = arrivals(small_spec, settings, tmp_path)
    mine.inbox.mkdir(parents=True)
    return mine


def take(mine: Arrivals) -> Intake:
    return take_in(mine.spec, settings=mine.settings)


def left(mine: Arrivals) -> set[str]:
    return {str(path.relative_to(mine.inbox)) for path in mine.inbox.rglob("*") if path.is_file()}


def report(mine: Arrivals, name: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((mine.inbox / "refused" / f"{name}.report.json").read_text())
    return told


@pytest.mark.parametrize("ending", WRITERS)
def test_records_are_read_by_the_reader_of_their_ending(small: Arrivals, ending: str) -> None:
    WRITERS[ending](small.inbox / f"may{ending}")
    done = take(small)
    assert (done.refused, [each.rows for each in done.batches]) == ([], [4])
    assert left(small) == {f"done/may{ending}"}
    found = small.rows("SELECT patient_id, age_years, sex FROM received_valid.subjects ORDER BY patient_id")
    assert found == FRAME.rows()


def test_one_batch_in_every_notation_is_the_same_batch(small: Arrivals) -> None:
    for ending, write_as in WRITERS.items():
        write_as(small.inbox / f"may_{ending.strip('.')}{ending}")
    done = take(small)
    assert done.refused == []
    assert {each.rows for each in done.batches} == {4}
    assert len({each.batch for each in done.batches}) == 1
    assert small.rows("SELECT count(*) FROM received_valid.subjects") == [(4,)]


@pytest.mark.parametrize("ending", [".csv", ".tsv.zst", ".ndjson", ".xlsx", ".ods", ".sav", ".dta", ".xpt"])
def test_outcomes_are_read_by_the_reader_of_their_ending(small: Arrivals, ending: str) -> None:
    write(small.inbox / "records.csv", ROWS)
    outcomes = pl.DataFrame({"patient_id": ["000", "001"], "died": ["yes", "no"]})
    cells = [outcomes.columns, *map(list, outcomes.rows())]
    path = small.inbox / "outcomes" / f"may{ending}"
    path.parent.mkdir()
    {
        ".csv": lambda: outcomes.write_csv(path),
        ".tsv.zst": lambda: path.write_bytes(zstd(outcomes.write_csv(separator="\t").encode())),
        ".ndjson": lambda: outcomes.write_ndjson(path),
        ".xlsx": lambda: write_workbook(path, {"x": cells}),
        ".ods": lambda: write_opendocument(path, {"x": cells}),
        ".sav": lambda: pyreadstat.write_sav(outcomes, str(path)),
        ".dta": lambda: pyreadstat.write_dta(outcomes, str(path)),
        ".xpt": lambda: pyreadstat.write_xport(outcomes, str(path), file_format_version=8),
    }[ending]()
    done = take(small)
    assert (done.refused, [(each.new, each.waiting) for each in done.outcomes]) == ([], [(2, 0)])


def test_a_batch_of_a_workbook_is_read_like_the_workbook_that_the_cohort_was_described_by(
    minimal: dict[str, Any], settings: Settings, tmp_path: Path
) -> None:
    minimal["tables"]["subjects"]["source"] = {
        "kind": "file",
        "path": "small.xlsx",
        "excel": {"sheet": "Data", "header_row": 3},
    }
    mine = arrivals(CohortSpec.model_validate(minimal), settings, tmp_path)
    mine.inbox.mkdir(parents=True)
    write_workbook(mine.inbox / "may.xlsx", {"Cover": [["x"]], "Data": [["Export of May"], [None], *CELLS]})
    done = take(mine)
    assert (done.refused, [each.rows for each in done.batches]) == ([], [4])


def test_a_folder_may_hold_a_table_per_format(settings: Settings, tmp_path: Path) -> None:
    mine = ward(settings, tmp_path)
    subjects, visits = made_subjects(), made_visits()
    write(mine.inbox / "may" / "subjects.csv", subjects)
    cells = [list(visits[0]), *[list(row.values()) for row in visits]]
    write_workbook(mine.inbox / "may" / "visits.xlsx", {"Visits": cells})
    done = take(mine)
    assert done.refused == []
    assert mine.rows("SELECT count(*) FROM received_valid.visits") == [(len(visits),)]


@pytest.mark.parametrize(
    ("name", "cure"),
    [
        ("may.xlsx.gz", "Unpack it."),
        ("may.zip", "Unpack it."),
        ("may.pkl", "Send it as one of"),
        ("may.json", "Send it as one of"),
        ("may.rds", "Send it as one of"),
        ("may", "Send it as one of"),
    ],
)
def test_what_no_reader_is_for_is_refused_counted_and_told_with_its_name_and_cure(
    small: Arrivals, name: str, cure: str
) -> None:
    (small.inbox / name).write_bytes(b"x")
    (reported,) = take(small).refused
    assert reported[0] == name
    told = report(small, name)
    assert (told["file"], told["kind"]) == (name, "unknown")
    assert name in told["reason"]
    assert told["cure"].startswith(cure)
    assert all(ending in told["cure"] for ending in (".csv", ".xlsx", ".sas7bdat", ".ndjson.zst"))
    with small.warehouse.reader() as connection:
        assert open_refusals(connection) == {"unknown": 1}
    assert left(small) == {f"refused/{name}{more}" for more in ("", ".report.json", ".report.md")}


@pytest.mark.parametrize("ending", [".sas7bdat", ".xls", ".xlsb", ".parquet", ".sav", ".xpt"])
def test_a_file_that_is_not_what_its_ending_says_is_refused_as_such(small: Arrivals, ending: str) -> None:
    (small.inbox / f"may{ending}").write_bytes(CSV)
    take(small)
    told = report(small, f"may{ending}")
    assert told["kind"] == "records"
    assert told["cure"]


def test_strange_files_and_folders_beside_records_are_refused_alone_and_notes_go_along(small: Arrivals) -> None:
    write(small.inbox / "may" / "subjects.csv", ROWS)
    for name in ("README.txt", "subjects.csv.md5", "more.docx", "inner/subjects.csv"):
        path = small.inbox / "may" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("x")
    done = take(small)
    assert sorted(name for name, _ in done.refused) == ["inner", "more.docx"]
    assert [each.rows for each in done.batches] == [4]
    assert report(small, "more.docx")["file"] == "may/more.docx"
    assert {"done/may/README.txt", "done/may/subjects.csv.md5", "done/may/subjects.csv"} <= left(small)
    assert {"refused/more.docx", "refused/inner/subjects.csv"} <= left(small)
    assert take(small) == Intake()


def test_a_folder_of_folders_is_refused_as_a_whole(small: Arrivals) -> None:
    write(small.inbox / "may" / "may" / "subjects.csv", ROWS)
    ((name, _),) = take(small).refused
    assert name == "may"
    assert "straight into a folder" in report(small, "may")["cure"]


def test_every_ending_of_a_source_is_one_of_the_inbox() -> None:
    written = {ending.lower() for ending in WRITERS}
    assert written <= set(ENDINGS)
    assert {".xlsx", ".xls", ".ods", ".sas7bdat", ".ndjson.zst"} <= set(ENDINGS)
    assert ".parquet.gz" not in ENDINGS
