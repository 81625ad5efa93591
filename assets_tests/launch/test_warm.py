"""A warm process executes one run after another as a process per run would, and takes only its own run with it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import dagster as dg
import pytest
from dagster._core.definitions.reconstruct import ReconstructableRepository

from clinical_assets.dagster_private import DEQUEUES, instance_at, instance_reference
from clinical_assets.launch.warm.code_state import CodeState
from clinical_assets.launch.warm.launcher import WarmRunLauncher
from clinical_assets.launch.warm.pool import WarmPool
from clinical_assets.launch.warm.run_queue import PromptRunQueue
from clinical_assets.run_liveness import PROCESS_GONE_TAG, end_gone, lock_of

T = TypeVar("T")
REPOSITORY = Path(__file__).parents[2]
STATUS = dg.DagsterRunStatus
CODE = """
import os, signal, time
import dagster as dg

@dg.op(config_schema={"does": str})
def work(context):
    print("printed in", context.run_id)
    context.log.info(f"WORD in {os.getpid()}")
    if context.op_config["does"] == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    until = time.monotonic() + (60 if context.op_config["does"] == "wait" else 0)
    while time.monotonic() < until and not os.path.exists("go_on"):
        time.sleep(0.05)

@dg.job(executor_def=dg.in_process_executor)
def works():
    work()

defs = dg.Definitions(jobs=[works])
"""


class Place:
    """An installation whose code is one job, and the pool of its launcher."""

    def __init__(self, folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.module, self.file = folder, name, folder / f"{name}.py"
        self.file.write_text(CODE)
        monkeypatch.setenv("CLINICAL_ASSETS_DATA", str(folder / "data"))
        monkeypatch.delenv("CLINICAL_ASSETS_CATALOGUE", raising=False)
        monkeypatch.delenv("DAGSTER_HOME", raising=False)
        monkeypatch.chdir(folder)
        monkeypatch.syspath_prepend(str(folder))
        self.instance = instance_at(folder / "data" / "dagster", configured_in=REPOSITORY)
        self.pool = self.opened_pool()

    def opened_pool(self, most_runs: int = 100) -> WarmPool:
        """A pool of one process."""
        return WarmPool(
            lost=lambda run_id: void(end_gone(self.instance, run_id)),
            kept=1,
            idle_s=60,
            most_runs=most_runs,
            most_megabytes=4000,
        )

    def waiting(self, does: str = "nothing") -> str:
        """A run that was taken from the queue, not yet handed to a process."""
        repository = ReconstructableRepository.for_module(self.module, "defs", str(self.folder))
        job = repository.get_reconstructable_job("works")
        run = self.instance.create_run_for_job(
            job_def=job.get_definition(),
            run_config={"ops": {"work": {"config": {"does": does}}}},
            job_code_origin=job.get_python_origin(),
        )
        self.instance.report_dagster_event(
            dg.DagsterEvent(event_type_value="PIPELINE_STARTING", job_name="works"), run_id=run.run_id
        )
        return run.run_id

    def launched(self, does: str = "nothing", *, pool: WarmPool | None = None) -> str:
        """A run that was handed over."""
        run_id = self.waiting(does)
        (pool or self.pool).run(run_id, instance_reference(self.instance))
        return run_id

    def status(self, run_id: str) -> dg.DagsterRunStatus:
        run = self.instance.get_run_by_id(run_id)
        assert run is not None
        return run.status

    def ended(self, run_id: str) -> dg.DagsterRunStatus:
        """How a run ended, when it has."""
        until(lambda: self.instance.get_run_by_id(run_id).is_finished)  # type: ignore[union-attr]
        return self.status(run_id)

    def word(self, run_id: str) -> tuple[str, int]:
        """What the step of a run said, and the number of its process."""
        said = re.search(r"(WORD|OTHER) in (\d+)", " ".join(each.message for each in self.instance.all_logs(run_id)))
        assert said is not None
        return said[1], int(said[2])

    def until_it_waits(self, run_id: str) -> None:
        """Come back when the step of a run has begun."""
        until(lambda: any("WORD in" in each.message for each in self.instance.all_logs(run_id)))

    def printed(self, run_id: str) -> str:
        """What the run's steps printed, as the UI shows it."""
        logs = self.instance.compute_log_manager
        event = next(
            each.dagster_event
            for each in self.instance.all_logs(run_id)
            if each.dagster_event and each.dagster_event.event_type is dg.DagsterEventType.LOGS_CAPTURED
        )
        key = [run_id, "compute_logs", event.logs_captured_data.file_key]
        return (logs.get_log_data(key).stdout or b"").decode()


def void(_: object) -> None:
    """Drop a value."""


def until(look: Callable[[], T], patience_s: float = 90.0) -> T:
    """The first thing found that is true."""
    ends = time.monotonic() + patience_s
    while not (found := look()):
        assert time.monotonic() < ends, "it did not happen"
        time.sleep(0.05)
    return found


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Place]:
    made = Place(tmp_path, f"works_{abs(hash(request.node.name))}", monkeypatch)
    yield made
    made.pool.close()
    made.instance.dispose()


