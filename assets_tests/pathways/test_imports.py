"""The room loads without the heavy libraries, so that a definitions file may import it."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import importlib, pkgutil, sys
import clinical_assets.pathways as room
for module in pkgutil.walk_packages(room.__path__, "clinical_assets.pathways."):
    # The kernel is compiled when it is imported; inputs are read by the readers of all tables, with their engine.
    if not module.name.endswith(".kernel") and ".inputs" not in module.name:
        importlib.import_module(module.name)
heavy = "numba scipy sklearn pandas polars matplotlib rdata anndata dagster duckdb mlflow".split()
print(*(name for name in heavy if name in sys.modules))
"""


def test_importing_the_room_imports_no_heavy_library() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
