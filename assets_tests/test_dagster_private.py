"""Names that Dagster does not promise are used in one module, for the one version that was looked at."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import dagster as dg
import pytest
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
