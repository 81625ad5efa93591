"""One lock on a file: others queue, the same thread enters again, and who waits too long is told for whom."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from clinical_assets.foundation import locks
from clinical_assets.foundation.errors import ClinicalAssetsError, SourceError
from clinical_assets.foundation.settings import LOCK_PATIENCE

SCRIPT = """
import sys, time
from pathlib import Path
from clinical_assets.foundation.errors import SourceError
from clinical_assets.foundation.locks import hold
with hold(Path(sys.argv[1]), wanted="it", patience_s=0, error=SourceError):
    print("held", flush=True)
    time.sleep(60)
"""


def held(path: Path, *, patience_s: float = 0.0, mode: int = -1) -> AbstractContextManager[None]:
    return locks.hold(path, wanted="the thing", patience_s=patience_s, error=SourceError, mode=mode)


@contextmanager
def other_process(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock."""
    with subprocess.Popen([sys.executable, "-c", SCRIPT, str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def test_another_process_is_named_and_its_end_frees_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "new" / "a.lock"
    with other_process(path) as other:
        with pytest.raises(SourceError, match=f"^Waited 0 s for the thing; process {other.pid} still holds") as caught:
            held(path).__enter__()
        assert LOCK_PATIENCE in str(caught.value.cure)
        monkeypatch.setattr(locks, "_TOLD_AFTER_S", 0.0)
        monkeypatch.setattr(locks._log, "warning", lambda *_: other.kill())
        with caplog.at_level(logging.WARNING), held(path, patience_s=60):
            assert (tmp_path / "new" / "a.holder").read_text() == str(os.getpid())


def test_the_thread_that_holds_it_enters_again_and_the_last_exit_frees_it(tmp_path: Path) -> None:
    path, refusals = tmp_path / "a.lock", []

    def attempt() -> None:
        try:
            with held(path):
                refusals.append(None)
        except ClinicalAssetsError as error:
            refusals.append(error.message)

    def in_a_thread() -> None:
        thread = threading.Thread(target=attempt)
        thread.start()
        thread.join()

    with held(path):
        with held(path):
            in_a_thread()
        in_a_thread()
    in_a_thread()
    busy = "Waited 0 s for the thing; another thread of this process still holds it."
    assert refusals == [busy, busy, None]
    assert [each.name for each in tmp_path.iterdir()] == ["a.lock"]


def test_the_files_of_a_private_lock_are_private(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with held(tmp_path / ".lock", mode=0o600):
            assert {each.name: each.stat().st_mode & 0o777 for each in tmp_path.iterdir()} == {
                ".lock": 0o600,
                ".lock.holder": 0o600,
            }
    finally:
        os.umask(before)


def test_pauses_grow_but_never_beyond_the_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)

    def attempt() -> int:
        if len(pauses) < 30:
            raise locks.Busy("somebody")
        return len(pauses)

    waited = locks.wait_until_free(attempt, wanted="it", patience_s=60, error=SourceError, longest_pause_s=0.05)
    assert waited == 30
    assert 0.05 >= max(pauses) > 0.02 > 0.011 > pauses[0]
