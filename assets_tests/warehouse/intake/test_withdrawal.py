"""A wrong delivery can be taken back: nothing of it is judged by or learned from again."""

from __future__ import annotations

from pathlib import Path

import pytest

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.errors import WarehouseError
from clinical_assets.foundation.settings import Settings
from clinical_assets.warehouse.intake.batch_intake import receive
from clinical_assets.warehouse.intake.withdrawal import list_batches, withdraw
from clinical_assets.warehouse.store.warehouse import Warehouse


def _file(folder: Path, name: str, ages: list[int]) -> Path:
    path = folder / name
    lines = [f"{name[:2]}{i},{age},f" for i, age in enumerate(ages)]
    path.write_text("\n".join(["patient_id,age_years,sex", *lines]) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def two_batches(small_spec: CohortSpec, settings: Settings, tmp_path: Path) -> tuple[Warehouse, str, str]:
    """A warehouse that took in two files."""
    taken = [
        receive(small_spec, {"subjects": [_file(tmp_path, name, ages)]}, settings=settings)
        for name, ages in (("aa.csv", [50, 60, 70]), ("bb.csv", [40, 41]))
    ]
    return Warehouse(small_spec.name, settings), taken[0].batch, taken[1].batch


def test_the_records_of_a_withdrawn_batch_are_gone_and_those_of_others_stay(
    two_batches: tuple[Warehouse, str, str],
) -> None:
    warehouse, first, second = two_batches
    done = withdraw(warehouse, first, actor="ann", reason="wrong ward")
    assert done.rows == {"received.subjects": 3, "received_valid.subjects": 3}
    left = warehouse.query("SELECT DISTINCT batch FROM received.subjects")["batch"].to_list()
    assert left == [second]
    assert {row["batch"]: row["rows"] for row in list_batches(warehouse)} == {first: 0, second: 2}


def test_a_withdrawn_file_is_not_taken_in_again_but_a_corrected_one_is(
    two_batches: tuple[Warehouse, str, str], small_spec: CohortSpec, tmp_path: Path
) -> None:
    warehouse, first, _ = two_batches
    withdraw(warehouse, first, actor="ann", reason="wrong ward")
    again = receive(small_spec, {"subjects": [_file(tmp_path, "aa.csv", [50, 60, 70])]}, settings=warehouse.settings)
    corrected = receive(
        small_spec, {"subjects": [_file(tmp_path, "aa.csv", [51, 60, 70])]}, settings=warehouse.settings
    )
    assert (again.status, corrected.status) == ("known", "accepted")


@pytest.mark.parametrize("name", ["sha256:", "sha256:0000", "nothing"])
def test_a_batch_that_is_not_named_clearly_is_refused_and_nothing_changes(
    two_batches: tuple[Warehouse, str, str], name: str
) -> None:
    warehouse, *_ = two_batches
    with pytest.raises(WarehouseError, match="begin with"):
        withdraw(warehouse, name, actor="ann", reason="wrong ward")
    assert sum(int(row["rows"]) for row in list_batches(warehouse)) == 5
