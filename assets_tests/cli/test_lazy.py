"""Commands are imported when they run, and the list of commands says what each says of itself."""

from __future__ import annotations

import inspect
import subprocess
import sys
from importlib.metadata import version

import pytest
import typer
from typer.testing import CliRunner

from clinical_assets.cli.data import cohorts
from clinical_assets.cli.lazy import CommandEntry
from clinical_assets.cli.main import COMMANDS, app
from clinical_assets.cli.operations.materialize import JOB_NAMES
from clinical_assets.defs.automation.jobs import JOBS


@pytest.mark.parametrize(
    ("name", "entry"),
    [*COMMANDS.items(), *cohorts.COMMANDS.items()],
    ids=[*COMMANDS, *(f"cohorts {name}" for name in cohorts.COMMANDS)],
)
def test_the_list_shows_the_first_line_of_the_commands_own_words(name: str, entry: CommandEntry) -> None:
    command = entry.load(name)
    module, _, attribute = entry.target.partition(":")
    found = getattr(sys.modules[module], attribute)
    if not isinstance(found, typer.Typer):
        assert entry.help == (inspect.getdoc(found) or "").split("\n\n")[0].replace("\n", " ")
    assert command.help.startswith(entry.help)


def test_help_imports_no_table_engine_no_model_library_and_no_orchestrator() -> None:
    code = (
        "import sys; from typer.testing import CliRunner; from clinical_assets.cli.main import app\n"
        "shown = CliRunner().invoke(app, ['--help'])\nassert shown.exit_code == 0 and 'materialize' in shown.output\n"
        "print(*[m for m in 'dagster duckdb polars pandas sklearn numpy sqlalchemy'.split() if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_a_mistyped_command_names_its_neighbour() -> None:
    shown = CliRunner().invoke(app, ["materialise"])
    assert shown.exit_code == 2
    assert "materialize" in shown.output


def test_the_version_is_that_of_the_installed_package() -> None:
    shown = CliRunner().invoke(app, ["--version"])
    assert shown.output.strip() == version("clinical-assets")


def test_the_jobs_that_help_lists_are_those_that_dagster_knows() -> None:
    assert list(JOB_NAMES) == [job.name for job in JOBS]
    for name in JOB_NAMES:
        assert name in " ".join(CliRunner().invoke(app, ["materialize", "--help"], terminal_width=400).output.split())


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("clinical-assets ga", ["gates"]),
        ("clinical-assets gates heart_f", ["heart_failure_mortality"]),
        ("clinical-assets materialize --job promote", ["promote_champion"]),
    ],
)
def test_a_shell_completes_commands_cohorts_and_jobs(words: str, found: list[str]) -> None:
    variables = {"_CLINICAL_ASSETS_COMPLETE": "complete_bash", "COMP_WORDS": words}
    variables["COMP_CWORD"] = str(len(words.split()) - 1)
    shown = CliRunner().invoke(app, [], prog_name="clinical-assets", env=variables)
    assert shown.output.split() == found
