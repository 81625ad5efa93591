"""Commands that only read start without the libraries that train, orchestrate or draw."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from assets_tests.worlds.ward.released import put_in_environment, second_release
from assets_tests.worlds.ward.trained import COHORT

#: What trains, orchestrates or draws; and what is for many rows, where a command reads one.
HEAVY = [
    "dagster",
    "pandas",
    "polars",
    "sklearn",
    "scipy",
    "mlflow",
    "matplotlib",
    "onnxruntime",
    "numba",
    "sqlglot",
    "jinja2",
    "httpx",
]
_RUN = (
    "import sys; sys.argv = ['clinical-assets', *sys.argv[1:]]\n"
    "from clinical_assets.cli.main import main\n"
    "try:\n    main()\nexcept SystemExit as end:\n    code = end.code\n"
    f"print(sorted(set({HEAVY!r}) & set(sys.modules)), code, file=sys.stderr)"
)


@pytest.fixture(autouse=True)
def _installation(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_in_environment(second_release(tmp_path_factory).copy_to(tmp_path / "release"), monkeypatch)


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["--help"], "materialize"),
        (["cohorts", "list"], COHORT),
        (["gates", COHORT], "Bundle sha256:"),
        (["review", COHORT], "Dossier sha256:"),
    ],
    ids=lambda each: each[0] if isinstance(each, list) else "",
)
def test_a_command_that_reads_imports_nothing_that_trains_orchestrates_or_draws(words: list[str], shown: str) -> None:
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", _RUN, *words], cwd=root, check=False, capture_output=True, text=True)
    assert shown in done.stdout, done.stderr
    # The code 3: nobody has waived yet what a gate could not judge.
    assert done.stderr.splitlines()[-1] in ("[] 0", "[] None", "[] 3"), done.stderr
