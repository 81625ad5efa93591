"""Only what would not come out as it is gets made: one real cohort, changed in one place at a time."""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationTargetMaterializationData

from assets_tests.worlds.machine.graphs import COHORT
from assets_tests.worlds.team.cohorts import Team, write_csv
from clinical_assets.dagster_private import new_run_id
from clinical_assets.definitions import load
from clinical_assets.defs.shared.made_from import MADE_FROM
from clinical_assets.launch.cohort_run import unchanged
from clinical_assets.launch.due import Due, DueAssets
from clinical_assets.launch.instance import open_instance
from clinical_assets.launch.worker import run_cohort
from clinical_assets.records.ledger.ledger import Ledger
from clinical_assets.workspace import Workspace

JOB = "ingest_cohort"
ALL = ("raw_records", "quarantined_records", "validated_records", "features", "cohort_overview")


@dataclass
class Place:
    """A team's cohort in a folder of its own, under the name of a shipped one."""

    catalogue: Path
    team: Team

    def due(self, job: str = JOB) -> Due:
        """What has to be made first."""
        with open_instance() as instance:
            return DueAssets(instance, job).first(COHORT)

    def go(self, job: str = JOB) -> list[tuple[str, ...]]:
        """Make what is due, as the command does; the assets of each round."""
        rounds = []
        with open_instance() as instance:
            due = DueAssets(instance, job)
            for ask in (due.first, due.then):
                assets = ask(COHORT).assets
                if assets:
                    assert run_cohort(COHORT, job, new_run_id(), assets).success
                    rounds.append(assets)
        return rounds

    def describe(self, change: Callable[[dict[str, Any]], object]) -> Callable[[], object]:
        """Change the description on disk; what is handed back undoes it."""
        path = self.catalogue / f"{COHORT}.yaml"
        before = path.read_text(encoding="utf-8")
        value = yaml.safe_load(before)
        change(value)
        path.write_text(yaml.safe_dump(value, sort_keys=False), encoding="utf-8")
        return lambda: path.write_text(before, encoding="utf-8")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """The cohort, made once; every test leaves it made."""
    folder = tmp_path_factory.mktemp("due")
    (folder / "catalogue").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("KEY", "KEY_FILE", "LOCK_PATIENCE_S", "MEMORY"):
            patch.delenv(f"CLINICAL_ASSETS_{name}", raising=False)
        patch.delenv("DAGSTER_HOME", raising=False)
        patch.setenv("CLINICAL_ASSETS_DATA", str(folder / "data"))
        patch.setenv("CLINICAL_ASSETS_CATALOGUE", str(folder / "catalogue"))
        made = Place(folder / "catalogue", Team(COHORT))
        made.team.write(made.catalogue)
        assert made.go() == [ALL]
        yield made


def test_unchanged_inputs_leave_nothing_to_do(place: Place) -> None:
    assert place.due() == Due()


def test_a_file_that_was_only_touched_is_read_again_and_nothing_else_is_done(place: Place) -> None:
    os.utime(place.catalogue / COHORT / "visits.csv")
    assert place.due() == Due(("raw_records",), ("raw_records: files",))
    assert place.go() == [("raw_records",)]
    assert place.due() == Due()


def test_a_file_with_other_records_redoes_what_is_made_from_them(place: Place) -> None:
    place.team.change("subjects", 1, height_m=1.9)
    write_csv(place.catalogue / COHORT / "subjects.csv", place.team.subjects)
    assert place.go() == [("raw_records",), ALL[1:]]
    assert place.due() == Due()


def test_changed_sql_redoes_features_and_what_hangs_on_them(place: Place) -> None:
    model = place.catalogue / "features" / f"{place.team.model}.sql"
    before = model.read_text(encoding="utf-8")
    model.write_text(before.replace("s.height_m,", "s.height_m, s.height_m * 100 AS height_cm,"), encoding="utf-8")
    assert place.due() == Due(("features", "cohort_overview"), ("features: sql", "cohort_overview: sql"))
    model.write_text(before, encoding="utf-8")
    assert place.due() == Due()


def test_a_changed_column_leaves_raw_records_alone(place: Place) -> None:
    before = place.describe(lambda value: value["tables"]["subjects"]["columns"]["height_m"].update(plausible=[1, 2]))
    due = place.due()
    assert "validated_records: tables" in due.reasons
    assert due.assets == ALL[1:4]
    before()
    assert place.due() == Due()


def test_costs_and_words_redo_no_table(place: Place) -> None:
    def change(value: dict[str, Any]) -> None:
        value["decisions"]["costs"]["false_negative"] = 7
        value["intended_use"] = "Something else."

    before = place.describe(change)
    assert place.due() == Due()
    assert place.due("train_cohort").assets == (
        "candidate_models",
        "risk_model",
        "decision_threshold",
        "model_card",
    )
    before()


