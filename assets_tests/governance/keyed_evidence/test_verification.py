"""One verification finds whatever was changed by hand: rows, bundles, dossiers, snapshots."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from assets_tests.governance.keyed_evidence.forging import wrong
from assets_tests.worlds.ward.released import (
    Releasable,
    flip_a_byte,
    write_by_hand,
)
from assets_tests.worlds.ward.trained import COHORT
from clinical_assets.modelling.champion import champion_pointer
from clinical_assets.warehouse.store.warehouse import Warehouse

Spoil = Callable[[Releasable], object]


def _flip_bundle(made: Releasable) -> None:
    champion = champion_pointer.current(made.settings, COHORT)
    assert champion is not None
    flip_a_byte(champion_pointer.warm_place(made.settings, COHORT, champion.digest) / "features.sql")


def _flip_page(made: Releasable) -> None:
    flip_a_byte(min(made.settings.dossiers.glob("*/*/index.html")))


def _flip_snapshot(made: Releasable) -> None:
    flip_a_byte(min(made.settings.snapshots.glob("*/*/*.parquet")))


TAMPERED: dict[str, tuple[Spoil, str]] = {
    "a verdict": (lambda made: write_by_hand(made, "UPDATE verdicts SET value = 0.99"), "verdicts"),
    "the number of a verdict": (
        lambda made: write_by_hand(made, "UPDATE verdicts SET position = position + 1000"),
        "verdicts",
    ),
    "the time of the tables": (
        lambda made: write_by_hand(made, "UPDATE records_version SET made_at = made_at || 'x'"),
        "database file",
    ),
    "the note of the tables": (lambda made: write_by_hand(made, "DELETE FROM records_version"), "database file"),
    "a gate run": (
        lambda made: write_by_hand(made, "UPDATE gate_runs SET verdicts_digest = 'sha256:0'"),
        "verdicts",
    ),
    "a promotion's actor": (lambda made: write_by_hand(made, "UPDATE promotions SET actor = 'x'"), "promotions"),
    "a promotion's row": (lambda made: write_by_hand(made, "DELETE FROM promotions"), "promotions"),
    "a seal in the middle": (
        lambda made: write_by_hand(
            made, "UPDATE ledger SET seal = (SELECT seal FROM ledger WHERE seq = 2) WHERE seq = 3"
        ),
        "ledger",
    ),
    "an entry's reason": (lambda made: write_by_hand(made, "UPDATE ledger SET reason = 'x' WHERE seq = 2"), "ledger"),
    "a bundle": (_flip_bundle, "bundles"),
    "a dossier": (_flip_page, "dossiers"),
    "a snapshot": (_flip_snapshot, "snapshots"),
    "a dossier's whole folder": (
        lambda made: shutil.rmtree(min(made.settings.dossiers.glob("*/*/pictures"))),
        "dossiers",
    ),
}


@pytest.mark.parametrize("what", TAMPERED)
def test_one_verification_finds_it_in_whatever_it_was(second: Releasable, what: str) -> None:
    spoil, part = TAMPERED[what]
    assert wrong(second) == {}
    spoil(second)
    assert part in wrong(second)


def test_what_a_run_makes_at_this_moment_is_no_finding_and_what_a_killed_one_left_is(second: Releasable) -> None:
    bundle = second.candidate.bundle.folder
    with second.records.write() as connection:
        # As while a training has sealed its bundle and not entered it yet.
        for name in ("ledger_no_update", "ledger_no_delete"):
            connection.exec_driver_sql(f"DROP TRIGGER {name}")
        connection.exec_driver_sql("UPDATE ledger SET action = 'review' WHERE action = 'training'")
    with Warehouse(COHORT, second.settings).exclusive():
        assert "bundles" not in wrong(second)
    assert any(str(bundle) in problem and "was killed" in problem for problem in wrong(second)["bundles"])


def test_the_command_ends_with_one_line_per_kind_and_an_exit_code(second: Releasable, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from clinical_assets.cli.main import app

    heads = tmp_path / "heads.jsonl"
    assert CliRunner().invoke(app, ["audit", "witness", "--to", str(heads)]).exit_code == 0
    done = CliRunner().invoke(app, ["audit", "verify", "--all", "--witness", str(heads), "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["intact"] is True
    names = [part["name"] for part in told["parts"]]
    assert names[-1] == "witnesses"
    assert all(part["checked"] for part in told["parts"]), told
    write_by_hand(second, "UPDATE people SET roles = '[\"x\"]' WHERE login = 'bob'")
    done = CliRunner().invoke(app, ["audit", "verify", "--all"])
    assert done.exit_code == 1
    assert "bob is not as an administrator signed: roles changed" in done.output
