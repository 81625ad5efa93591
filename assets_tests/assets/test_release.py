"""From a model card to a champion by the graph: gates that hold back, signatures that show, a promotion that asks again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from assets_tests.automation.scenarios import COHORT, PEOPLE, World, secret, write_catalogue
from clinical_assets.governance.gates import security
from clinical_assets.governance.people import add_person
from clinical_assets.governance.verdicts import Outcome, Verdict
from clinical_assets.records.database import RecordsDatabase

GATES = ("data_quality_gate", "performance_gate", "bias_gate", "regulatory_gate", "security_gate")
_made: dict[str, World] = {}


def _of_the_packages(outcome: Outcome) -> tuple[Verdict, ...]:
    return (Verdict("security", "dependencies_locked", outcome, f"For tests it is {outcome}."),)


@pytest.fixture
def packages(monkeypatch: pytest.MonkeyPatch) -> dict[str, Outcome]:
    """What the security gate says of this environment, which differs from one developer to the next."""
    said: dict[str, Outcome] = {"outcome": "pass"}
    monkeypatch.setattr(security, "evaluate", lambda _: _of_the_packages(said["outcome"]))
    return said


@pytest.fixture
def world(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, packages: dict[str, Outcome]
) -> Iterator[World]:
    """A cohort that was trained by the job and judged by nobody; the test's own copy."""
    if "trained" not in _made:
        folder = tmp_path_factory.mktemp("trained")
        write_catalogue(folder)
        made = World(folder)
        with made.environment():
            assert made.due() == set()
            ran = made.run("train_cohort")
            assert ran.success, ran.errors
            for login, (name, roles) in PEOPLE.items():
                person = {"login": login, "printed_name": name, "roles": roles, "password": secret(login)}
                add_person(RecordsDatabase(made.settings), **person, actor="root")  # type: ignore[arg-type]
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
    world: World,
) -> None:
    assert world.due() == {"gate_verdicts"}
    judged = world.run("prepare_release", "gate_verdicts")
    assert judged.success, judged.errors
    checks = judged.checks()
    assert set(checks) == set(GATES)
    assert checks["data_quality_gate"] == checks["regulatory_gate"] == checks["security_gate"] == (True, "ERROR")
    assert world.due() == {"release_dossier"}
    assert world.run("prepare_release", "release_dossier").success
    # Nobody has signed: neither the dossier nor time is a reason to promote.
    assert world.due() == world.due() == set()
    world.sign()
    assert world.due() == {"champion_model"}
    promoted = world.run("promote_champion")
    assert promoted.success, promoted.errors
    assert promoted.shown("champion_model")["bundle digest"] == world.champion() == world.candidate().digest
    assert world.due() == set()


def test_what_fails_blocks_and_what_cannot_be_judged_warns(world: World, packages: dict[str, Outcome]) -> None:
    packages["outcome"] = "fail"
    failed = world.run("prepare_release")
    assert not failed.success
    assert failed.checks()["security_gate"] == (False, "ERROR")
    assert _materialised(world, "gate_verdicts")
    assert not _materialised(world, "release_dossier")
    assert not (world.settings.dossiers / COHORT).exists()

    packages["outcome"] = "insufficient"
    warned = world.run("prepare_release")
    assert warned.success, warned.errors
    assert warned.checks()["security_gate"] == (False, "WARN")
    assert warned.shown("release_dossier")["dossier digest"] == world.dossier()
    (blocker,) = [each for each in world.blockers()["waiver_missing"] if "dependencies_locked" in each]
    assert "nobody waived it" in blocker


def test_a_promotion_that_nobody_signed_fails_with_the_list_of_what_is_missing(
    world: World, packages: dict[str, Outcome]
) -> None:
    assert world.run("prepare_release").success
    missing = world.run("promote_champion")
    assert not missing.success
    (said,) = missing.errors
    assert "unsigned" in said
    assert "reviewer" in said

    # The graph had its passes before: what promotes looks at the verdicts of now.
    world.sign()
    packages["outcome"] = "fail"
    world.run("prepare_release", "gate_verdicts")
    refused = world.run("promote_champion")
    assert not refused.success
    assert "gate_failed" in refused.errors[0]
    assert not (world.settings.serving / COHORT / "champion.json").exists()
    assert world.entries("promotion") == []


def test_a_signature_shows_as_a_materialisation_of_the_approval_bound_to_its_dossier(world: World) -> None:
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
    with world.instance() as instance, pytest.raises(dg.DagsterInvalidSubsetError):
        _run_alone(instance, "approval")


def _run_alone(instance: dg.DagsterInstance, asset: str) -> None:
    from clinical_assets.definitions import defs

    job = defs.resolve_job_def("promote_champion")
    job.execute_in_process(partition_key=COHORT, instance=instance, asset_selection=[dg.AssetKey(asset)])


def test_going_through_it_a_second_time_changes_nothing(world: World) -> None:
    assert world.run("prepare_release").success
    world.sign()
    assert world.run("promote_champion").success
    before = (world.champion(), world.dossier(), len(world.entries("promotion")), len(world.entries("dossier")))
    again = [world.run("prepare_release"), world.run("promote_champion")]
    assert all(ran.success for ran in again), [ran.errors for ran in again]
    assert (world.champion(), world.dossier(), len(world.entries("promotion")), len(world.entries("dossier"))) == before
    versions = {
        (each.asset_materialization.tags or {})["dagster/data_version"]
        for asset in ("gate_verdicts", "release_dossier", "champion_model")
        for each in _materialised(world, asset)
        if each.asset_materialization is not None
    }
    assert len(versions) == 3
