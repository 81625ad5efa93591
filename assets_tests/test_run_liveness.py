"""A run whose process was killed is known by its free lock and ended; a run that is stopped leaves nothing behind."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from assets_tests.worlds.machine.commands import ENDLESS, SOUND, Installation, until
from clinical_assets.defs.automation.run_counts import PROCESS_GONE, counted_runs
from clinical_assets.foundation import locks
from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.launch.instance import open_instance
from clinical_assets.run_liveness import (
    PROCESS_GONE_TAG,
    STARTED_BY_TAG,
    died,
    end_died,
    has_died,
    hold_run,
    lock_of,
    release_run,
)

STATUS = dg.DagsterRunStatus


@pytest.fixture
def place(tmp_path: Path) -> Installation:
    """An installation of the test's own."""
    return Installation(tmp_path)


@pytest.fixture
def instance(place: Installation, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """The Dagster instance that its commands write into."""
    for name, value in place.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    with open_instance() as made:
        yield made
    release_run()


def _under_way(instance: dg.DagsterInstance) -> dg.DagsterRun | None:
    """The endless run, when it has come to its endless statement."""
    for run in instance.get_runs(dg.RunsFilter(statuses=[STATUS.STARTED])):
        steps = {each.step_key: each.status for each in instance.get_run_step_stats(run.run_id)}
        if "features" in steps:
            return run
    return None


@pytest.mark.slow
def test_killed_with_its_parent_a_run_is_known_dead_named_by_doctor_and_ended_by_the_next_command(
    place: Installation, instance: dg.DagsterInstance
) -> None:
    with place.command("materialize", ENDLESS):
        run = until(lambda: _under_way(instance), what="the endless statement")
        assert not has_died(instance, run)
        assert counted_runs(instance)["ingest_cohort", "under_way"] == 1
        for number in place.processes():
            os.kill(number, signal.SIGKILL)
        until(lambda: not place.processes(), what="the end of all processes")
    left = instance.get_run_by_id(run.run_id)
    assert left is not None
    assert left.status is STATUS.STARTED
    # As a training leaves it that is killed while it writes its bundle.
    half = place.data / "models" / ".bundle-1-0123456789abcdef"
    half.mkdir(parents=True)
    half.with_name(f"{half.name}.lock").touch()
    assert [each.run_id for each in died(instance)] == [run.run_id]
    counts = counted_runs(instance)
    assert (counts["ingest_cohort", "under_way"], counts["ingest_cohort", PROCESS_GONE]) == (0, 1)
    with place.command("doctor") as doctor:
        said, _ = doctor.communicate()
    assert f"run {run.run_id} of ingest_cohort is called started" in " ".join(said.split())

    with place.command("materialize", SOUND) as again:
        _, errors = again.communicate()
    assert again.returncode == 0, errors
    ended = instance.get_run_by_id(run.run_id)
    assert ended is not None
    assert ended.status is STATUS.FAILURE
    assert PROCESS_GONE_TAG in ended.tags
    assert any("process of this run is gone" in each.message for each in instance.all_logs(run.run_id))
    assert not lock_of(instance, run.run_id).exists()
    assert list(half.parent.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_cancels_the_run_says_what_was_done_and_leaves_no_process(
    place: Installation, instance: dg.DagsterInstance, sent: signal.Signals
) -> None:
    with place.command("materialize", ENDLESS, SOUND, "--workers", "1") as command:
        run = until(lambda: _under_way(instance), what="the endless statement")
        os.kill(command.pid, sent)
        said, errors = command.communicate(timeout=60)
        assert command.returncode == 130
        assert f"Left: clinical-assets materialize {ENDLESS} {SOUND} --job ingest_cohort" in " ".join(errors.split())
        until(lambda: not place.processes(), what="the end of all processes", patience_s=10)
    ended = instance.get_run_by_id(run.run_id)
    assert ended is not None
    assert ended.status is STATUS.CANCELED
    lines = {line.split()[0]: line for line in said.splitlines() if line.strip().startswith("ward_")}
    assert "canceled" in lines[ENDLESS]
    assert "not begun" in lines[SOUND]
    assert instance.get_runs_count() == 1


@pytest.mark.slow
def test_a_run_of_the_command_line_can_be_terminated_from_the_ui(
    place: Installation, instance: dg.DagsterInstance
) -> None:
    with place.command("materialize", ENDLESS) as command:
        run = until(lambda: _under_way(instance), what="the endless statement")
        assert instance.run_launcher.terminate(run.run_id)
        said, _ = command.communicate(timeout=60)
    assert "canceled" in said
    ended = instance.get_run_by_id(run.run_id)
    assert ended is not None
    assert ended.status is STATUS.CANCELED


@pytest.mark.slow
def test_a_worker_ends_when_the_command_that_started_it_is_killed(
    place: Installation, instance: dg.DagsterInstance
) -> None:
    with place.command("materialize", ENDLESS) as command:
        run = until(lambda: _under_way(instance), what="the endless statement")
        os.kill(command.pid, signal.SIGKILL)
        until(lambda: not place.processes(), what="the end of the worker", patience_s=45)
    end_died(instance)  # where the worker was too late to say so itself, whoever looks next does
    ended = instance.get_run_by_id(run.run_id)
    assert ended is not None
    assert ended.status is STATUS.FAILURE


def _run(instance: dg.DagsterInstance, **tags: str) -> dg.DagsterRun:
    run = dg.DagsterRun(job_name="ingest_cohort", status=STATUS.STARTED, tags=tags)
    instance.add_run(run)
    return run


def test_only_a_run_whose_lock_is_free_has_died(instance: dg.DagsterInstance) -> None:
    held, free, never = (_run(instance, **{STARTED_BY_TAG: "command line"}) for _ in range(3))
    hold_run(instance, free.run_id)
    hold_run(instance, held.run_id)  # the same thread begins another run: the first has ended
    assert not lock_of(instance, free.run_id).exists()
    assert [has_died(instance, run) for run in (held, free, never)] == [False, True, True]
    assert {run.run_id for run in end_died(instance)} == {free.run_id, never.run_id}
    assert end_died(instance) == []
    assert lock_of(instance, held.run_id).exists()


def test_a_run_of_other_code_in_the_same_instance_is_left_alone(instance: dg.DagsterInstance) -> None:
    stranger = _run(instance)
    assert not has_died(instance, stranger)
    assert end_died(instance) == []


def test_a_run_that_dies_while_it_is_canceled_becomes_canceled(instance: dg.DagsterInstance) -> None:
    run = _run(instance, **{STARTED_BY_TAG: "command line"})
    instance.report_run_canceling(run)
    (ended,) = end_died(instance)
    stored = instance.get_run_by_id(ended.run_id)
    assert stored is not None
    assert stored.status is STATUS.CANCELED


def test_asking_whether_a_lock_is_held_neither_makes_nor_takes_it(tmp_path: Path) -> None:
    path = tmp_path / "one.lock"
    assert not locks.is_held(path)
    assert not path.exists()
    with locks.hold(path, wanted="one", patience_s=0, error=ClinicalAssetsError):
        assert locks.is_held(path)
        assert locks.is_held(path)
    assert not locks.is_held(path)
