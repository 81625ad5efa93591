"""What version 1 left opens, verifies, scores, promotes and rolls back with the present code, at another path."""

from __future__ import annotations

import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from assets_tests.worlds.team.paired import COHORT as PAIRED
from assets_tests.worlds.ward.released import administrator
from assets_tests.worlds.year.description import COHORT, secret
from assets_tests.worlds.year.patients import patients
from assets_tests.worlds.year.world import World
from clinical_assets.cli.main import app
from clinical_assets.cli.release.review import UNKEYED
from clinical_assets.governance.errors import Refused
from clinical_assets.governance.promotion import promotion
from clinical_assets.governance.promotion.release_record import refuse_unreleased
from clinical_assets.governance.signing.people import set_password
from clinical_assets.governance.signing.signatures import standing_on, true_signatures
from clinical_assets.governance.verification import verify_all
from clinical_assets.modelling.champion import champion_pointer
from clinical_assets.modelling.tracking import mlflow_store, registry
from clinical_assets.modelling.trainings import trainings
from clinical_assets.monitoring import report_store
from clinical_assets.pathways.results.expression_store import (
    read_kept_expression,
    read_kept_gene_sets,
    read_kept_scores,
)
from clinical_assets.pathways.results.kept_results import ABLATION, STUDY, read_kept
from clinical_assets.records.database import RecordsDatabase
from clinical_assets.records.ledger.canonical import canonical
from clinical_assets.records.ledger.facts.actions import FACTS
from clinical_assets.records.ledger.ledger import Ledger

FIRST = "sha256:944b5886666dac9cb943839cd87087b82e337b0c837463f5e5969b048bbabefe"
SECOND = "sha256:6e9a56c0aff8f0bfc1b666574e9c2648cc379a0aa896a6031f241db7bc163e55"
ENTRIES = 29
SEARCH = {"trials": 1, "inner_folds": 2, "outer_folds": 2}
SCORED = "SELECT count(*) FROM monitoring.scored_records"


def test_every_document_is_read(world: World) -> None:
    settings = world.settings
    champion = champion_pointer.current(settings, COHORT)
    assert champion is not None
    assert (champion.digest, champion.previous) == (SECOND, (FIRST,))
    assert champion_pointer.bundle_of(settings, champion).digest == SECOND
    assert trainings.latest(settings, COHORT).results.bundle_digest == SECOND
    assert trainings.with_bundle(settings, COHORT, FIRST).results.bundle_digest == FIRST
    for name in report_store.NAMES:
        assert report_store.latest(settings, COHORT, name) is not None, name
    files = settings.data / "micro_cohorts" / PAIRED
    _, expression = read_kept_expression(files)
    _, sets = read_kept_gene_sets(files, expression=expression)
    _, scores = read_kept_scores(files, expression=expression, gene_sets=sets)
    _, made_from, study = read_kept(files / STUDY, asset="micro_cohort_study")
    assert made_from == {"expression": expression, "scores": scores}
    assert read_kept(files / ABLATION, asset="ablation_report")[1] == {"study": study}


def test_the_ledger_is_whole_and_everything_in_it_is_there(world: World) -> None:
    ledger = Ledger(RecordsDatabase(world.settings))
    report = ledger.verify()
    assert report.intact, report.problem
    assert (report.entries, report.sealed) == (ENTRIES + 1, 1)
    told = [entry.action for entry in ledger.entries()]
    assert told.pop() == "upgrade"
    assert len(told) == ENTRIES
    assert told.count("promotion") == 2
    assert told.count("person") == 2
    assert told.count("batch") == told.count("outcomes") == 1
    _facts_are_read_and_written_as_they_are(ledger)


def test_the_champion_scores_a_batch(world: World) -> None:
    world.drop("second.csv", patients(60, seed=5, prefix="M").rows())
    # Whoever drops a file may still write it: the inbox waits that long.
    time.sleep(2.1)
    ran = world.run("monitor_cohort", "incoming_records", "scored_records")
    assert ran.success, ran.errors
    # The champion of the end also scores what the one before it had scored.
    assert world.count(f"{SCORED} WHERE bundle_digest = '{FIRST}'") == 250
    assert world.count(f"{SCORED} WHERE bundle_digest = '{SECOND}'") == 250 + 60


