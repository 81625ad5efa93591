"""Table 1 shows true counts where they name nobody, and none that would."""

from __future__ import annotations

import itertools
import re

import polars as pl
import pytest

from assets_tests.worlds.ward.trained import COHORT, Trained
from clinical_assets.modelling.description.table_one import LEAST, suppressed, table_one
from clinical_assets.warehouse.features.feature_table import FeatureTable, load_feature_table
from clinical_assets.warehouse.store.warehouse import Warehouse


@pytest.fixture(scope="module")
def table(trained_ward: Trained) -> FeatureTable:
    return load_feature_table(Warehouse(COHORT, trained_ward.settings), trained_ward.catalogue.spec(COHORT))


@pytest.mark.parametrize("counts", list(itertools.product([0, 1, 4, 5, 30], repeat=3)))
def test_no_hidden_count_can_be_found_by_subtraction_from_the_total(counts: tuple[int, ...]) -> None:
    shown = suppressed(counts)
    hidden = [count for count, text in zip(counts, shown, strict=True) if isinstance(text, str)]
    assert all(count == text for count, text in zip(counts, shown, strict=True) if not isinstance(text, str))
    assert not [count for count, text in zip(counts, shown, strict=True) if text == count and 0 < count < LEAST]
    others = [count for count in counts if count > 0]
    assert len(hidden) != 1 or len(others) == 1


def test_cells_are_what_the_rows_say(trained_ward: Trained, table: FeatureTable) -> None:
    spec = trained_ward.catalogue.spec(COHORT)
    train, holdout = table.frame.head(600), table.frame.tail(table.frame.height - 600)
    made = table_one(table, spec, train=train, holdout=holdout)
    assert [(each["part"], each["label"]) for each in made["columns"]] == [
        ("training", "alive"),
        ("training", "dead"),
        ("holdout", "alive"),
        ("holdout", "dead"),
    ]
    dead = train.filter(pl.col("outcome") == 1)
    rows = {(row["name"], row["level"]): row for row in made["rows"]}
    women = int((dead["sex"] == "f").sum())
    assert rows["sex", "f: female"]["cells"][1] == f"{women} ({100 * women / dead.height:.1f} %)"
    assert rows["sex", "unknown"]["kind"] == "category"
    low, middle, high = (dead["age_years"].quantile(at, "linear") for at in (0.25, 0.5, 0.75))
    assert rows["age_years", ""]["cells"][1] == f"{middle:.4g} ({low:.4g} to {high:.4g})"
    assert rows["marker_a", ""]["cells"][1].endswith(f"missing {dead['marker_a'].null_count()}")


def test_few_rows_give_no_number_that_could_name_a_person(trained_ward: Trained, table: FeatureTable) -> None:
    spec = trained_ward.catalogue.spec(COHORT)
    made = table_one(table, spec, train=table.frame.head(40), holdout=table.frame.tail(12))
    texts = [cell for row in made["rows"] if row["kind"] != "number" for cell in row["cells"]]
    assert texts
    assert not [text for text in texts if re.match(r"[1-4](\D|$)", text)]
    assert not [text for row in made["rows"] for text in row["cells"] if re.search(r"missing [1-4]$", text)]


def test_equal_parts_do_not_differ_and_shifted_ones_do(trained_ward: Trained, table: FeatureTable) -> None:
    spec = trained_ward.catalogue.spec(COHORT)
    same = table_one(table, spec, train=table.frame, holdout=table.frame)
    assert {row["smd"] for row in same["rows"]} <= {0.0, None}
    older = table.frame.with_columns(age_years=pl.col("age_years") + table.frame["age_years"].std())
    moved = table_one(table, spec, train=table.frame, holdout=older)
    assert next(row["smd"] for row in moved["rows"] if row["name"] == "age_years") == pytest.approx(1)
