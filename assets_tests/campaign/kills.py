"""Processes killed at random: the command line with its workers, an intake, a promotion; and a daemon with its runs."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import dagster as dg

from assets_tests.campaign.counting import Count, Until
from assets_tests.worlds.machine.commands import ENDLESS, SOUND, Installation, until
from assets_tests.worlds.machine.processes import ROOT
from assets_tests.worlds.team.cohorts import MARK, made_subjects, made_visits, write_csv
from assets_tests.worlds.team.runs import digests
from clinical_assets.defs.resources import Platform
from clinical_assets.launch.instance import open_instance
from clinical_assets.records.database import RecordsDatabase
from clinical_assets.records.ledger.ledger import Ledger
from clinical_assets.run_liveness import PROCESS_GONE_TAG
from clinical_assets.sources.inbox import DONE, REFUSED
from clinical_assets.warehouse.store.warehouse import Warehouse

UNFINISHED = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.CANCELING]
#: Seconds in which a daemon has ended a run that lost its process, counted from its own first sign of life.
ENDED_WITHIN_S = 60.0


@contextlib.contextmanager
def environment(place: Installation) -> Iterator[None]:
    """Let this process look at the installation."""
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(place.environment())
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def kill_commands(count: Count, folder: Path, ends: Until) -> None:
    """`materialize` killed anywhere; tables stay whole, and the next command goes on."""
    place = Installation(folder)
    seconds = complete(place, "materialize", SOUND, "--force")
    right = _tables(place)
    while True:

        def trial() -> str | None:
            wait, whole = count.random.uniform(0.0, seconds), count.random.random() < 0.5
            with place.command("materialize", SOUND, "--force") as command:
                time.sleep(wait)
                victims = (
                    place.processes() if whole else {count.random.choice(sorted(place.processes() | {command.pid}))}
                )
                for number in victims:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(number, signal.SIGKILL)
                until(lambda: not place.processes(), what="the end of what was not killed", patience_s=180)
            if _tables(place) != right:
                return f"tables changed by a kill after {wait:.2f} s"
            complete(place, "materialize", SOUND)
            with environment(place), open_instance() as instance:
                left = instance.get_runs_count(dg.RunsFilter(statuses=UNFINISHED))
            return f"{left} runs stay unfinished after a kill after {wait:.2f} s" if left else None

        count.trial("kills of a command, all of it or one process", trial)
        if not ends:
            return


def _tables(place: Installation) -> dict[str, str]:
    """Digest of every table but the overview, which holds when the records were taken in: each run writes it anew."""
    with environment(place):
        found = digests(Platform().cohort(SOUND))
    return {name: digest for name, digest in found.items() if name != 'marts."cohort_overview"'}


def kill_intakes(count: Count, folder: Path, ends: Until) -> None:
    """A monitoring run killed anywhere: each delivery is taken in and entered once."""
    place = Installation(folder)
    seconds = complete(place, "materialize", SOUND, "--job", "monitor_cohort")
    inbox, sent = place.data / "inbox" / SOUND, 0
    while True:

        def trial() -> str | None:
            nonlocal sent
            for _ in range(3):
                sent += 1
                deliver_one(inbox, sent)
            with place.command("materialize", SOUND, "--job", "monitor_cohort"):
                time.sleep(count.random.uniform(0.0, seconds))
                for number in place.processes():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(number, signal.SIGKILL)
                until(lambda: not place.processes(), what="the end of all processes", patience_s=60)
            complete(place, "materialize", SOUND, "--job", "monitor_cohort")
            return _intake_problem(place, sent)

        count.trial("kills of an intake", trial)
        if not ends:
            return


def deliver_one(inbox: Path, number: int) -> None:
    """One delivery of two tables as a folder, complete at once."""
    work = inbox / f".{number}"
    work.mkdir(parents=True)
    subject = f"{MARK}-{10_000 + number}"
    write_csv(work / "subjects.csv", [{**made_subjects(1)[0], "PatID": subject}])
    write_csv(work / "visits.csv", [{**visit, "patient_id": subject} for visit in made_visits(1)])
    work.rename(inbox / str(number))


def _intake_problem(place: Installation, sent: int) -> str | None:
    with environment(place):
        cohort = Platform().cohort(SOUND)
        warehouse = Warehouse(SOUND, cohort.settings)
        entries = Ledger(RecordsDatabase(cohort.settings)).entries(action="batch", cohort=SOUND)
        tables = {f"{each.schema}.{each.name}" for each in warehouse.tables()}
        there = warehouse.query("SELECT batch FROM received.batches")["batch"].to_list() if tables else []
    entered = Counter(entry.digest for entry in entries)
    folder = place.data / "inbox" / SOUND
    moved = len([*(folder / DONE).glob("*")]) + len([each for each in (folder / REFUSED).glob("*") if each.is_dir()])
    if moved != sent:
        return f"{sent} deliveries, {moved} of them moved"
    if set(entered) != set(there) or set(entered.values()) - {1}:
        return f"{len(there)} batches in the warehouse, entries {sorted(entered.values())}"
    return None


def kill_daemon(count: Count, folder: Path) -> None:
    """A power cut under a daemon that runs a run: the next daemon ends the run within a minute."""
    place = Installation(folder)
    home = place.data / "dagster"
    home.mkdir(parents=True)
    (home / "dagster.yaml").symlink_to(ROOT / "dagster.yaml")
    variables = {**place.environment(), "DAGSTER_HOME": str(home)}
    workspace = ["-w", str(ROOT / "workspace.yaml")]
    launch = ["job", "launch", *workspace, "-j", "ingest_cohort", "--tags", f'{{"dagster/partition": "{ENDLESS}"}}']

    def dagster(*arguments: str) -> subprocess.Popen[bytes]:
        log = (place.data / "daemon.log").open("ab")
        command = [sys.executable, "-m", *arguments]
        return subprocess.Popen(command, cwd=home, env=variables, stdout=log, stderr=log, start_new_session=True)

    def trial() -> str | None:
        try:
            dagster("dagster._daemon", "run", *workspace)
            dagster("dagster", *launch).wait()
            with environment(place), open_instance() as instance:
                run = until(lambda: _in_features(instance), what="the endless statement", patience_s=240)
                _kill_all(place)
                began = time.monotonic()
                dagster("dagster._daemon", "run", *workspace)
                until(lambda: _heart_beats(instance, began), what="the next daemon", patience_s=240)
                alive = time.monotonic()
                gone = until(lambda: _finished(instance, run.run_id), what="the end of the dead run", patience_s=240)
                took = time.monotonic() - alive
            print(f"a run that a power cut left was ended {took:.0f} s after the daemon's first sign", flush=True)  # noqa: T201
            if PROCESS_GONE_TAG not in gone.tags:
                return "the run does not say that its process was gone"
            return f"ended after {took:.0f} s" if took > ENDED_WITHIN_S else None
        finally:
            _kill_all(place)

    count.trial("power cuts under a daemon", trial)


def _heart_beats(instance: dg.DagsterInstance, began: float) -> bool:
    moment = time.time() - (time.monotonic() - began)
    beats = instance.get_daemon_heartbeats()
    monitoring = beats.get("MONITORING")
    return monitoring is not None and monitoring.timestamp > moment


def _in_features(instance: dg.DagsterInstance) -> dg.DagsterRun | None:
    for run in instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])):
        if "features" in {each.step_key for each in instance.get_run_step_stats(run.run_id)}:
            return run
    return None


def _finished(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRun | None:
    run = instance.get_run_by_id(run_id)
    return run if run is not None and run.is_finished else None


def _kill_all(place: Installation) -> None:
    while left := place.processes():
        for number in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        time.sleep(0.2)


def complete(place: Installation, *arguments: str) -> float:
    """Run a command to its end; seconds it took."""
    began = time.monotonic()
    with place.command(*arguments) as command:
        said, errors = command.communicate()
    assert command.returncode == 0, said + errors
    return time.monotonic() - began
