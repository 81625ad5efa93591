"""What the whole graph does about a ward that changes: drift, updates, alarms, and when it keeps its hands off.

Every test drops files into the inbox of a released model, runs the monitoring job on a real Dagster instance, asks the
sensors and follows them, and looks at what people would see. Each truth is one draw of
the simulation; how often the rules are right over many draws is measured in ``benchmarks/update_scenarios.py``.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest

from assets_tests.worlds.year.description import COHORT, TRAINED_ON
from assets_tests.worlds.year.patients import Truth, patients
from assets_tests.worlds.year.world import World, released

CAME = 1_500
_made: dict[str, World] = {}


@pytest.fixture
def world(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Iterator[World]:
    """A cohort whose first model was released and serves; the test's own copy."""
    if "base" not in _made:
        _made["base"] = released(tmp_path_factory.mktemp("released"))
    with _made["base"].copy_to(tmp_path / "world").environment() as copied:
        yield copied


def _error(world: World, digest: str, truth: Truth) -> float:
    """How far a bundle's risks lie from the truth on average, on people whom nobody has seen."""
    import polars as pl

    from clinical_assets.modelling.champion import champion_pointer
    from clinical_assets.modelling.trainings import trainings

    unseen = patients(20_000, truth=truth, seed=99)
    try:
        bundle = champion_pointer.bundle_of(world.settings, digest)
    except champion_pointer.ChampionError:
        bundle = trainings.with_bundle(world.settings, COHORT, digest).bundle()
    risk = bundle.score(pl.DataFrame(unseen.records))
    return float(np.abs(np.asarray(risk).reshape(risk.shape[0], -1)[:, -1] - unseen.risk).mean())


def _causes(world: World) -> dict[str, list[Any]]:
    return {
        action: [entry.facts["cause"] for entry in world.entries(action)] for action in ("recommendation", "retrain")
    }


def test_older_patients_are_reported_as_drift_and_retrain_nothing(world: World) -> None:
    before = world.champion()
    ran = world.arrive("older", patients(CAME, truth=Truth(age_years=72, age_spread=8), seed=21))
    drift = ran.shown("drift_report")
    assert drift["verdict"] == "drift"
    assert "age_years" in drift["summary"]
    assert drift["psi.age_years"] > 0.2 > max(drift["psi.marker_a"], drift["psi.marker_b"])
    assert ran.shown("data_quality_report")["verdict"] == "sound"
    assert ran.shown("performance_report")["verdict"] == "as promised"
    advice = ran.shown("update_recommendation")
    assert (advice["action"], advice["outcomes judged by"]) == ("none", CAME)
    # Amber for a person to look at, and no alarm.
    assert ran.checks()["no_drift"] == (False, "WARN")
    assert all(held for name, (held, _) in ran.checks().items() if name != "no_drift")
    assert world.ask("model_updates") == []
    assert world.due() == set()
    assert [entry.facts["action"] for entry in world.entries("recommendation")] == ["none"]
    assert world.entries("retrain") == []
    assert world.champion() == before


