"""Names that Dagster does not promise are used in one module, for the one version that was looked at."""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import time
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.events import DagsterEvent
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from dagster._daemon.types import DaemonHeartbeat

import clinical_assets
from clinical_assets import dagster_private
from clinical_assets.foundation.settings import UMASK, Settings
from clinical_assets.launch.instance import open_instance

PACKAGE = Path(clinical_assets.__file__).parent
PRIVATE = re.compile(r"^\s*(?:from|import)\s+dagster\w*\._", re.MULTILINE)


def test_private_names_are_those_of_the_installed_version() -> None:
    assert dg.__version__ == dagster_private.VERSION, (
        "Another Dagster is installed: look whether each import of dagster_private.py still means the same, run the "
        "tests of launch and daemon, then set VERSION there."
    )


def test_no_other_module_imports_them() -> None:
    users = {str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py") if PRIVATE.search(path.read_text())}
    assert users == {"dagster_private.py"}


@pytest.mark.parametrize(("wanted", "others"), [(None, 0o077), ("027", 0o027)])
def test_whatever_opens_dagsters_state_makes_files_for_its_account_alone(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, wanted: str | None, others: int
) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.delenv(UMASK, raising=False)
    if wanted is not None:
        monkeypatch.setenv(UMASK, wanted)
    os.umask(0o022)
    # As daemon and web server do, by dagster.yaml and without our command line.
    with open_instance() as instance:
        instance.get_runs_count()
        instance.add_daemon_heartbeat(DaemonHeartbeat(time.time(), "SENSOR", "a daemon", []))
    assert os.umask(0o022) == others
    files = [path for path in (settings.data / "dagster").rglob("*") if not path.is_symlink()]
    assert [path for path in files if path.suffix == ".db"]
    assert [path for path in files if path.stat().st_mode & others] == []


def test_a_file_of_events_is_the_one_that_dagster_makes_itself(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    event = DagsterEvent(event_type_value="PIPELINE_STARTING", job_name="any", message="said")
    with open_instance() as instance:
        instance.report_dagster_event(event, run_id="by_us")
        folder = settings.data / "dagster" / "history" / "runs"
        theirs = SqliteEventLogStorage(str(folder))
        theirs.register_instance(instance)
        said = instance.all_logs("by_us")[0]
        theirs.store_event(said._replace(run_id="by_dagster"))
        # Each goes on in the file that the other has begun.
        theirs.store_event(said)
        instance.event_log_storage.store_event(said._replace(run_id="by_dagster"))
        for storage in (theirs, instance.event_log_storage):
            assert [len(storage.get_logs_for_run(name)) for name in ("by_us", "by_dagster")] == [2, 2]
    made = {}
    for name in ("by_us", "by_dagster"):
        with contextlib.closing(sqlite3.connect(folder / f"{name}.db")) as file:
            tables = file.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY sql").fetchall()
            version = file.execute("SELECT version_num FROM alembic_version").fetchall()
            made[name] = (tables, version, file.execute("PRAGMA journal_mode").fetchall())
    assert made["by_us"] == made["by_dagster"]
    assert made["by_us"][2] == [("wal",)]
