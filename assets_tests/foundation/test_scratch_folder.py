"""A folder for one block's files: gone at its end, and swept away after its process was killed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from clinical_assets.foundation.scratch_folder import scratch_folder, sweep_below, sweep_scratch_folders


def test_the_folder_is_private_and_vanishes_even_after_an_error(tmp_path: Path) -> None:
    root = tmp_path / "root"

    def fails() -> None:
        with scratch_folder(root) as folder:
            assert folder.stat().st_mode & 0o777 == 0o700
            (folder / "copy.txt").touch()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fails()
    assert list(root.iterdir()) == []


def test_what_a_killed_process_left_is_swept_and_what_the_living_use_is_kept(tmp_path: Path) -> None:
    script = (
        "import sys, time\nfrom pathlib import Path\n"
        "from clinical_assets.foundation.scratch_folder import scratch_folder\n"
        "with scratch_folder(Path(sys.argv[1]), prefix='one-') as folder:\n"
        "    (folder / 'copy.txt').touch()\n    print(folder, flush=True)\n    time.sleep(60)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            left = Path(process.stdout.readline().strip())
            sweep_scratch_folders(tmp_path)
            assert (left / "copy.txt").exists()
        finally:
            process.kill()
            process.wait()
    sweep_scratch_folders(tmp_path, prefix="other-")
    assert left.exists()
    with scratch_folder(tmp_path) as mine:
        sweep_scratch_folders(tmp_path)
        assert mine.exists()
        assert not left.exists()
    assert list(tmp_path.iterdir()) == []


def test_a_mark_without_a_folder_is_swept_only_when_nobody_can_just_be_arriving(tmp_path: Path) -> None:
    young, old = tmp_path / "a.lock", tmp_path / "b.lock"
    for mark in (young, old):
        mark.touch()
    os.utime(old, (time.time() - 7200,) * 2)
    sweep_scratch_folders(tmp_path)
    assert list(tmp_path.iterdir()) == [young]


def test_below_a_folder_the_dead_are_swept_and_the_living_other_locks_and_what_was_put_aside_stay(
    tmp_path: Path,
) -> None:
    script = (
        "import os, sys\nfrom pathlib import Path\n"
        "from clinical_assets.foundation.sealed_folder import new_folder\n"
        "with new_folder(Path(sys.argv[1])) as folder:\n"
        "    (folder / 'half.onnx').touch()\n    os.kill(os.getpid(), 9)\n"
    )
    place = tmp_path / "bundles" / "ward" / "v1.2"
    subprocess.run([sys.executable, "-c", script, str(place)], check=False)
    (half,) = place.parent.glob(".v1.2-*/half.onnx")
    aside = half.parent.with_name(f"{half.parent.name}.old")
    kept = [place.parent / name for name in (".lock", ".records.sqlite.lock", "ward.lock", "1-abc.lock", "x.new")]
    old = place.parent / ".champion.json.0123456789ab.new"
    young = place.parent / ".champion.json.ba9876543210.new"
    aside.mkdir()
    for path in (*kept, old, young):
        path.touch()
    for path in (*kept, old):
        os.utime(path, (time.time() - 90_000,) * 2)
    with scratch_folder(place.parent, prefix=".v1.2-") as mine:
        assert sweep_below(tmp_path) == 2
        assert mine.exists()
    assert not half.parent.exists()
    assert sorted(place.parent.iterdir()) == sorted([*kept, young, aside])
    assert sweep_below(tmp_path) == 0
