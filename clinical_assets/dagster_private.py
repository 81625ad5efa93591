"""Names of Dagster that it does not promise to keep, all in one place.

What belongs here: imports from ``dagster._...`` and what is built on them. ``dagster`` is pinned to one version in
pyproject.toml; the test of this module fails when another is installed, so that these names are looked at before the
pin moves. Not in ``defs``, because Dagster's loader imports everything there, and this module loads a database driver.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._cli.api import _execute_run_command_body
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluation
from dagster._core.definitions.repository_definition import SINGLETON_REPOSITORY_NAME
from dagster._core.errors import DagsterAssetCheckFailedError
from dagster._core.event_api import PartitionKeyFilter
from dagster._core.execution.compute_logs import redirect_to_file
from dagster._core.instance.ref import InstanceRef
from dagster._core.launcher.base import CheckRunHealthResult, WorkerStatus
from dagster._core.launcher.default_run_launcher import DefaultRunLauncher
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecord
from dagster._core.storage.compute_log_manager import CapturedLogContext
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager
from dagster._core.storage.root import LocalArtifactStorage
from dagster._core.storage.runs.sqlite.sqlite_run_storage import SqliteRunStorage
from dagster._core.storage.schedules.sqlite.sqlite_schedule_storage import SqliteScheduleStorage
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster._core.storage.tags import GRPC_INFO_TAG, REPOSITORY_LABEL_TAG
from dagster._core.utils import make_new_run_id
from dagster._daemon import controller
from dagster._daemon.run_coordinator import QueuedRunCoordinatorDaemon
from dagster._serdes import ConfigurableClassData, deserialize_value, serialize_value
from dagster._utils import ensure_file, touch_file
from dagster._utils.interrupts import capture_interrupts
from sqlalchemy import create_engine
from sqlalchemy.engine import Connection
from sqlalchemy.pool import NullPool

from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.foundation.locks import hold
from clinical_assets.foundation.settings import Settings, private_umask
from clinical_assets.run_liveness import GONE, has_died, mark_gone

#: The version of Dagster whose private names these are.
VERSION = "1.13.27"
#: Name of the code location in ``workspace.yaml``.
CODE_LOCATION = "clinical_assets"
#: Name of the daemon's thread that takes runs from the queue.
DEQUEUES = f"dagster-daemon-{QueuedRunCoordinatorDaemon.daemon_type()}"
#: Class name of the error that ends a run in which a blocking check failed.
CHECK_FAILED = DagsterAssetCheckFailedError.__name__


def new_run_id() -> str:
    """An id for a run that is not started yet."""
    return make_new_run_id()


def instance_at(home: Path, *, configured_in: Path) -> dg.DagsterInstance:
    """The instance with its files in one folder and its ``dagster.yaml`` in another."""
    return dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(home), config_dir=str(configured_in)))


def listed_with_code_location() -> dict[str, str]:
    """Tags by which the UI lists a run with the code location of ``workspace.yaml``: Timeline, Jobs, a job's runs.

    Dagster gives them to runs that its daemon starts; one that a process executes itself has no such origin.
    """
    return {REPOSITORY_LABEL_TAG: f"{SINGLETON_REPOSITORY_NAME}@{CODE_LOCATION}"}


@dataclass(frozen=True)
class CheckState:
    """How a check last went for a partition.

    Attributes
    ----------
    name : str
        Its name.
    looked_at : int or None
        Storage number of the materialisation that it looked at; None when it did not come to its end.
    blocks : bool
        Whether it failed and stops what comes after it.
    """

    name: str
    looked_at: int | None
    blocks: bool


def checks_of(instance: dg.DagsterInstance, keys: Sequence[dg.AssetCheckKey], partition: str) -> tuple[CheckState, ...]:
    """The last execution of each check for a partition, in the order of the keys; one that never was included."""
    found = instance.event_log_storage.get_latest_asset_check_execution_by_key(
        list(keys), partition_filter=PartitionKeyFilter(key=partition)
    )
    return tuple(_check_state(key.name, found.get(key)) for key in keys)


def _check_state(name: str, record: AssetCheckExecutionRecord | None) -> CheckState:
    event = None if record is None or record.event is None else record.event.dagster_event
    if event is None or not isinstance(event.event_specific_data, AssetCheckEvaluation):
        return CheckState(name, None, False)
    said = event.event_specific_data
    target = said.target_materialization_data
    stops = bool(said.blocking) and not said.passed and said.severity is dg.AssetCheckSeverity.ERROR
    return CheckState(name, None if target is None else target.storage_id, stops)


def _folder() -> str:
    # Daemon, web server and code server come here first: what they write is their account's alone.
    private_umask()
    folder = Settings.from_environment().data / "dagster"
    folder.mkdir(parents=True, exist_ok=True)
    return str(folder)


def instance_reference(instance: dg.DagsterInstance) -> str:
    """What another process needs to open the same instance (`instance_by_reference`)."""
    return serialize_value(instance.get_ref())


def instance_by_reference(reference: str) -> dg.DagsterInstance:
    """Open the instance of a reference."""
    return dg.DagsterInstance.from_ref(deserialize_value(reference, InstanceRef))


def execute_stored_run(instance: dg.DagsterInstance, run_id: str) -> None:
    """Execute a run that waits in the instance, as Dagster's own process for one run does; errors go into its log."""
    with capture_interrupts():
        _execute_run_command_body(run_id, instance, lambda _event: None, set_exit_code_on_failure=False)


