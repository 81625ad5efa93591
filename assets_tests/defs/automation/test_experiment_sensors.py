"""The sensor ends a harmful experiment within the tick, and asks for one report per change."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from assets_tests.worlds.ward.released import put_in_environment, second_release
from assets_tests.worlds.ward.trained import COHORT
from assets_tests.worlds.ward.trial import WardTrial, ward_trial
from clinical_assets.defs.automation.experiment_sensors import ACTOR, experiments
from clinical_assets.defs.resources import Platform
from clinical_assets.experiments.register import experiments_of


@pytest.fixture
def trial(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WardTrial:
    made = second_release(tmp_path_factory).copy_to(tmp_path / "released")
    return ward_trial(put_in_environment(made, monkeypatch))


def tick(instance: dg.DagsterInstance, cursor: str | None = None) -> dg.SensorResult | dg.SkipReason:
    resources = {"platform": Platform()}
    with dg.build_sensor_context(instance=instance, cursor=cursor, resources=resources) as context:
        found = experiments(context)
    assert isinstance(found, dg.SensorResult | dg.SkipReason)
    return found


def test_a_harmful_experiment_is_ended_in_the_tick_and_reported_on_once(
    trial: WardTrial, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "clinical_assets.defs.partitions.cohorts", lambda: dg.StaticPartitionsDefinition([COHORT, "another"])
    )
    assert isinstance(tick(instance), dg.SkipReason)
    trial.begin()
    first = tick(instance)
    assert isinstance(first, dg.SensorResult)
    assert [each.partition_key for each in first.run_requests or ()] == [COHORT]
    assert isinstance(tick(instance, first.cursor), dg.SkipReason)
    trial.expose()
    trial.answer(700, found={"champion": 0.8, "challenger": 0.05})
    ending = tick(instance, first.cursor)
    assert isinstance(ending, dg.SensorResult)
    (ended,) = experiments_of(trial.made.records, COHORT)
    assert ended.state == "roll_back"
    (entry,) = trial.cohort.workspace.ledger.newest(1)
    assert entry.actor == ACTOR
    assert isinstance(tick(instance, ending.cursor), dg.SkipReason)
