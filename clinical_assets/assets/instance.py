"""Dagster's own state, kept in the data folder like everything else.

``dagster.yaml`` names these classes, so that runs, events and logs follow ``CLINICAL_ASSETS_DATA`` without a second
variable to set: Dagster's ``{env: ...}`` has no default and would refuse to start without it.
"""

from __future__ import annotations

from typing import Any

from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager
from dagster._core.storage.root import LocalArtifactStorage
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster._serdes import ConfigurableClassData

from clinical_assets.settings import Settings


def _folder() -> str:
    folder = Settings.from_environment().data / "dagster"
    folder.mkdir(parents=True, exist_ok=True)
    return str(folder)


class DataFolderStorage(DagsterSqliteStorage):
    """Runs, events and schedules in SQLite below the data folder."""

    @classmethod
    def config_type(cls) -> Any:
        """No options: the place follows the environment."""
        return {}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Any) -> DataFolderStorage:
        """Build the storage at the place that the environment names now."""
        return cls.from_local(_folder(), inst_data=inst_data, **config_value)


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
