"""Experiments over the API: silent first, then divided, each answer logged with its arm, and pairs by request."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from assets_tests.serving.conftest import Client
from assets_tests.worlds.ward.api_server import path_of, record
from assets_tests.worlds.ward.released import Releasable, flip_a_byte, proof
from assets_tests.worlds.ward.trained import COHORT
from assets_tests.worlds.ward.trial import WardTrial, ward_trial
from clinical_assets.experiments.assignment import arm_of
from clinical_assets.experiments.decisions import stop_experiment
from clinical_assets.experiments.exposures import Exposure, read_exposures
from clinical_assets.records.prediction_log.verification import verify_log
from clinical_assets.serving.service import PredictionService
from clinical_assets.workspace import Workspace


@pytest.fixture
def trial(released: Releasable) -> WardTrial:
    """Signed, in its silent stage."""
    made = ward_trial(released)
    made.begin()
    return made


@pytest.fixture
def service(workspace: Workspace, trial: WardTrial) -> Iterator[PredictionService]:
    """A service that was started while the experiment goes on."""
    assert trial.running.state == "silent"
    made = PredictionService(workspace)
    made.start()
    yield made
    made.stop()


def exposures(trial: WardTrial, service: PredictionService) -> tuple[Exposure, ...]:
    """What the log says once every score that nobody waited for is in it."""
    service.cohort(COHORT).predictions.shadows_done()
    return read_exposures(trial.made.settings, trial.cohort.spec, protocol=trial.protocol.digest).exposures


def patient(number: int) -> dict[str, Any]:
    return record(patient_id=f"Y{number:05d}", age_years=40 + number % 45, marker_a=(number % 7) / 2)


@pytest.mark.anyio
async def test_in_the_silent_stage_the_champion_answers_everybody_and_the_pair_is_kept(
    trial: WardTrial, service: PredictionService, client: Client
) -> None:
    async with client() as asking:
        answers = [await asking.post(path_of("predict"), json={"records": [patient(n)]}) for n in range(12)]
    assert {each.headers["x-experiment-arm"] for each in answers} == {"champion"}
    assert {each.json()["model"]["digest"] for each in answers} == {trial.protocol.champion}
    found = exposures(trial, service)
    assert len(found) == 12
    assert {(each.share, each.arm) for each in found} == {(0.0, "champion")}
    by_challenger = [each.shadow.risk for each in found if each.shadow is not None and each.shadow.risk is not None]
    assert len(by_challenger) == 12
    assert by_challenger != [each.risk for each in found]
    # The second model, asked alone, says the same.
    scored = service.trials.current(COHORT)
    assert scored is not None
    checked = service.cohort(COHORT).predictions._checker.check([[patient(n) for n in range(12)]])
    alone = scored.scorer.score(checked.of([0]))
    assert by_challenger == [alone[key].risk for key in checked.requests[0].keys]


@pytest.mark.anyio
async def test_a_patient_stays_in_one_arm_across_requests_restarts_and_a_raised_share(
    trial: WardTrial, service: PredictionService, client: Client, workspace: Workspace
) -> None:
    trial.expose()
    service.trials.look()
    async with client() as asking:
        first = [(await asking.post(path_of("predict"), json={"records": [patient(n)]})).json() for n in range(30)]
        several = await asking.post(path_of("predict"), json={"records": [patient(n) for n in range(30)]})
    arms = [each["predictions"][0]["arm"] for each in first]
    assert set(arms) == {"champion", "challenger"}
    assert several.headers["x-experiment-arm"] == "challenger, champion"
    assert [each["arm"] for each in several.json()["predictions"]] == arms
    named = {"champion": trial.protocol.champion, "challenger": trial.protocol.challenger}
    assert [each["model"] for each in several.json()["predictions"]] == [named[arm] for arm in arms]
    assert [each["model"]["digest"] for each in first] == [named[arm] for arm in arms]
    again = PredictionService(workspace)
    again.start()
    try:
        names = again.cohort(COHORT).predictions.names
        salt = str(trial.running.salt)
        assert [arm_of(names.subject(f"Y{n:05d}"), salt=salt, share=0.5) for n in range(30)] == arms
    finally:
        again.stop()
    found = exposures(trial, service)
    assert len(found) == 60
    assert all(each.shadow is not None and each.shadow.risk is not None for each in found)
    assert [each.arm for each in found[:30]] == arms
    # The log's own line is of the model that answered, and the chain holds.
    report = verify_log(trial.made.settings, COHORT, ledger=trial.cohort.workspace.ledger)
    assert (report.lines, report.problem) == (120, None)


@pytest.mark.anyio
async def test_outcomes_of_both_arms_are_taken_by_the_name_of_the_answer(
    trial: WardTrial, service: PredictionService, client: Client
) -> None:
    trial.expose()
    service.trials.look()
    async with client() as asking:
        answer = (await asking.post(path_of("predict"), json={"records": [patient(n) for n in range(8)]})).json()
        label = trial.cohort.spec.target.classes[1]
        facts = [{"prediction": each["prediction"], "outcome": label} for each in answer["predictions"]]
        told = await asking.post(path_of("outcomes"), json={"outcomes": facts})
    assert told.json()["recorded"] == 8
    log = read_exposures(trial.made.settings, trial.cohort.spec, protocol=trial.protocol.digest)
    assert all(log.outcomes[each.record].event for each in log.exposures)


@pytest.mark.anyio
async def test_an_experiment_that_ends_or_cannot_be_verified_leaves_everybody_to_the_champion(
    trial: WardTrial, service: PredictionService, client: Client
) -> None:
    trial.expose()
    service.trials.look()
    loaded = service.trials.current(COHORT)
    assert loaded is not None
    flip_a_byte(next(path for path in loaded.bundle.folder.iterdir() if path.suffix == ".onnx"))
    service.trials._seen = None
    service.trials.look()
    assert "changed" in service.trials.problems()[COHORT]
    async with client() as asking:
        answer = await asking.post(path_of("predict"), json={"records": [patient(n) for n in range(10)]})
        assert "x-experiment-arm" not in answer.headers
        assert "arm" not in answer.json()["predictions"][0]
        stop_experiment(trial.cohort, proof=proof("bob"), reason="Damaged.")
        service.trials.look()
        assert service.trials.current(COHORT) is None
        assert not service.trials.problems()


@pytest.mark.anyio
async def test_a_challenger_that_fails_is_covered_by_the_champion_and_counted(
    trial: WardTrial, service: PredictionService, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    import duckdb

    trial.expose()
    service.trials.look()
    loaded = service.trials.current(COHORT)
    assert loaded is not None

    def broken(_: object) -> object:
        raise duckdb.InvalidInputException("a value of a record")

    monkeypatch.setattr(loaded.scorer, "score", broken)
    async with client() as asking:
        answer = await asking.post(path_of("predict"), json={"records": [patient(n) for n in range(20)]})
    assert answer.status_code == 200
    assert {each["model"] for each in answer.json()["predictions"]} == {trial.protocol.champion}
    found = exposures(trial, service)
    assert [each.failed for each in found] == [each.arm == "challenger" for each in found]
    assert any(each.failed for each in found)
