"""From the first person to a rollback at the terminal: each command says what it did, or refuses with a cure."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from assets_tests.cli.test_cli import Said, Shell
from assets_tests.governance.released import Releasable, first_release, put_in_environment, second_release, secret
from assets_tests.governance.trained import COHORT
from clinical_assets.cli import context
from clinical_assets.governance import champions
from clinical_assets.launch import open_instance
from clinical_assets.records.ledger import Ledger

WRONG = "sha256:" + "0" * 64


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
def desk(
    tmp_path_factory: pytest.TempPathFactory,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Iterator[Desk]:
    made = put_in_environment(first_release(tmp_path_factory).copy_to(tmp_path / "release"), monkeypatch)
    yield Desk(made, Shell(capfd, monkeypatch))
    context.settings.cache_clear()
    context.catalogue.cache_clear()


@pytest.fixture
def served(
    tmp_path_factory: pytest.TempPathFactory,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Iterator[Desk]:
    made = put_in_environment(second_release(tmp_path_factory).copy_to(tmp_path / "release"), monkeypatch)
    yield Desk(made, Shell(capfd, monkeypatch))
    context.settings.cache_clear()
    context.catalogue.cache_clear()


def test_people_are_added_listed_changed_and_deactivated_and_no_password_is_an_argument(desk: Desk) -> None:
    add = ("people", "add", "erin", "--name", "Erin Eve", "--role", "reviewer", "--account", "erin-pc")
    assert "fewer than 12" in desk.refuses(*add, "--password-stdin", typed="short\n")
    added = desk.json(*add, "--password-stdin", typed="a sentence of erin's own\n")
    assert (added["roles"], added["accounts"], added["proof"]) == (["reviewer"], ["erin-pc"], "password")
    desk.json("people", "roles", "erin", "--role", "statistician")
    desk.json("people", "password", "erin", "--password-stdin", typed="another sentence of hers\n")
    rows = {row["login"]: row for row in desk.json("people", "list")}
    assert rows["erin"]["roles"] == ["statistician"]
    assert desk.json("people", "deactivate", "erin")["active"] is False
    assert "Erin Eve" in desk("people", "list").out
    entries = Ledger(desk.made.records).entries(action="person")
    assert [entry.actor for entry in entries if entry.facts["login"] == "erin"] == ["ann"] * 4
    for command in (("people", "add"), ("people", "password"), ("approve",)):
        assert "--password " not in desk(*command, "--help").out


def test_an_administrator_proves_who_they_are_before_people_are_changed(desk: Desk) -> None:
    add = ("people", "add", "ada", "--name", "Ada Ash", "--role", "administrator", "--password-stdin")
    desk.json(*add, typed="the sentence of ada ash\n")
    assert "administrator" in desk.refuses("people", "deactivate", "bob")
    by_ada = ("people", "deactivate", "bob", "--as", "ada", "--password-stdin")
    assert "do not belong together" in desk.refuses(*by_ada, typed="not hers\n")
    assert desk.json(*by_ada, typed="the sentence of ada ash\n")["active"] is False
    entry = Ledger(desk.made.records).entries(action="person")[-1]
    assert (entry.actor, entry.facts["by"]) == ("ann", "ada")


def test_a_review_shows_what_would_be_signed_and_what_is_missing_and_is_entered(desk: Desk) -> None:
    told = desk.json("review", COHORT)
    assert told["synthetic"] is True
    assert told["dossier"]["digest"] == desk.made.dossier_digest
    assert Path(told["dossier"]["index"]).is_file()
    assert {row["outcome"] for row in told["gates"]} == {"pass"}
    assert [row["code"] for row in told["blockers"]] == ["unsigned"]
    shown = desk("review", COHORT).out
    for words in ("SYNTHETIC RECORDS", desk.made.dossier_digest, desk.made.candidate.digest, "Nobody has signed"):
        assert words in shown
    reviews = Ledger(desk.made.records).entries(action="review")
    assert [(entry.actor, entry.facts["dossier_digest"]) for entry in reviews] == [
        ("ann", desk.made.dossier_digest)
    ] * 2


def test_from_signature_to_champion_and_dagster_is_told(desk: Desk) -> None:
    refused = desk.refuses("promote", COHORT)
    assert "[unsigned]" in refused
    assert f"clinical-assets approve {COHORT}" in refused
    assert "Nothing serves" in desk("champion", COHORT).out
    assert "may not approve" in desk.refuses(*desk.approve("ann"), typed=secret("ann") + "\n")
    signed = desk.json(*desk.approve("bob"), typed=secret("bob") + "\n")
    assert (signed["printed_name"], signed["role"], signed["reported_to_dagster"]) == ("Bob Brook", "reviewer", True)
    with open_instance() as instance:
        (event,) = instance.fetch_materializations(dg.AssetKey("approval"), limit=5).records
        shown = event.asset_materialization
        assert shown is not None
        assert (event.partition_key, shown.tags["dagster/data_version"]) == (COHORT, desk.made.dossier_digest)
        assert shown.metadata["printed name"].value == "Bob Brook"
    promoted = desk.json("promote", COHORT)
    assert promoted["digest"] == desk.made.candidate.digest
    assert desk.json("champion", COHORT) == promoted
    assert "first champion" in desk.refuses("rollback", COHORT, "--reason", "Alarms.")
    assert desk.actions()[-3:] == ["login", "signature", "promotion"]


def test_the_wrong_digest_is_refused_before_a_password_is_asked_for(desk: Desk) -> None:
    said = desk.refuses("approve", COHORT, "--digest", WRONG, "--as", "bob", "--meaning", "Yes.", "--password-stdin")
    assert WRONG in said
    assert desk.made.dossier_digest in said
    assert "login" not in desk.actions()


def test_what_could_not_be_judged_is_waived_and_a_rejection_withdrawn(desk: Desk) -> None:
    desk.made.judge(bias="insufficient")
    told = desk.json("review", COHORT)
    (open_one,) = told["not_passed"]
    signed = ("--digest", told["dossier"]["digest"], "--as", "bob", "--password-stdin", "--reason", "Too few.")
    password = secret("bob") + "\n"
    of = ("--gate", open_one["gate"], "--criterion", open_one["criterion"])
    assert desk.json("waive", COHORT, *of, *signed, typed=password)["kind"] == "waiver"
    assert "'pass'" in desk.refuses(
        "waive", COHORT, "--gate", "security", "--criterion", "security_holds", *signed, typed=password
    )
    assert desk.json("reject", COHORT, *signed, typed=password)["kind"] == "rejection"
    assert {"rejected", "unsigned"} == {row["code"] for row in desk.json("review", COHORT)["blockers"]}
    assert desk.json("reject", COHORT, "--withdraw", *signed, typed=password)["kind"] == "withdrawal"
    with open_instance() as instance:
        approval = dg.AssetKey("approval")
        assert len(instance.fetch_materializations(approval, limit=5).records) == 2
        assert len(instance.fetch_observations(approval, limit=5).records) == 1


def test_a_dagster_that_cannot_be_told_takes_no_signature_back(desk: Desk) -> None:
    desk.made.settings.data.joinpath("dagster").write_text("in the way")
    said = desk(*desk.approve("bob"), "--json", typed=secret("bob") + "\n")
    assert (said.code, said.json()["reported_to_dagster"]) == (0, False)
    assert "Signed and kept" in said.err
    assert desk.made.codes() == []


def test_a_rollback_brings_the_champion_before_back(served: Desk) -> None:
    first = served.json("champion", COHORT)
    served.json(*served.approve("carol"), typed=secret("carol") + "\n")
    served.json("promote", COHORT)
    assert served.json("rollback", COHORT, "--reason", "Alarms on the ward.")["digest"] == first["digest"]
    assert served.json("champion", COHORT)["digest"] == first["digest"]
    assert "[rolled_back]" in served.refuses("promote", COHORT)


def test_champion_finishes_what_a_killed_process_left_and_notices_a_pointer_written_by_hand(served: Desk) -> None:
    folder = champions.serving_folder(served.made.settings, COHORT)
    pointer = json.loads((folder / champions.POINTER).read_text())
    intent = {"kind": "promotion", "before": None, "dossier_digest": None, "reason": None, "signatures": []}
    champions.write_json(folder / champions.JOURNAL, {**intent, "champion": {**pointer, "promotion": "another"}})
    said = served("champion", COHORT)
    assert "has been undone" in said.err
    assert pointer["digest"] in said.out
    champions.write_json(folder / champions.POINTER, {**pointer, "promotion": "made up"})
    assert "records do not know" in served.refuses("champion", COHORT)