def test_more_events_make_a_challenger_with_another_intercept_that_waits_for_signatures(world: World) -> None:
    champion, sicker = world.champion(), Truth(shift=0.8)
    ran = world.arrive("sicker", patients(CAME, truth=sicker, seed=22))
    assert ran.shown("drift_report")["verdict"] == "stable"
    told = ran.shown("performance_report")
    assert told["verdict"] == "worse"
    assert told["calibration_intercept"] > 0.5
    assert ran.checks()["performance_as_promised"] == (False, "ERROR")
    assert ran.shown("update_recommendation")["action"] == "intercept"

    (request,) = world.ask("model_updates")
    assert request.job_name == "recalibrate_model"
    cause = request.tags["clinical_assets/cause"]
    assert request.run_key == f"update:{COHORT}:{cause}"
    # While that run goes on, another recommendation starts none.
    _advise(world, "intercept", cause="sha256:other")
    with _unfinished(world, request):
        assert world.ask("model_updates") == []
    made = world.follow(request, "model_updates")
    assert made.success, made.errors
    shown = made.shown("recalibrated_model")
    assert shown["recalibrated from"] == champion
    assert (shown["kind"], shown["slope"]) == ("intercept", 1.0)
    assert shown["intercept"] == pytest.approx(told["calibration_intercept"], abs=0.2)
    assert world.ask("model_updates") == []

    looks = world.release_automation()
    assert set().union(*looks) == {"gate_verdicts", "release_dossier"}
    assert looks[-1] == set()
    challenger = world.candidate().digest
    assert challenger == shown["bundle digest"]
    # What three hundred set-apart records cannot answer needs a waiver, and the rest a signature.
    assert set(world.blockers()) - {"waiver_missing"} == {"unsigned"}
    assert world.champion() == champion
    assert _error(world, challenger, sicker) < 0.5 * _error(world, champion, sicker)

    # The same cause stands in every entry, and every entry names its run.
    assert _causes(world) == {"recommendation": [cause], "retrain": [cause]}
    assert all(entry.facts["run_id"] for entry in (*world.entries("recommendation"), *world.entries("retrain")))
    assert world.entries("retrain")[0].actor == "automation:model_updates"

    # An update was just made: the same question is not answered twice.
    again = world.monitor().shown("update_recommendation")
    assert (again["action"], again["rule"]) == ("wait", "cool_down")
    assert world.ask("model_updates") == []

    # Without a permission in the plan a signature alone promotes, and the new champion is not judged by what made it.
    assert world.ask("promotion") == []
    world.sign()
    assert "champion_model" in set().union(*world.release_automation())
    assert world.champion() == challenger
    fresh = world.monitor().shown("update_recommendation")
    assert (fresh["action"], fresh["outcomes judged by"]) == ("wait", 0)
    assert world.ask("model_updates") == []


def test_risks_that_spread_too_far_get_another_slope(world: World) -> None:
    champion, flatter = world.champion(), Truth(steepness=0.5)
    ran = world.arrive("flatter", patients(CAME, truth=flatter, seed=23))
    assert ran.shown("performance_report")["calibration_slope"] < 0.7
    assert ran.shown("update_recommendation")["action"] == "intercept_and_slope"
    (request,) = world.ask("model_updates")
    made = world.follow(request, "model_updates")
    assert made.success, made.errors
    assert made.shown("recalibrated_model")["slope"] < 0.75
    challenger = made.shown("recalibrated_model")["bundle digest"]
    assert _error(world, challenger, flatter) < 0.5 * _error(world, champion, flatter)
    assert world.champion() == champion


def test_markers_that_mean_something_else_start_a_training_that_sees_the_new_rows(world: World) -> None:
    champion, other = world.champion(), Truth(a=-0.6, b=0.9)
    ran = world.arrive("other", patients(CAME, truth=other, seed=24))
    assert ran.shown("performance_report")["verdict"] == "worse"
    assert ran.shown("update_recommendation")["action"] == "refit"
    assert ran.shown("update_recommendation")["evidence"]["auroc_gain_cross_validated"] > 0.05
    (request,) = world.ask("model_updates")
    assert request.job_name == "train_cohort"
    made = world.follow(request, "model_updates")
    assert made.success, made.errors
    assert made.shown("features")["dagster/row_count"] == TRAINED_ON + CAME
    assert world.candidate().training.results.train.n > 0.6 * (TRAINED_ON + CAME)
    assert {"gate_verdicts", "release_dossier"} <= set().union(*world.release_automation())
    assert "unsigned" in world.blockers()
    assert _error(world, world.candidate().digest, other) < _error(world, champion, other)
    assert world.champion() == champion
    cause = request.tags["clinical_assets/cause"]
    assert _causes(world) == {"recommendation": [cause], "retrain": [cause]}


def test_a_group_that_fails_while_the_whole_looks_well_is_put_to_a_person(world: World) -> None:
    ran = world.arrive("unequal", patients(CAME, truth=Truth(men=0.7), seed=25))
    told = ran.shown("fairness_report")
    assert told["verdict"] == "fail"
    assert "sex=" in told["summary"]
    advice = ran.shown("update_recommendation")
    assert (advice["action"], advice["rule"]) == ("ask", "subgroup")
    assert "sex=" in advice["reason"]
    assert ran.checks()["groups_served_alike"] == (False, "ERROR")
    assert world.ask("model_updates") == []


