"""Heads of the ledger in a file, on a web server, in a git repository: each real, each read back and held against."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from assets_tests.worlds.machine.receivers import WebSink, web_sink
from clinical_assets.foundation.settings import Settings
from clinical_assets.governance.verification import EvidencePart, verify_all
from clinical_assets.records.database import RecordsDatabase
from clinical_assets.records.errors import RecordsError
from clinical_assets.records.ledger.ledger import Ledger
from clinical_assets.records.ledger.witness_places import GIT_FILE, witness_place
from clinical_assets.records.ledger.witnesses import compare, witness


@pytest.fixture
def web() -> Iterator[WebSink]:
    with web_sink() as sink:
        yield sink


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """An empty bare repository that refuses to lose history."""
    folder = tmp_path / "heads.git"
    subprocess.run(["git", "init", "--quiet", "--bare", str(folder)], check=True)
    subprocess.run(["git", "-C", str(folder), "config", "receive.denyNonFastForwards", "true"], check=True)
    return folder


@pytest.fixture(params=["file", "web", "git", "git branch"])
def address(request: pytest.FixtureRequest, web: WebSink, repository: Path, tmp_path: Path) -> str:
    places = {
        "file": str(tmp_path / "outside" / "heads.jsonl"),
        "web": f"http://127.0.0.1:{web.port}/witness?token=hush",
        "git": f"git+file://{repository}",
        "git branch": f"git+file://{repository}#ward/heads",
    }
    return places[request.param]


@pytest.fixture
def ledger(settings: Settings) -> Ledger:
    made = Ledger(RecordsDatabase(settings))
    made.append("review", actor="ann")
    return made


def witnessed(settings: Settings, address: str) -> EvidencePart:
    """What the one verification says of the heads in a place."""
    return verify_all(replace(settings, witnesses=(address,))).parts[-1]


def test_heads_come_back_in_order_and_are_compared(ledger: Ledger, address: str, settings: Settings) -> None:
    place = witness_place(address)
    if not address.startswith("/"):
        assert witnessed(settings, address).note == "No head lies there yet."
    for _ in range(3):
        witness(ledger, place, actor="ann")
    found = compare(ledger.database, place.lines(), where=place.name)
    assert (found.agreeing, found.problem, found.newest and found.newest.seq) == (3, None, 3)
    part = witnessed(settings, address)
    assert (part.checked, part.problems) == (3, ())
    assert "The newest is entry 3" in str(part.note)
    # Each is entered, under a name that holds no secret and no path.
    entries = ledger.entries(action="witness")
    assert [entry.facts for entry in entries] == [{"file": place.name, "entry": number} for number in (1, 2, 3)]
    assert "hush" not in place.name
    assert os.sep not in place.name.partition("://")[2]


def test_another_ledger_contradicts_what_lies_outside(ledger: Ledger, address: str, tmp_path: Path) -> None:
    witness(ledger, witness_place(address), actor="ann")
    other = Ledger(RecordsDatabase(replace(ledger.database.settings, data=tmp_path / "other")))
    other.append("review", actor="mallory")
    (problem,) = witnessed(other.database.settings, address).problems
    assert problem.startswith("Entry 1, witnessed on ")
    assert problem.endswith("is another one.")


def test_a_line_that_was_changed_is_a_finding_and_a_place_that_is_away_is_a_note(
    ledger: Ledger, web: WebSink, settings: Settings
) -> None:
    address = f"http://127.0.0.1:{web.port}/witness"
    witness(ledger, witness_place(address), actor="ann")
    web.answers.append(503)
    part = witnessed(settings, address)
    assert part.problems == ()
    assert part.note == "Not compared: http://127.0.0.1 answers 503 to GET."
    path, headers, body = web.requests[0]
    web.requests[0] = (path, headers, body.replace(b'"seq":1', b'"seq":1 '))
    assert witnessed(settings, address).problems == ()  # the same content
    web.requests[0] = (path, headers, body.replace(b"sha256:", b"sha256:0"))
    (problem,) = witnessed(settings, address).problems
    assert "is no witness" in problem


@pytest.mark.parametrize("answer", [301, 403, 500])
def test_what_a_server_does_not_take_is_not_entered(ledger: Ledger, web: WebSink, answer: int) -> None:
    web.answers.append(answer)
    with pytest.raises(RecordsError, match=f"answers {answer} to POST") as caught:
        witness(ledger, witness_place(f"http://127.0.0.1:{web.port}/w?token=hush"), actor="ann")
    assert "hush" not in str(caught.value)
    assert ledger.entries(action="witness") == ()
    assert len(web.requests) == 1  # a redirect is not followed


def test_a_repository_keeps_what_others_pushed(ledger: Ledger, repository: Path, tmp_path: Path) -> None:
    place = witness_place(f"git+file://{repository}")
    witness(ledger, place, actor="ann")
    clone = tmp_path / "theirs"
    subprocess.run(["git", "clone", "--quiet", "--branch=main", str(repository), str(clone)], check=True)
    (clone / "README").write_text("Of the quality officer.", encoding="utf-8")
    identity = ["-c", "user.name=q", "-c", "user.email=q@localhost"]
    subprocess.run(["git", "-C", str(clone), "add", "README"], check=True)
    subprocess.run(["git", "-C", str(clone), *identity, "commit", "--quiet", "-m", "Why"], check=True)
    subprocess.run(["git", "-C", str(clone), "push", "--quiet", "origin", "main"], check=True)
    witness(ledger, place, actor="ann")
    subprocess.run(["git", "-C", str(clone), "pull", "--quiet"], check=True)
    assert (clone / "README").exists()
    assert len((clone / GIT_FILE).read_text(encoding="ascii").splitlines()) == 2


def test_a_repository_that_refuses_is_told_of_without_its_address(ledger: Ledger, repository: Path) -> None:
    hook = repository / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\nexit 1\n", encoding="ascii")
    hook.chmod(0o700)
    with pytest.raises(RecordsError, match=r"git push ends with exit code 1") as caught:
        witness(ledger, witness_place(f"git+file://{repository}"), actor="ann")
    assert str(repository) not in str(caught.value)
    with pytest.raises(RecordsError, match="git ls-remote ends with"):
        witness_place(f"git+file://{repository}-elsewhere").lines()
    assert ledger.entries(action="witness") == ()


@pytest.mark.parametrize("address", ["http://elsewhere.example/x", "ftp://x/y", "git+http://x/y", "ext::sh", "s3://b"])
def test_other_addresses_are_refused(address: str, settings: Settings, ledger: Ledger) -> None:
    if "://" not in address:
        assert witness_place(address).name == address  # a file of that name, never a command
        return
    with pytest.raises(RecordsError, match="Witnesses are not sent to"):
        witness_place(address)
    assert witnessed(settings, address).problems