def look_at_backfills_every(seconds: int) -> None:
    """Let the daemon of this process look at backfills so often; Dagster's 30 s are a constant without a setting.

    Between a click in the UI and the first run of a backfill lies one such pause.
    """
    controller.DEFAULT_DAEMON_INTERVAL_SECONDS = seconds


def runs_here(run: dg.DagsterRun) -> bool:
    """Whether the code of a run can be loaded by this Python on this machine, without its code server."""
    if run.job_code_origin is None or run.remote_job_origin is None:
        return False
    code = run.job_code_origin.repository_origin
    served = run.remote_job_origin.repository_origin.code_location_origin
    elsewhere = isinstance(served, GrpcServerCodeLocationOrigin) and served.host not in ("localhost", "127.0.0.1")
    same_python = Path(code.executable_path).parent == Path(sys.executable).parent
    return same_python and code.container_image is None and not elsewhere


class _Opener:
    """Opens one SQLite file after another through one engine.

    Dagster makes an engine per connection, that is per event: each learns the database and compiles its statements
    anew. And its store of runs waits five seconds for another writer, which a backfill can exceed.
    """

    def __init__(self) -> None:
        self._at = threading.local()
        self._engine = create_engine("sqlite://", creator=self._open, poolclass=NullPool)

    def _open(self) -> sqlite3.Connection:
        return sqlite3.connect(self._at.path, timeout=SQLITE_BUSY_TIMEOUT_SECONDS, check_same_thread=False)

    @contextmanager
    def transaction(self, path: str) -> Iterator[Connection]:
        """A connection to a file, in a transaction for the time of the block."""
        self._at.path = path
        with self._engine.connect() as connection, connection.begin():
            yield connection


class _Events(SqliteEventLogStorage):
    """Dagster's files of events, one per run, each begun as a copy of an empty one.

    Dagster makes the tables of a new file one by one and asks its history of schemas for their version, in every
    process that opens it: more than the rest of a short run costs.
    """

    def __init__(self, base_dir: str, empty: Path) -> None:
        self._empty, self._opener = empty, _Opener()
        super().__init__(base_dir)
        if not empty.exists():
            # Only one process at a time comes here (`DataFolderStorage.from_config_value`).
            with tempfile.TemporaryDirectory(dir=empty.parent) as folder:
                made = Path(folder) / empty.name
                engine = create_engine(f"sqlite:///{made}", poolclass=NullPool)
                self._initdb(engine)
                engine.dispose()
                made.replace(empty)

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        path = self.path_for_shard(shard)
        with self._db_lock:
            if shard not in self._initialized_dbs:
                self._begin_file(path)
                self._initialized_dbs.add(shard)
            with self._opener.transaction(path) as connection:
                yield connection

    def _begin_file(self, path: str) -> None:
        if Path(path).exists():
            return
        with tempfile.TemporaryDirectory(dir=self._empty.parent) as folder:
            copy = shutil.copyfile(self._empty, Path(folder) / "copy")
            with suppress(FileExistsError):  # another process has begun the same file
                os.link(copy, path)


@lru_cache(maxsize=4096)
def _run_of(body: str, status: str) -> dg.DagsterRun:
    return deserialize_value(body, dg.DagsterRun).with_status(dg.DagsterRunStatus(status))


