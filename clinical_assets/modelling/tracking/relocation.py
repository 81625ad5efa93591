"""A data folder that was moved or copied: MLflow's own addresses of files follow it.

What belongs here: the addresses within the SQLite file of a store in the data folder. What does not: a server's, which
are its own.

MLflow writes the full address of every run's files into its database. In a copy these still name the folder that it was
copied from, so that new files would go there, and old ones would not be found, or worse, be those of the other folder.
Everything else in the data folder is named relative to it.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from pathlib import Path

_log = logging.getLogger(__name__)
_DEFAULT_EXPERIMENT = "0"
_ADDRESSES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "storage_location"),
)


def follow_data_folder(database: Path, artifacts: Path) -> bool:
    """Let a store's addresses name the folder in which its files lie now; True when they named another one.

    Parameters
    ----------
    database : Path
        MLflow's SQLite file; the caller is alone with it.
    artifacts : Path
        Where files of runs lie.
    """
    root = artifacts.as_uri()
    with contextlib.closing(sqlite3.connect(database, timeout=60)) as connection, connection:
        found = connection.execute(
            "SELECT artifact_location FROM experiments WHERE experiment_id = ?", (_DEFAULT_EXPERIMENT,)
        ).fetchone()
        # Made by us at that address; whatever else somebody gave it is not ours to change.
        if found is None or found[0] is None or not found[0].endswith(f"/artifacts/{_DEFAULT_EXPERIMENT}"):
            return False
        before = found[0].removesuffix(f"/{_DEFAULT_EXPERIMENT}")
        if before == root:
            return False
        for table, column in _ADDRESSES:
            known = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
            if column in known:
                connection.execute(
                    f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?",
                    (root, len(before) + 1, len(before) + 1, f"{before}/"),
                )
    _log.warning("The data folder was moved or copied here: MLflow's addresses of files in %s now follow it.", database)
    return True
