"""From a model card to a champion by the graph: gates hold back, signatures show, a promotion asks the records."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import dagster as dg
import pytest

from assets_tests.worlds.ward.released import administrator
from assets_tests.worlds.year.description import COHORT, PEOPLE, secret
from assets_tests.worlds.year.world import World, write_catalogue
from clinical_assets.governance.gates.bias import gate as bias
from clinical_assets.governance.gates.data_quality import gate as data_quality
from clinical_assets.governance.gates.performance import gate as performance
from clinical_assets.governance.gates.regulatory import gate as regulatory
from clinical_assets.governance.gates.security import gate as security
from clinical_assets.governance.signing.people import add_person
from clinical_assets.governance.verdicts.verdict import Gate, Outcome, Verdict
from clinical_assets.records.database import RecordsDatabase

GATES = ("data_quality_gate", "performance_gate", "bias_gate", "regulatory_gate", "security_gate")
_made: dict[str, World] = {}


def _say(patch: pytest.MonkeyPatch, module: ModuleType, said: dict[str, Outcome]) -> None:
    gate: Gate = module.__name__.split(".")[-2]  # type: ignore[assignment]
    patch.setattr(
        module, "evaluate", lambda _: (Verdict(gate, "for_tests", said[gate], f"For tests it is {said[gate]}."),)
    )


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> dict[str, Outcome]:
    """What every gate says: those of the platform take seconds, and one looks at the packages of this environment."""
    said: dict[str, Outcome] = {}
    for module in (data_quality, performance, bias, regulatory, security):
        said[module.__name__.split(".")[-2]] = "pass"
        _say(monkeypatch, module, said)
    return said


@pytest.fixture
def world(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Iterator[World]:
    """A cohort that was trained by the job and judged by nobody; the test's own copy."""
    if "trained" not in _made:
        folder = tmp_path_factory.mktemp("trained")
        write_catalogue(folder)
        made = World(folder)
        with made.environment():
            assert made.due() == set()
            ran = made.run("train_cohort")
            assert ran.success, ran.errors
            by = administrator(RecordsDatabase(made.settings))
            for login, (name, roles) in PEOPLE.items():
                person = {"login": login, "printed_name": name, "roles": roles, "password": secret(login)}
                add_person(RecordsDatabase(made.settings), **person, actor="root", by=by)  # type: ignore[arg-type]
        _made["trained"] = made
    copied = _made["trained"].copy_to(tmp_path / "world")
    copied.cursor = _made["trained"].cursor
    with copied.environment():
        yield copied


def _materialised(world: World, asset: str) -> list[Any]:
    wanted = dg.AssetRecordsFilter(asset_key=dg.AssetKey(asset), asset_partitions=[COHORT])
    with world.instance() as instance:
        return list(instance.fetch_materializations(wanted, limit=50).records)


