"""The simulated years of ``benchmarks/update_scenarios.py``, for tests."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType


def load() -> ModuleType:
    """The benchmark as a module."""
    path = Path(__file__).parents[3] / "benchmarks" / "update_scenarios.py"
    spec = importlib.util.spec_from_file_location("update_scenarios", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