def test_a_broken_sensor_raises_an_alarm_before_any_outcome_and_nothing_learns_from_it(world: World) -> None:
    broken = patients(CAME, truth=Truth(pressure=300.0), seed=26)
    world.drop("broken.csv", broken.rows())
    ran = world.monitor()
    assert ran.shown("data_quality_report")["verdict"] == "alarm"
    assert "pressure_mmhg" in ran.shown("data_quality_report")["summary"]
    advice = ran.shown("update_recommendation")
    assert (advice["action"], advice["rule"], advice["outcomes judged by"]) == ("repair_data", "data_quality", 0)
    assert ran.checks()["no_quality_alarm"] == (False, "ERROR")
    assert world.ask("model_updates") == []
    # Also with outcomes, by which the model would look wrong.
    world.drop("outcomes/broken.csv", broken.outcomes())
    ran = world.monitor()
    assert ran.shown("performance_report")["verdict"] == "worse"
    assert ran.shown("update_recommendation")["action"] == "repair_data"
    assert world.ask("model_updates") == []
    assert world.entries("retrain") == []


def test_outcomes_behind_treated_alerts_are_put_to_a_person(world: World) -> None:
    came, rng = patients(CAME, seed=27), np.random.default_rng(27)
    acted = (came.risk >= 0.2) & (rng.random(CAME) < 0.6)
    # Treatment prevents two events in three: the alerts look false afterwards.
    came.died[acted & (rng.random(CAME) < 0.67)] = False
    words = ["yes" if each else "no" for each in acted]
    ran = world.arrive("treated", came, shown=["yes"] * CAME, acted=words)
    assert ran.shown("performance_report")["verdict"] == "worse"
    assert "read the arms apart" in ran.shown("performance_report")["summary"]
    advice = ran.shown("update_recommendation")
    assert (advice["action"], advice["rule"]) == ("ask", "feedback")
    assert 0.4 < advice["evidence"]["acted_share_of_alerts"] < 0.8
    assert world.ask("model_updates") == []


def test_files_in_any_order_and_twice_come_to_the_same_and_broken_ones_are_refused(world: World) -> None:
    came = patients(400, seed=28)
    world.drop("outcomes/early.csv", came.outcomes())
    assert [request.partition_key for request in world.ask("inbox")] == [COHORT]
    first = world.monitor()
    assert first.shown("incoming_records")["received units with a known outcome"] == 0
    assert world.ask("inbox") == []

    world.drop("late.csv", came.rows())
    second = world.monitor()
    assert second.shown("incoming_records")["received units with a known outcome"] == 400
    assert second.shown("scored_records")["dagster/row_count"] == 400
    counted = ("monitoring.scored_records", "monitoring.outcomes", "received.batches", "received.outcome_values")
    before = {name: world.count(f"SELECT count(*) FROM {name}") for name in counted}
    known = len(world.entries("batch"))

    # The same content under other names changes nothing.
    world.drop("late_again.csv", came.rows())
    world.drop("outcomes/early_again.csv", came.outcomes())
    again = world.monitor()
    assert again.shown("scored_records")["dagster/row_count"] == 0
    assert {name: world.count(f"SELECT count(*) FROM {name}") for name in counted} == before
    assert len(world.entries("batch")) == known

    # Another outcome for the first patient, and a file that is none, beside one that is sound.
    turned = came.outcomes()[:1]
    turned[0]["died"] = "no" if turned[0]["died"] == "yes" else "yes"
    world.drop("outcomes/turned.csv", turned)
    world.drop("broken.csv", b"\x00\x01 this is no table\n\xff")
    world.drop("sound.csv", patients(50, seed=29, prefix="S").rows())
    last = world.monitor().shown("incoming_records")
    assert last["refused files count"] == 1
    assert world.count("SELECT count(*) FROM received.outcome_conflicts") == 1
    assert world.count("SELECT count(*) FROM monitoring.scored_records") == before["monitoring.scored_records"] + 50
    kept = "SELECT outcome FROM monitoring.outcomes WHERE patient_id = 'W00000'"
    assert world.count(kept) == int(came.died[0])
    report = json.loads((world.inbox / "refused" / "broken.csv.report.json").read_text(encoding="utf-8"))
    assert report["reason"]
    assert report["cure"]
    assert (world.inbox / "refused" / "broken.csv.report.md").exists()
    assert not [path for path in world.inbox.iterdir() if path.is_file()]


