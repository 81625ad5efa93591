"""Names of Dagster that it does not promise to keep, all in one place.

What belongs here: imports from ``dagster._...`` and what is built on them. ``dagster`` is pinned to one version in
pyproject.toml; the test of this module fails when another is installed, so that these names are looked at before the
pin moves. Not in ``defs``, because Dagster's loader imports everything there, and this module loads a database driver.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluation
from dagster._core.definitions.repository_definition import SINGLETON_REPOSITORY_NAME
from dagster._core.errors import DagsterAssetCheckFailedError
from dagster._core.event_api import PartitionKeyFilter
from dagster._core.instance.ref import InstanceRef
from dagster._core.launcher.base import CheckRunHealthResult, WorkerStatus
from dagster._core.launcher.default_run_launcher import DefaultRunLauncher
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecord
from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager
from dagster._core.storage.root import LocalArtifactStorage
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster._core.storage.tags import REPOSITORY_LABEL_TAG
from dagster._core.utils import make_new_run_id
from dagster._serdes import ConfigurableClassData

from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.foundation.locks import hold
from clinical_assets.foundation.settings import Settings, private_umask
from clinical_assets.run_liveness import GONE, has_died, mark_gone

#: The version of Dagster whose private names these are.
VERSION = "1.13.27"
#: Name of the code location in ``workspace.yaml``.
CODE_LOCATION = "clinical_assets"
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


class DataFolderStorage(DagsterSqliteStorage):
    """Runs, events and schedules in SQLite below the data folder.

    ``dagster.yaml`` names this class and the next two, so that runs, events and logs follow ``CLINICAL_ASSETS_DATA``
    without a second variable to set: Dagster's ``{env: ...}`` has no default and would refuse to start without it.
    """

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
