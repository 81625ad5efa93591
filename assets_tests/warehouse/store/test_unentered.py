"""What was changed in the warehouse is in the audit ledger once, wherever a process was killed between the two."""

from __future__ import annotations

from pathlib import Path

import pytest

from assets_tests.worlds.machine.processes import child
from assets_tests.worlds.team.arrivals import Arrivals, arrivals, write
from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.settings import Settings
from clinical_assets.records.database import RecordsDatabase
from clinical_assets.records.keys.pseudonyms import Pseudonyms
from clinical_assets.records.keys.rotations import AFTERWARDS, enter_rotations
from clinical_assets.records.ledger.ledger import Ledger
from clinical_assets.warehouse.intake.withdrawal import withdraw
from clinical_assets.warehouse.store.unentered import enter

NEW = [{"patient_id": f"00{n}", "age_years": 40 + n, "sex": "fm"[n % 2]} for n in range(6)]
# A process that ends where it is told to, as `kill -9` ends it.
KILLED = """
import os, signal
from clinical_assets.records.database import RecordsDatabase
from clinical_assets.records.ledger.ledger import Ledger
from clinical_assets.warehouse.store import unentered
warehouse, ledger = Warehouse({cohort!r}, settings), Ledger(RecordsDatabase(settings))
def gone(*_, **__):
    reached_and_wait("there")
if {after_entry}:
    really = ledger.append
    def append(*arguments, **options):
        really(*arguments, **options)
        gone()
    ledger.append = append
else:
    ledger.append = gone
unentered.enter(warehouse, ledger, actor="ann")
"""


@pytest.fixture
def small(small_spec: CohortSpec, settings: Settings, tmp_path: Path) -> Arrivals:
    """A cohort of one table."""
    return arrivals(small_spec, settings, tmp_path)


@pytest.fixture
def ledger(settings: Settings) -> Ledger:
    """The installation's ledger."""
    return Ledger(RecordsDatabase(settings))


def test_batch_and_withdrawal_are_entered_once_with_who_and_why(small: Arrivals, ledger: Ledger) -> None:
    got = small.receive(write(small.sent / "a.csv", NEW))
    assert enter(small.warehouse, ledger, actor="run", run_id="r1") == 1
    withdraw(small.warehouse, got.batch, actor="ann", reason="wrong ward")
    assert enter(small.warehouse, ledger, actor="run") == 1
    assert enter(small.warehouse, ledger, actor="run") == 0
    batch, taken_back = ledger.entries(cohort=small.spec.name)
    assert (batch.action, batch.actor, batch.digest) == ("batch", "run", got.batch)
    assert batch.facts["tables"] == {"subjects": 6}
    assert batch.facts["run_id"] == "r1"
    assert (taken_back.action, taken_back.actor, taken_back.reason) == ("withdrawal", "ann", "wrong ward")


def test_a_file_that_is_known_is_no_change(small: Arrivals, ledger: Ledger) -> None:
    for _ in range(2):
        small.receive(write(small.sent / "a.csv", NEW))
    assert enter(small.warehouse, ledger, actor="run") == 1


@pytest.mark.parametrize("after_entry", [False, True])
def test_a_process_killed_between_warehouse_and_ledger_leaves_one_entry(
    small: Arrivals, ledger: Ledger, after_entry: bool
) -> None:
    small.receive(write(small.sent / "a.csv", NEW))
    with child(KILLED.format(cohort=small.spec.name, after_entry=after_entry)) as process:
        process.wait_for("there")
        process.kill()
    assert len(ledger.entries(action="batch")) == after_entry
    assert enter(small.warehouse, ledger, actor="ann") == 1
    assert len(ledger.entries(action="batch")) == 1
    assert enter(small.warehouse, ledger, actor="ann") == 0


def test_a_rotation_of_keys_without_its_entry_is_entered_by_the_next_look(settings: Settings, ledger: Ledger) -> None:
    names = Pseudonyms(settings, "ward")
    names.of(["1", "2"])
    assert enter_rotations(settings, "ward", ledger, actor="ann") == 0
    names.rotate()
    names.retire(1)
    assert enter_rotations(settings, "ward", ledger, actor="ann") == 2
    assert enter_rotations(settings, "ward", ledger, actor="ann") == 0
    begun, retired = ledger.entries(action="key_rotation")
    assert (begun.facts["version"], retired.facts["retired"]) == (2, 1)
    assert begun.reason == AFTERWARDS