def test_a_change_that_the_plan_lets_take_effect_is_promoted_once_without_signers(world: World) -> None:
    champion = world.champion()
    assert world.ask("promotion") == []
    _let_promote_itself(world, "intercept")
    _release_again(world)  # a plan that nobody signed lets nothing take effect
    world.arrive("sicker", patients(CAME, truth=Truth(shift=0.8), seed=22))
    (request,) = world.ask("model_updates")
    world.follow(request, "model_updates")
    # Made, but not judged yet.
    assert world.ask("promotion") == []
    world.release_automation()
    _let_promote_itself(world, "refit")
    assert world.ask("promotion") == []  # another kind of change than the plan lets through
    _let_promote_itself(world, "intercept")
    world.waive()  # what this environment cannot answer; no approval is given
    (promotion,) = world.ask("promotion")
    assert str(promotion.run_key).startswith(f"promote:{COHORT}:{world.dossier()}:")
    assert world.champion() == champion
    ran = world.follow(promotion, "promotion")
    assert ran.success, ran.errors
    assert world.champion() == world.candidate().digest != champion
    last = world.entries("promotion")[-1]
    assert last.actor == "automation:promotion"
    assert not [entry for entry in world.entries("signature") if entry.digest == last.digest]
    assert world.ask("promotion") == []


def test_advice_about_a_model_that_no_longer_serves_starts_nothing(world: World) -> None:
    _advise(world, "intercept", cause="sha256:old", bundle_digest="sha256:" + "0" * 64)
    assert world.ask("model_updates") == []
    _advise(world, "intercept", cause="sha256:new")
    assert [request.run_key for request in world.ask("model_updates")] == [f"update:{COHORT}:sha256:new"]


def test_nothing_that_arrives_between_two_looks_of_the_daemon_is_forgotten(world: World) -> None:
    def arrives(asset: str) -> None:
        with world.instance() as instance:
            instance.report_runless_asset_event(dg.AssetMaterialization(asset, partition=COHORT))

    assert world.due() == set()
    # Gates of one model end, and the next model is there, before anybody looks.
    arrives("gate_verdicts")
    arrives("recalibrated_model")
    assert "gate_verdicts" in world.due()
    # A second model, while the gates of the first were asked for.
    arrives("model_card")
    assert "gate_verdicts" in world.due()
    # What was asked for is made: nothing more to do.
    arrives("gate_verdicts")
    arrives("release_dossier")
    assert world.due() == world.due() == set()


def _advise(world: World, action: str, *, cause: str, bundle_digest: str | None = None) -> None:
    """A recommendation as a monitoring run would keep it."""
    from clinical_assets.monitoring import report_store

    about = bundle_digest or world.champion()
    content = {"verdict": action, "summary": "Advised.", "bundle_digest": about}
    content |= {"action": action, "rule": "closed_test", "cause": cause}
    report_store.keep(world.settings, COHORT, "update_recommendation", content)


@contextlib.contextmanager
def _unfinished(world: World, request: dg.RunRequest) -> Iterator[None]:
    """The requested run goes on in another process, until the end of the block."""
    tags = {**request.tags, "dagster/partition": COHORT}
    run = dg.DagsterRun(job_name=str(request.job_name), tags=tags, status=dg.DagsterRunStatus.STARTED)
    with world.instance() as instance:
        instance.add_run(run)
    try:
        yield
    finally:
        with world.instance() as instance:
            instance.delete_run(run.run_id)


def _let_promote_itself(world: World, kind: str) -> None:
    terms = {"calibration_slope": [0.5, 1.8], "calibration_intercept": [-0.7, 0.7]}
    plan = [
        {"kind": each, "criteria": terms, "promotes_itself": each == kind}
        for each in ("intercept", "intercept_and_slope", "refit")
    ]
    world.describe(pccp={"reference": "QM-0 (made up)", "permitted": plan})


def _release_again(world: World) -> None:
    """People sign the champion once more, under the description as it is now."""
    assert world.run("prepare_release").success
    world.sign()
    assert world.run("promote_champion").success
