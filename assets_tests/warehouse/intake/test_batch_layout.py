"""A batch is matched by names where it has them, by position otherwise; later columns may be left out everywhere."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from assets_tests.worlds.team.arrivals import Arrivals, arrivals
from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.settings import Settings

COLUMNS = ("PatID", "age", "died", "sex")
ROWS = [{"PatID": f"00{n}", "age": str(40 + n), "died": "no", "sex": "fm"[n % 2]} for n in range(6)]
EARLY = [(row["PatID"], int(row["age"]), row["sex"]) for row in ROWS]


@pytest.fixture(params=[0, 1], ids=["", "below a title"])
def bare(request: pytest.FixtureRequest, minimal: dict[str, Any], settings: Settings, tmp_path: Path) -> Arrivals:
    """A cohort whose source has no header, and its outcome in the middle."""
    subjects = minimal["tables"]["subjects"]
    subjects["source"]["csv"] = {"columns": list(COLUMNS), "skip_rows": request.param}
    subjects["columns"]["patient_id"]["from"] = "PatID"
    subjects["columns"]["age_years"]["from"] = "age"
    spec = CohortSpec.model_validate(minimal)
    title = "A title\n" * request.param
    (tmp_path / subjects["source"]["path"]).write_text(f"{title}1,50,no,f\n2,51,yes,m\n")
    return arrivals(spec, settings, tmp_path)


def text(columns: tuple[str, ...], *, header: bool, delimiter: str = ",", end: str = "") -> str:
    lines = [list(columns)] if header else []
    lines += [[row[name] for name in columns] for row in ROWS]
    return "".join(delimiter.join(line) + end + "\n" for line in lines)


def sent(cohort: Arrivals, content: str, name: str = "a.csv") -> Path:
    cohort.sent.mkdir(exist_ok=True)
    path = cohort.sent / name
    path.write_text(content)
    return path


def records(cohort: Arrivals) -> list[tuple[Any, ...]]:
    return cohort.rows("SELECT patient_id, age_years, sex FROM received_valid.subjects ORDER BY 1")


def title(cohort: Arrivals) -> str:
    return "A title\n" * cohort.spec.subjects.source.csv.skip_rows  # type: ignore[union-attr]


@pytest.mark.parametrize("later", [True, False])
def test_without_a_header_position_tells(bare: Arrivals, later: bool) -> None:
    columns = COLUMNS if later else ("PatID", "age", "sex")
    done = bare.receive(sent(bare, title(bare) + text(columns, header=False)))
    assert (done.status, done.rows, done.facts) == ("accepted", 6, 6 if later else 0)
    assert records(bare) == EARLY


@pytest.mark.parametrize(
    "columns", [p for r in (3, 4) for p in itertools.permutations(COLUMNS, r) if len(p) == 4 or "died" not in p][::5]
)
@pytest.mark.parametrize("below_title", [True, False])
def test_with_a_header_names_tell_whatever_their_order(
    bare: Arrivals, columns: tuple[str, ...], below_title: bool
) -> None:
    content = (title(bare) if below_title else "") + text(columns, header=True)
    done = bare.receive(sent(bare, content))
    assert (done.status, done.rows, done.refused_rows) == ("accepted", 6, 0)
    assert records(bare) == EARLY
    assert done.facts == (6 if "died" in columns else 0)


def test_another_delimiter_and_one_at_the_end_of_each_line(bare: Arrivals) -> None:
    content = title(bare) + text(("PatID", "age", "sex"), header=False, delimiter=";", end=";")
    assert bare.receive(sent(bare, content)).rows == 6
    assert records(bare) == EARLY


def test_a_width_that_fits_nothing_is_refused_with_what_would_fit(bare: Arrivals) -> None:
    done = bare.receive(sent(bare, title(bare) + text(("PatID", "age"), header=False)))
    assert done.status == "refused"
    assert "2 values per record" in str(done.reason)
    assert "a.csv" in str(done.reason)
    assert "header line" in str(done.cure)
    assert "PatID, age, sex" in str(done.cure)


def test_files_of_one_batch_have_one_layout(bare: Arrivals) -> None:
    one = sent(bare, title(bare) + text(COLUMNS, header=False))
    two = sent(bare, text(COLUMNS, header=True).replace("00", "10"), "b.csv")
    done = bare.receive({"subjects": [one, two]})
    assert done.status == "refused"
    assert "b.csv is laid out otherwise than a.csv" in str(done.reason)
    assert bare.receive({"subjects": [one]}).rows == 6
    assert bare.receive({"subjects": [two]}).rows == 6


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet", "a.csv.gz"])
def test_later_columns_may_be_left_out_in_every_format(bare: Arrivals, name: str) -> None:
    rows = [{key: value for key, value in row.items() if key != "died"} for row in ROWS]
    done = bare.receive(bare.file(name, rows))
    assert (done.status, done.rows, done.facts) == ("accepted", 6, 0)
    assert records(bare) == EARLY
