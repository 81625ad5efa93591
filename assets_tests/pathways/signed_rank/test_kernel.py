"""Compiled code is kept on disk only where it was asked for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from clinical_assets.pathways.signed_rank import kernel

CODE = """
import numpy as np
from clinical_assets.pathways.signed_rank.signed_rank import signed_rank
print(signed_rank(np.arange(1.0, 21.0)[None], [np.arange(20)]).w_plus[0, 0])
"""
PACKAGE = Path(kernel.__file__).parent


def cache_files(folder: Path) -> list[Path]:
    return [*folder.rglob("*.nbi"), *folder.rglob("*.nbc")]


def test_nothing_is_written_beside_the_package_and_a_named_folder_is_used(tmp_path: Path) -> None:
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", CODE], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "210.0"
    assert cache_files(tmp_path)
    assert cache_files(PACKAGE) == []