@pytest.mark.slow
def test_one_process_executes_run_after_run_and_each_keeps_its_own_words(place: Place) -> None:
    first = place.launched()
    assert place.ended(first) is STATUS.SUCCESS
    second = place.launched()
    assert place.ended(second) is STATUS.SUCCESS
    assert place.word(first) == place.word(second) != ("WORD", os.getpid())
    assert place.printed(first) == f"printed in {first}\n"
    assert place.printed(second) == f"printed in {second}\n"
    until(lambda: not list(lock_of(place.instance, first).parent.glob("*.holder")))


@pytest.mark.slow
def test_a_killed_process_takes_its_own_run_and_the_next_run_has_another(place: Place) -> None:
    killed = place.launched("die")
    assert place.ended(killed) is STATUS.FAILURE
    assert PROCESS_GONE_TAG in place.instance.get_run_by_id(killed).tags  # type: ignore[union-attr]
    after = place.launched()
    assert place.ended(after) is STATUS.SUCCESS
    assert place.word(after)[1] != place.word(killed)[1]


@pytest.mark.slow
def test_a_run_that_is_terminated_is_canceled_and_its_process_has_the_next(place: Place) -> None:
    launcher = WarmRunLauncher()
    launcher.register_instance(place.instance)
    run_id = place.launched("wait")
    place.until_it_waits(run_id)
    assert launcher.terminate(run_id)
    assert place.ended(run_id) is STATUS.CANCELED
    assert not launcher.terminate(run_id)
    # Asked for before its process has begun it, a run has no step.
    before = place.waiting()
    assert launcher.terminate(before)
    place.pool.run(before, instance_reference(place.instance))
    assert place.ended(before) is STATUS.CANCELED
    after = place.launched()
    assert place.ended(after) is STATUS.SUCCESS
    assert place.word(after) == place.word(run_id)


@pytest.mark.slow
def test_changed_code_is_never_executed_by_a_process_that_has_the_old(place: Place) -> None:
    first = place.launched()
    assert place.ended(first) is STATUS.SUCCESS
    place.file.write_text(CODE.replace("WORD", "OTHER"))
    second = place.launched()
    assert place.ended(second) is STATUS.SUCCESS
    assert place.word(second)[0] == "OTHER"
    assert place.word(second)[1] != place.word(first)[1]


@pytest.mark.soak
def test_a_process_ends_after_as_many_runs_as_it_may_have(place: Place) -> None:
    place.pool = place.opened_pool(most_runs=1)
    first, second = place.launched(), place.launched()
    assert [place.ended(each) for each in (first, second)] == [STATUS.SUCCESS, STATUS.SUCCESS]
    assert place.word(first) != place.word(second)


@pytest.mark.soak
def test_a_run_goes_on_when_whoever_launched_it_is_killed_and_its_process_ends_with_it(place: Place) -> None:
    run_id = place.waiting("wait")
    starter = textwrap.dedent(f"""
        import time
        from clinical_assets.launch.warm.pool import WarmPool
        pool = WarmPool(lost=print, kept=1, idle_s=60, most_runs=9, most_megabytes=4000)
        pool.run({run_id!r}, {instance_reference(place.instance)!r})
        time.sleep(120)
    """)
    path = os.pathsep.join((str(REPOSITORY), str(place.folder)))
    with subprocess.Popen([sys.executable, "-c", starter], env={**os.environ, "PYTHONPATH": path}) as process:
        place.until_it_waits(run_id)
        process.kill()
    number = place.word(run_id)[1]
    assert place.status(run_id) is STATUS.STARTED
    (place.folder / "go_on").touch()
    assert place.ended(run_id) is STATUS.SUCCESS
    until(lambda: not Path(f"/proc/{number}").exists())


def test_an_added_removed_or_changed_file_is_a_change_and_a_cache_of_python_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLINICAL_ASSETS_CATALOGUE", str(tmp_path))
    described = tmp_path / "heart.yaml"
    described.write_text("title: Heart\n")
    state = CodeState()
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "heart.pyc").touch()
    assert not state.changed()
    described.write_text("title: Hearts\n")
    assert state.changed()
    state = CodeState()
    described.unlink()
    assert state.changed()
    state = CodeState()
    (tmp_path / "sql").mkdir()
    (tmp_path / "sql" / "features.sql").touch()
    assert state.changed()


def test_the_queue_pauses_once_per_look_and_no_longer_than_until_a_process_is_free(place: Place) -> None:
    launcher, queue = WarmRunLauncher(), PromptRunQueue()
    place.instance._run_launcher, place.instance._run_coordinator = launcher, queue
    for each in (launcher, queue):
        each.register_instance(place.instance)
    waits: list[float] = []

    def look() -> None:
        started = time.monotonic()
        queue.get_run_queue_config()
        waits.append(time.monotonic() - started)

    def looks() -> None:
        look()
        assert queue.dequeue_use_threads is False
        look()
        look()
        assert queue.dequeue_use_threads is False
        threading.Timer(0.05, launcher._pool.freed.set).start()
        look()

    thread = threading.Thread(target=looks, name=DEQUEUES)
    thread.start()
    thread.join()
    first, paused, again, freed = waits
    assert paused >= 0.4
    assert max(first, again) < 0.2
    assert freed < 0.4
    assert queue.dequeue_interval_seconds == 0
    # Nobody else is held up by it.
    assert queue.dequeue_use_threads is False
    look()
    assert waits[-1] < 0.2
