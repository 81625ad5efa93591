"""Make a small state folder by the product's own jobs, to be stored as test data of upgrades.

Run it with the code whose state is to be stored, never again for a version that is stored already:

    python -m assets_tests.upgrade.make_state assets_tests/upgrade/state_v1.tar.xz

Training, gates, dossier, people, waivers, signatures, two promotions, one scored batch with outcomes, and one
micro-cohort. All records are made up.
"""

from __future__ import annotations

import argparse
import sqlite3
import tarfile
import tempfile
from contextlib import closing
from pathlib import Path

from assets_tests.worlds.machine.graphs import QUIET
from assets_tests.worlds.team.paired import COHORT as PAIRED
from assets_tests.worlds.team.paired import PairedTeam
from assets_tests.worlds.year.description import DESCRIPTION
from assets_tests.worlds.year.patients import patients
from assets_tests.worlds.year.world import World, released
from clinical_assets.definitions import defs

ROWS = 500
# Limits are wide: what is tested is that the state opens, not that a model of five hundred rows is good.
_WIDE = {
    **DESCRIPTION["decisions"]["limits"],
    "calibration_slope": [0.2, 5.0],
    "calibration_intercept": [-2.0, 2.0],
    "calibration_slope_difference": 4.0,
}


def make(folder: Path) -> World:
    """The state below ``folder``: ``data``, ``data-keys``, ``catalogue`` and ``advisories``."""
    decisions = {**DESCRIPTION["decisions"], "limits": _WIDE}
    world = released(folder, rows=ROWS, decisions=decisions)
    with world.environment():
        came = patients(250, seed=21, prefix="N")
        world.arrive("first", came)
        # A second champion, so that there is one to go back to.
        world.describe(modelling={"candidates": ["logistic_ridge"], "search": {**_SEARCH, "seed": 12}})
        for job in ("train_cohort", "prepare_release"):
            ran = world.run(job)
            assert ran.success, (job, ran.errors)
        world.sign()
        ran = world.run("promote_champion")
        assert ran.success, ran.errors
    PairedTeam().write(folder / "catalogue")
    with world.environment(), world.instance() as instance:
        done = defs.resolve_job_def("study_micro_cohort").execute_in_process(
            partition_key=PAIRED, instance=instance, raise_on_error=False, run_config=QUIET
        )
        assert done.success
    return world


def pack(folder: Path, archive: Path) -> None:
    """What the product needs, without Dagster's history and what a run leaves for a while."""
    for path in (folder / "data").rglob("*"):
        if path.suffix in {".sqlite", ".db"} and "dagster" not in path.parts:
            with closing(sqlite3.connect(path)) as connection:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                connection.execute("VACUUM")
    with tarfile.open(archive, "w:xz", preset=9) as packed:
        packed.add(folder, arcname="state", filter=_wanted)


def _wanted(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    parts = Path(member.name).parts
    if {"dagster", "matplotlib"} & set(parts[2:3]) or member.name.endswith((".lock", "-wal", "-shm")):
        return None
    # Pages that other files tell the same of, and that nothing reads again.
    if parts[-1] == "evidently.html" or ("mlflow" in parts and "pictures" in parts):
        return None
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


_SEARCH = DESCRIPTION["modelling"]["search"]

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", type=Path)
    with tempfile.TemporaryDirectory(prefix="state-") as work:
        pack(make(Path(work) / "state").folder, parser.parse_args().archive)
