"""Finished parts survive a killed process, and belong to one computation only."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

from clinical_assets.pathways.results.unfinished_work import UnfinishedWork

OF = {"plan": {"folds": 5}, "scores": "sha256:s"}


def test_a_part_is_computed_once_over_all_runs(tmp_path: Path) -> None:
    path = tmp_path / "cohort" / "parts.jsonl"
    first = UnfinishedWork(path, OF)
    assert first("a", lambda: [1, 0.1]) == [1, 0.1]
    second = UnfinishedWork(path, OF)
    assert second.taken_over == 1
    assert second("a", lambda: 1 / 0) == [1, 0.1]
    second.finish()
    assert not path.exists()


def test_parts_of_another_plan_or_data_are_dropped_and_so_is_a_line_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "parts.jsonl"
    work = UnfinishedWork(path, OF)
    work("a", lambda: 1)
    work("b", lambda: 2)
    path.write_text(path.read_text()[:-9])
    again = UnfinishedWork(path, OF)
    assert again.taken_over == 1
    assert again("b", lambda: 3) == 3
    assert UnfinishedWork(path, OF)("b", lambda: 4) == 3
    assert UnfinishedWork(path, {**OF, "scores": "sha256:t"}).taken_over == 0


def test_parts_survive_ctrl_c_and_the_process_ends(tmp_path: Path) -> None:
    code = (
        "import time\nfrom pathlib import Path\n"
        "from clinical_assets.pathways.results.unfinished_work import UnfinishedWork\n"
        f"work = UnfinishedWork(Path({str(tmp_path / 'p.jsonl')!r}), {OF!r})\n"
        "work('a', lambda: 1)\nprint('done', flush=True)\nwork('b', lambda: time.sleep(60))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    assert process.stdout.readline() == b"done\n"
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) != 0
    assert UnfinishedWork(tmp_path / "p.jsonl", OF).taken_over == 1