def test_each_step_is_asked_for_when_the_one_before_it_is_done_and_the_champion_after_a_signature_only(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    _say(monkeypatch, security, {"security": "pass"})
    # In one run, in which a failing gate holds the dossier back.
    assert world.due() == {"gate_verdicts", "release_dossier"}
    judged = world.run("prepare_release")
    assert judged.success, judged.errors
    checks = judged.checks()
    assert set(checks) == {*GATES, "nothing_failed"}
    assert checks["data_quality_gate"] == checks["regulatory_gate"] == checks["security_gate"] == (True, "ERROR")
    # Nobody has signed: neither the dossier nor time is a reason to promote.
    assert world.due() == world.due() == set()
    assert world.ask("promotion") == []
    assert "1 signature of reviewer" in str(world.skipped)
    world.sign()
    (request,) = world.ask("promotion")
    promoted = world.follow(request, "promotion")
    assert promoted.success, promoted.errors
    assert promoted.shown("champion_model")["bundle digest"] == world.champion() == world.candidate().digest
    assert world.due() == set()
    assert world.ask("promotion") == []


def test_an_event_is_no_reason_to_judge_again_what_has_verdicts_on_the_same(
    world: World, said: dict[str, Outcome]
) -> None:
    """Trained, judged, signed and promoted by command; then a daemon starts, to which all of it is new."""
    said["bias"] = "insufficient"
    assert world.run("prepare_release").success
    world.sign()
    assert world.run("promote_champion").success
    before = (world.champion(), world.dossier(), len(world.entries("gate_verdict")))
    # What the gates would say now, on a busy machine.
    said["performance"] = "insufficient"
    assert "gate_verdicts" in world.release_automation()[0]
    assert (world.champion(), world.dossier(), len(world.entries("gate_verdict"))) == before
    assert world.blockers() == {}
    # Whoever asks by hand gets new verdicts; so does a changed description.
    assert world.run("prepare_release").success
    assert len(world.entries("gate_verdict")) == before[2] + len(GATES)
    assert set(world.blockers()) >= {"waiver_missing"}


def test_what_fails_blocks_and_what_cannot_be_judged_warns(world: World, said: dict[str, Outcome]) -> None:
    said["security"] = "fail"
    failed = world.run("prepare_release")
    assert not failed.success
    assert failed.checks()["security_gate"] == (False, "ERROR")
    assert _materialised(world, "gate_verdicts")
    assert not _materialised(world, "release_dossier")
    assert not (world.settings.dossiers / COHORT).exists()

    said["security"] = "insufficient"
    warned = world.run("prepare_release")
    assert warned.success, warned.errors
    assert warned.checks()["security_gate"] == (False, "WARN")
    assert warned.shown("release_dossier")["dossier digest"] == world.dossier()
    (blocker,) = [each for each in world.blockers()["waiver_missing"] if "security/for_tests" in each]
    assert "nobody waived it" in blocker


def test_automation_asks_for_a_dossier_only_when_no_gate_failed(world: World, said: dict[str, Outcome]) -> None:
    said["security"] = "fail"
    assert world.release_automation()[-1] == set()
    assert _materialised(world, "gate_verdicts")
    assert not _materialised(world, "release_dossier")
    assert not (world.settings.dossiers / COHORT).exists()
    # What could not be judged is read in the dossier, and waived.
    said["security"] = "insufficient"
    assert not world.run("prepare_release", "gate_verdicts").checks()["security_gate"][0]
    assert {"release_dossier"} in world.release_automation()
    assert _materialised(world, "release_dossier")


def test_a_promotion_that_nobody_signed_fails_with_the_list_of_what_is_missing(
    world: World, said: dict[str, Outcome]
) -> None:
    assert world.run("prepare_release").success
    missing = world.run("promote_champion")
    assert not missing.success
    assert "unsigned" in missing.errors[0]
    assert "reviewer" in missing.errors[0]

    # The graph had its passes before: what promotes looks at the verdicts of now.
    world.sign()
    said["security"] = "fail"
    world.run("prepare_release", "gate_verdicts")
    refused = world.run("promote_champion")
    assert not refused.success
    assert "gate_failed" in refused.errors[0]
    assert not (world.settings.serving / COHORT / "champion.json").exists()
    assert world.entries("promotion") == []


def test_a_signature_shows_as_a_materialisation_of_the_approval_bound_to_its_dossier(
    world: World, said: dict[str, Outcome]
) -> None:
    said["bias"] = "insufficient"
    assert world.run("prepare_release").success
    world.sign()
    shown = _materialised(world, "approval")
    given = [*world.entries("waiver"), *world.entries("signature")]
    assert len(shown) == len(given) > 0
    newest = shown[0].asset_materialization
    assert newest is not None
    assert (newest.tags or {})["dagster/data_version"] == world.dossier()
    told = {name: value.value for name, value in newest.metadata.items()}
    assert told["printed name"] == "Bob Brook"
    assert told["bundle digest"] == world.candidate().digest
    # Nobody can approve by materialising it: it belongs to no job and has no code.
    with world.instance() as instance, pytest.raises(dg.DagsterInvalidDefinitionError):
        _run_alone(instance, "approval")


def _run_alone(instance: dg.DagsterInstance, asset: str) -> None:
    from clinical_assets.definitions import load

    job = load().resolve_job_def("promote_champion")
    job.execute_in_process(partition_key=COHORT, instance=instance, asset_selection=[dg.AssetKey(asset)])


def test_going_through_it_a_second_time_changes_nothing(world: World, said: dict[str, Outcome]) -> None:
    assert world.run("prepare_release").success
    world.sign()
    assert world.run("promote_champion").success
    before = (world.champion(), world.dossier(), len(world.entries("promotion")), len(world.entries("dossier")))
    again = [world.run("prepare_release"), world.run("promote_champion")]
    assert all(ran.success for ran in again), [ran.errors for ran in again]
    assert (world.champion(), world.dossier(), len(world.entries("promotion")), len(world.entries("dossier"))) == before
    for asset in ("gate_verdicts", "release_dossier", "champion_model"):
        shown = [each.asset_materialization for each in _materialised(world, asset)]
        assert len(shown) == 2
        assert len({(each.tags or {})["dagster/data_version"] for each in shown if each is not None}) == 1
