"""A world is made once per session, by the worker that needs it first, and opened or copied by all others.

The recipe is that of pytest-xdist ("Making session-scoped fixtures execute only once"): a folder that all workers
know, and a lock on it. Without workers the same code makes a world once per process.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock


def shared_folder(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """Folder of a world; made by the first that asks, and read by everybody: look, do not touch.

    Parameters
    ----------
    factory : pytest.TempPathFactory
        Knows the folder of the session.
    name : str
        Of the world, unique within the session.
    make : callable
        Fills the folder; runs once. When it fails, the next that asks tries again and sees the same error.
    """
    own = factory.getbasetemp()
    # A worker's folder lies in that of the session.
    session = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    folder = session / "worlds" / name
    ready = folder.with_name(f"{name}.ready")
    folder.parent.mkdir(exist_ok=True)
    with FileLock(folder.with_name(f"{name}.lock")):
        if not ready.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            ready.touch()
    return folder
