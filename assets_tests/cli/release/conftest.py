"""A terminal at which releases are decided."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import pytest

from assets_tests.cli.test_cli import Said, Shell
from assets_tests.worlds.ward.released import Releasable, first_release, put_in_environment, second_release
from assets_tests.worlds.ward.trained import COHORT
from clinical_assets.records.ledger.ledger import Ledger


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Shell:
    """The command line in the environment of the test."""
    return Shell(capfd, monkeypatch)


class Desk:
    """A terminal at which somebody types commands and passwords."""

    def __init__(self, made: Releasable, shell: Shell) -> None:
        self.made, self.shell = made, shell

    def __call__(self, *arguments: str, typed: str = "") -> Said:
        self.shell.patch.setattr(sys, "stdin", io.StringIO(typed))
        return self.shell(*arguments)

    def json(self, *arguments: str, typed: str = "") -> Any:
        said = self(*arguments, "--json", typed=typed)
        assert said.code == 0, said.err
        return said.json()

    def refuses(self, *arguments: str, typed: str = "") -> str:
        self.shell.patch.setattr(sys, "stdin", io.StringIO(typed))
        return self.shell.refuses(*arguments)

    def approve(self, login: str) -> list[str]:
        return [
            *("approve", COHORT, "--digest", self.made.dossier_digest, "--as", login),
            *("--meaning", "I agree to the release.", "--password-stdin"),
        ]

    def actions(self) -> list[str]:
        return [entry.action for entry in Ledger(self.made.records).entries()]


@pytest.fixture
def desk(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, shell: Shell) -> Desk:
    """Where somebody types before the first model serves."""
    release = first_release(tmp_path_factory).copy_to(tmp_path / "release")
    return Desk(put_in_environment(release, shell.patch), shell)


@pytest.fixture
def served(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, shell: Shell) -> Desk:
    """The first model serves, the second waits."""
    release = second_release(tmp_path_factory).copy_to(tmp_path / "release")
    return Desk(put_in_environment(release, shell.patch), shell)
