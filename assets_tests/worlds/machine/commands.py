"""The command line itself in processes of its own, and a team's cohort whose features never end, to kill it in."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from assets_tests.worlds.machine.processes import ROOT
from assets_tests.worlds.team.cohorts import Team
from assets_tests.worlds.team.runs import ENDLESS as PAIRS
from clinical_assets.foundation.settings import INBOX_FOLDER_SETTLED, INBOX_SETTLED

T = TypeVar("T")
SOUND, ENDLESS = "ward_command", "ward_endless"


class Installation:
    """A data folder with a catalogue of two cohorts, and the command line upon it."""

    def __init__(self, folder: Path) -> None:
        self.data, self.catalogue = folder / "data", folder / "catalogue"
        self.catalogue.mkdir(parents=True)
        sound, endless = Team(SOUND), Team(ENDLESS)
        sound.description["features"], endless.description["features"] = SOUND, f"{ENDLESS}_week"
        sound.write(self.catalogue)
        endless.write(self.catalogue)
        others = ", ".join(f"{{{{ source('visits') }}}} AS v{number}" for number in range(6))
        (self.catalogue / "features" / f"{ENDLESS}_week.sql").write_text(PAIRS.format(others=others), encoding="utf-8")
        (self.catalogue / "features" / f"{ENDLESS}_week.yml").unlink()

    def environment(self) -> dict[str, str]:
        """Variables of a process that works on it."""
        plain = {name: value for name, value in os.environ.items() if not name.startswith("CLINICAL_ASSETS_")}
        plain.pop("DAGSTER_HOME", None)
        return {
            **plain,
            "CLINICAL_ASSETS_DATA": str(self.data),
            "CLINICAL_ASSETS_CATALOGUE": str(self.catalogue),
            "CLINICAL_ASSETS_THREADS": "1",
            # What is delivered here is complete at once.
            INBOX_SETTLED: "0",
            INBOX_FOLDER_SETTLED: "0",
            "OMP_NUM_THREADS": "1",
        }

    @contextlib.contextmanager
    def command(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """``clinical-assets`` with these arguments; what is left of it is killed at the end of the block."""
        process = subprocess.Popen(
            [sys.executable, "-c", "from clinical_assets.cli.main import main; main()", *arguments],
            cwd=ROOT,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            for number in self.processes():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(number, signal.SIGKILL)
            process.communicate()

    def processes(self) -> set[int]:
        """Living processes that work on this data folder, wherever they hang in the tree; this one is none of them."""
        wanted = f"CLINICAL_ASSETS_DATA={self.data}".encode()
        found = set()
        for place in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                alive = " Z " not in (place / "stat").read_text().rpartition(")")[2][:3]
                if alive and int(place.name) != os.getpid() and wanted in (place / "environ").read_bytes().split(b"\0"):
                    found.add(int(place.name))
        return found

    def holder(self, cohort: str) -> int | None:
        """The process that holds a cohort's warehouse now."""
        try:
            return int((self.data / "warehouse" / f"{cohort}.holder").read_text(encoding="ascii"))
        except (FileNotFoundError, ValueError):
            return None


def until(look: Callable[[], T | None], *, what: str, patience_s: float = 90.0) -> T:
    """Look again and again until there is something."""
    ends_at = time.monotonic() + patience_s
    while time.monotonic() < ends_at:
        found = look()
        if found:
            return found
        time.sleep(0.2)
    raise AssertionError(f"{what} did not happen within {patience_s:g} s")