class _Runs(SqliteRunStorage):
    """Dagster's file of runs."""

    @cached_property
    def _opener(self) -> _Opener:
        return _Opener()

    def _row_to_run(self, row: dict[str, Any]) -> dg.DagsterRun:
        # The daemon reads every queued run at each look at the queue; a run that is the same text is the same run.
        return _run_of(row["run_body"], row["status"])

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """A connection in a transaction."""
        with self._opener.transaction(self._conn_string.removeprefix("sqlite:///")) as connection:
            yield connection


class _Schedules(SqliteScheduleStorage):
    """Dagster's file of schedules, sensors and their ticks."""

    @cached_property
    def _opener(self) -> _Opener:
        return _Opener()

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """A connection in a transaction."""
        with self._opener.transaction(self._conn_string.removeprefix("sqlite:///")) as connection:
            yield connection


class DataFolderStorage(DagsterSqliteStorage):
    """Runs, events and schedules in SQLite below the data folder, in Dagster's own files and tables.

    ``dagster.yaml`` names this class and the next two, so that runs, events and logs follow ``CLINICAL_ASSETS_DATA``
    without a second variable to set: Dagster's ``{env: ...}`` has no default and would refuse to start without it.
    """

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(base_dir, inst_data)
        folder = Path(base_dir)
        self._run_storage = _Runs.from_local(str(folder / "history"))
        self._event_log_storage = _Events(str(folder / "history" / "runs"), folder / f"no_events_{VERSION}.db")
        self._schedule_storage = _Schedules.from_local(str(folder / "schedules"))

    @classmethod
    def config_type(cls) -> Any:
        """No options: the place follows the environment."""
        return {}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Any) -> DataFolderStorage:
        """Build the storage at the place that the environment names now.

        One process at a time: two that make Dagster's tables in a new folder at once leave tables that neither can use.
        """
        folder = _folder()
        with hold(
            Path(folder) / "storage.lock", wanted="Dagster's storage", patience_s=120.0, error=ClinicalAssetsError
        ):
            return cls.from_local(folder, inst_data=inst_data, **config_value)


class DataFolderComputeLogs(LocalComputeLogManager):
    """What steps print, below the data folder."""

    #: Whether the terminal shows it, too. Dagster starts four processes per run for that; a process in which nobody
    #: looks at a terminal switches it off for itself.
    shown_on_terminal = True

    @contextmanager
    def capture_logs(self, log_key: Sequence[str]) -> Iterator[CapturedLogContext]:
        """Send what this process prints into the files of one run."""
        if self.shown_on_terminal:
            with super().capture_logs(log_key) as context:
                yield context
            return
        printed, errors = (ensure_file(self.get_captured_local_path(log_key, kind)) for kind in ("out", "err"))
        with redirect_to_file(sys.stdout, printed), redirect_to_file(sys.stderr, errors):
            yield CapturedLogContext(log_key)
        touch_file(self.get_captured_local_path(log_key, "complete"))

    @classmethod
    def config_type(cls) -> Any:
        """No options: the place follows the environment."""
        return {}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Any) -> DataFolderComputeLogs:
        """Build the log manager at the place that the environment names now."""
        return cls(base_dir=f"{_folder()}/storage", inst_data=inst_data, **config_value)


class DataFolderArtifacts(LocalArtifactStorage):
    """Files that Dagster keeps for runs, below the data folder."""

    @classmethod
    def config_type(cls) -> Any:
        """No options: the place follows the environment."""
        return {}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Any) -> DataFolderArtifacts:
        """Build the storage at the place that the environment names now."""
        return cls(base_dir=_folder(), inst_data=inst_data, **config_value)


class WatchedRunLauncher(DefaultRunLauncher):
    """Dagster's launcher, which can also say whether a run still has a process.

    Without that, run monitoring waits for a run whose process was killed until its longest time has passed. It covers
    runs of the command line too: they are in the same instance and hold the same locks.
    """

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Yes: by the lock that each run holds."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Ask whether the run's lock is held."""
        if not has_died(self._instance, run):
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        mark_gone(self._instance, run)
        return CheckRunHealthResult(WorkerStatus.FAILED, GONE)


def has_own_code_server(run: dg.DagsterRun) -> bool:
    """Whether a code server started this run, so that it alone can stop it."""
    return GRPC_INFO_TAG in run.tags