def test_old_signatures_are_shown_as_such_and_count_for_no_new_promotion(world: World) -> None:
    records = RecordsDatabase(world.settings)
    (entry,) = Ledger(records).entries(action="upgrade")
    assert entry.seq == ENTRIES + 1
    given, problems = true_signatures(records, bundle_digest=SECOND)
    assert problems == ()
    assert {each.kind for each in given} == {"approval", "waiver"}
    assert not any(each.by_key for each in given)
    standing = standing_on(world.candidate(), world.dossier())
    assert standing.approvals == ()
    assert standing.waivers == ()
    assert standing.unkeyed == given
    assert {"unsigned", "unsigned_by_key", "waiver_missing"} <= set(world.blockers())
    with pytest.raises(Refused) as caught:
        world.sign()
    assert caught.value.code == "no_key"
    report = {part.name: part for part in verify_all(world.settings).parts}
    assert [part.problems for part in report.values() if part.problems] == []
    assert UNKEYED in str(report["signatures"].note)
    shown = CliRunner().invoke(app, ["review", COHORT], env={"COLUMNS": "250"})
    assert shown.exit_code == 0, shown.output
    assert shown.output.count(UNKEYED) == len(given)


def test_a_new_model_is_trained_judged_signed_with_keys_and_promoted(world: World) -> None:
    records = RecordsDatabase(world.settings)
    with pytest.raises(Refused) as caught:
        set_password(records, "bob", secret("bob"), actor="root")
    assert caught.value.code == "first_administrator"
    by = administrator(records)
    set_password(records, "bob", secret("bob"), actor="root", by=by)
    world.describe(modelling={"candidates": ["logistic_ridge"], "search": {**SEARCH, "seed": 31}})
    for job in ("train_cohort", "prepare_release"):
        ran = world.run(job)
        assert ran.success, (job, ran.errors)
    world.sign()
    ran = world.run("promote_champion")
    assert ran.success, ran.errors
    champion = champion_pointer.current(world.settings, COHORT)
    assert champion is not None
    assert champion.previous == (SECOND, FIRST)
    assert champion.digest == world.candidate().digest
    _facts_are_read_and_written_as_they_are(Ledger(records))
    assert [part.problems for part in verify_all(world.settings).parts if part.problems] == []
    # And back to what people signed without keys, before the upgrade.
    assert promotion.rollback(world.settings, COHORT, actor="ann", reason="A try.").digest == SECOND
    refuse_unreleased(world.settings, COHORT, SECOND)


def test_a_rollback_finds_its_bundle_though_the_data_folder_was_moved(world: World) -> None:
    shutil.rmtree(champion_pointer.warm_place(world.settings, COHORT, FIRST))
    champion = promotion.rollback(world.settings, COHORT, actor="ann", reason="A try.")
    assert champion.digest == FIRST
    assert champion_pointer.bundle_of(world.settings, champion).digest == FIRST


def test_files_of_new_runs_go_into_the_copy_and_not_to_where_it_was_copied_from(
    world: World, unpacked: Path, tmp_path: Path
) -> None:
    original = World(tmp_path / "original")
    shutil.copytree(world.folder, original.folder)
    with original.environment():
        # The folder that the copy is made from knows its own place.
        mlflow_store.prepare_store(original.settings)
    copy = original.copy_to(tmp_path / "copy")
    before = _files(original.folder)
    with copy.environment():
        copy.describe(
            modelling={
                "candidates": ["logistic_ridge"],
                "search": {**SEARCH, "seed": 77},
            }
        )
        ran = copy.run("train_cohort")
        assert ran.success, ran.errors
        version = registry.find_version(copy.settings, COHORT, alias=registry.CHALLENGER)
        assert version is not None
        assert version.digest not in (FIRST, SECOND)
        fetched = registry.download_bundle(copy.settings, version, folder=tmp_path / "fetched")
        assert fetched.digest == version.digest
        with closing(sqlite3.connect(copy.settings.tracking / "mlflow.db")) as connection:
            (elsewhere,) = connection.execute(
                "SELECT count(*) FROM runs WHERE artifact_uri NOT LIKE ?", (f"{copy.settings.tracking.as_uri()}/%",)
            ).fetchone()
    assert _files(original.folder) == before
    assert elsewhere == 0


def _facts_are_read_and_written_as_they_are(ledger: Ledger) -> None:
    for entry in ledger.entries():
        facts = FACTS[entry.action].found(entry.facts)
        assert facts is not None, entry
        assert canonical(facts.to_json()) == canonical(entry.facts)


def _files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"}