def test_another_version_of_a_library_trains_again(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    cohort, made_from = Workspace.from_environment().cohort(COHORT), MADE_FROM["risk_model"].made_from
    before = made_from.digests(cohort)
    monkeypatch.setattr(importlib.metadata, "version", lambda name: f"{name} of tomorrow")
    after = made_from.digests(cohort)
    assert [name for name in before if before[name] != after[name]] == ["libraries"]
    assert before.keys() == after.keys()


def test_an_erasure_or_a_delivery_makes_raw_records_due(place: Place) -> None:
    ledger = Ledger(Workspace.from_environment().records)
    ledger.append("outcomes", actor="ann", cohort=COHORT, facts={"new": 1, "known": 0, "conflicts": 0})
    assert place.due().reasons == ("raw_records: deliveries-and-erasures",)
    ledger.append("outcomes", actor="ann", cohort="stroke", facts={"new": 1, "known": 0, "conflicts": 0})
    place.go()
    assert place.due() == Due()


def test_a_run_that_ended_before_its_checks_is_gone_on_with(place: Place) -> None:
    # What a killed process leaves: the asset is made, its blocking check never looked at it.
    job = load().resolve_job_def(JOB)
    alone = job.get_subset(asset_selection={dg.AssetKey("features")}, asset_check_selection=set())
    with open_instance() as instance:
        assert alone.execute_in_process(partition_key=COHORT, instance=instance).success
    (reason,) = place.due().reasons
    assert reason.startswith("features: check ")
    assert reason.endswith(" did not end")
    place.go()
    assert place.due() == Due()


def test_what_a_failed_blocking_check_held_up_is_not_made_by_the_next_call(place: Place) -> None:
    file = place.catalogue / COHORT / "subjects.csv"
    write_csv(file, [{**row, "died": "no", "followed_days": 365} for row in place.team.subjects])
    with open_instance() as instance:
        due = DueAssets(instance, JOB)
        assert run_cohort(COHORT, JOB, new_run_id(), due.first(COHORT).assets).success
        assert not run_cohort(COHORT, JOB, new_run_id(), due.then(COHORT).assets).success
        again = due.first(COHORT)
        # Together with the check, which stops what comes after it again.
        assert again.assets == ("features", "cohort_overview")
        assert again.reasons[0] == "features: check outcome_has_every_class failed"
    write_csv(file, place.team.subjects)
    assert place.go() == [("raw_records",), ALL[1:]]
    assert place.due() == Due()


def test_tables_that_are_gone_are_made_again(place: Place) -> None:
    path = Workspace.from_environment().cohort(COHORT).warehouse.path
    away = path.rename(path.with_suffix(".away"))
    assert place.due().assets == ALL
    away.rename(path)
    assert place.due() == Due()


def test_a_description_that_cannot_be_read_is_left_to_the_run_to_say(place: Place) -> None:
    before = place.describe(lambda value: value.update(tilte=value.pop("title")))
    assert place.due().assets == ALL
    before()
    assert place.due() == Due()


def report(*assets: str) -> None:
    """Say that these assets were made, in this order, by the code of now."""
    with open_instance() as instance:
        for name in assets:
            tags = {"dagster/code_version": code_of(name)}
            instance.report_runless_asset_event(dg.AssetMaterialization(name, partition=COHORT, tags=tags))


def refused_by_gates() -> None:
    """Say that the check on the newest verdicts failed."""
    with open_instance() as instance:
        records = instance.fetch_materializations(dg.AssetKey("gate_verdicts"), limit=1).records
        instance.report_runless_asset_event(
            dg.AssetCheckEvaluation(
                asset_key=dg.AssetKey("gate_verdicts"),
                check_name="nothing_failed",
                passed=False,
                metadata={},
                blocking=True,
                partition=COHORT,
                target_materialization_data=AssetCheckEvaluationTargetMaterializationData(
                    storage_id=records[0].storage_id, run_id="", timestamp=0.0
                ),
            )
        )


def test_what_looks_at_records_people_or_the_clock_is_always_due_with_all_that_hangs_on_it(place: Place) -> None:
    report("monitoring_page")
    reasons = place.due("monitor_cohort").reasons
    assert "incoming_records: looks at records, people or the clock" in reasons
    assert "monitoring_page: what it is made from" in reasons
    report("gate_verdicts", "release_dossier")
    assert place.due("prepare_release").assets == ("gate_verdicts", "release_dossier")
    # Once per command: what the first round made is not asked for again.
    with open_instance() as instance:
        assert DueAssets(instance, "prepare_release").then(COHORT) == Due()


def test_gates_in_one_job_with_the_model_are_due_when_the_model_is_new(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = ("candidate_models", "risk_model", "decision_threshold", "model_card")
    # As if these were made, without the minutes of a training: what they are made from is asked for by other tests.
    monkeypatch.setattr("clinical_assets.launch.due.MADE_FROM", {n: i for n, i in MADE_FROM.items() if n not in models})
    report(*models, "gate_verdicts")
    assert place.due("develop_cohort").assets == ("release_dossier",)
    report("release_dossier")
    assert place.due("develop_cohort") == Due()
    report("model_card")
    assert place.due("develop_cohort").assets == ("gate_verdicts",)
    report("gate_verdicts")
    assert place.due("develop_cohort").assets == ("release_dossier",)
    refused_by_gates()
    # No dossier of a model that a gate refused, and no success either.
    standing = ("gate_verdicts fails its check nothing_failed",)
    assert place.due("develop_cohort") == Due(standing=standing)
    assert not unchanged(COHORT, 0.1, standing).success
    assert unchanged(COHORT, 0.1).success


def code_of(asset: str) -> str:
    """The code version of an asset now."""
    found = load().resolve_asset_graph().get(dg.AssetKey(asset)).code_version
    assert found is not None
    return found
