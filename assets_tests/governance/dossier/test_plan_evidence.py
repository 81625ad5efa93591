"""The evidence of a plan checks itself without the package; what was changed, left out, added or forged is named."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from assets_tests.worlds.ward.released import Releasable
from assets_tests.worlds.ward.trained import COHORT
from clinical_assets.foundation.canonical import bytes_sha256, canonical_json, readable_json
from clinical_assets.governance.dossier import check_plan_evidence as checker
from clinical_assets.governance.dossier.plan_evidence import CHECKER, write_plan_evidence
from clinical_assets.records.ledger.ledger import Ledger


@pytest.fixture
def unpacked(second: Releasable, tmp_path: Path) -> tuple[Path, str]:
    """Evidence of one released model and one that waits, unpacked; and the installation's public key."""
    Ledger(second.records).append("review", actor="bob", cohort="another_ward", reason="Not to be told.")
    path, folder = tmp_path / "evidence.zip", tmp_path / "unpacked"
    told = write_plan_evidence(second.candidate, path, actor="carol")
    assert told["missing"] == []
    with zipfile.ZipFile(path) as file:
        file.extractall(folder)
    return folder, told["key"]


def _checked(folder: Path, *options: str) -> tuple[int, str]:
    """The checker in the folder, by a Python that sees no package."""
    command = [sys.executable, "-I", "-S", str(folder / CHECKER), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout + done.stderr


def test_untouched_evidence_fits_and_says_whose_key_to_compare(unpacked: tuple[Path, str], second: Releasable) -> None:
    folder, key = unpacked
    code, said = _checked(folder, "--key", key)
    assert (code, "Everything fits" in said) == (0, True), said
    assert "Not compared" in _checked(folder)[1]
    assert "Not to be told" not in (folder / "ledger.jsonl").read_text()
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert len([name for name in names if name.startswith("verdicts/")]) == 10
    assert len([name for name in names if name.startswith("models/")]) == 2
    assert len([name for name in names if name.endswith("index.html")]) == 2
    newest = Ledger(second.records).entries(cohort=COHORT, action="export")[-1]
    assert (newest.actor, newest.facts["format"]) == ("carol", "zip")


def test_every_changed_missing_or_added_file_is_named(unpacked: tuple[Path, str]) -> None:
    folder, key = unpacked
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    for name in names:
        before = (folder / name).read_bytes()
        (folder / name).write_bytes(before.replace(b"a", b"b", 1) if b"a" in before else before + b" ")
        assert any(name in said or "manifest" in said for said in checker.problems(folder, key=key)), name
        (folder / name).unlink()
        assert f"{name} is missing" in " ".join(checker.problems(folder, key=key)), name
        (folder / name).write_bytes(before)
    (folder / "more.txt").write_text("more")
    assert list(checker.problems(folder, key=key)) == ["more.txt was added."]


def _forge(folder: Path, change: Callable[[Path], None]) -> None:
    """Change content, list it anew, and sign with a key of one's own."""
    change(folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["signature"]
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "manifest.json"]
    files += [path for path in folder.rglob("*/manifest.json") if path.parent != folder]
    manifest["files"] = {path.relative_to(folder).as_posix(): bytes_sha256(path.read_bytes()) for path in files}
    own = Ed25519PrivateKey.generate()
    manifest["keys"] = [base64.b64encode(own.public_key().public_bytes_raw()).decode(), *manifest["keys"]]
    signature = own.sign((checker.EVIDENCE + canonical_json(manifest)).encode())
    signed = {**manifest, "signature": base64.b64encode(signature).decode()}
    (folder / "manifest.json").write_text(readable_json(signed))


def _lines(folder: Path, change: Callable[[list[dict[str, Any]]], None]) -> None:
    path = folder / "ledger.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    change(lines)
    path.write_text("".join(canonical_json(line) + "\n" for line in lines))


def _another_reason(lines: list[dict[str, Any]]) -> None:
    next(line for line in lines if line.get("action") == "promotion")["actor"] = "mallory"


def _another_signer(lines: list[dict[str, Any]]) -> None:
    line = next(line for line in lines if line.get("action") == "signature")
    line["facts"]["printed_name"] = "Mallory"
    line["hash"] = checker.entry_hash(line)


def _hide_a_promotion(lines: list[dict[str, Any]]) -> None:
    number = next(number for number, line in enumerate(lines) if line.get("action") == "promotion")
    lines[number] = {name: lines[number][name] for name in ("seq", "hash", "seal")}


def _passed_after_all(folder: Path) -> None:
    path = min((folder / "verdicts").glob("*-performance.json"))
    run = json.loads(path.read_text())
    run["verdicts"][0]["value"] = 0.99
    path.write_text(readable_json(run))


def _another_page(folder: Path) -> None:
    path = min(folder.glob("dossiers/*/index.html"))
    path.write_text(path.read_text() + "<p>Better than it was.</p>")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        # Nobody who lacks the key can tell that a ledger once went on; whoever has it can.
        (lambda folder: _lines(folder, lambda lines: lines.pop()), "not by the one that you gave"),
        (lambda folder: _lines(folder, _another_reason), "does not have its hash"),
        (lambda folder: _lines(folder, _another_signer), "The signature of Mallory"),
        (lambda folder: _lines(folder, lambda lines: lines.pop(4)), "Entry 5 of the ledger is missing"),
        (lambda folder: _lines(folder, _hide_a_promotion), "Entries of the cohort are not those"),
        (_passed_after_all, "is not what the gate said"),
        (_another_page, "is not the file of the dossier that was signed"),
    ],
)
def test_evidence_that_was_listed_and_signed_anew_by_somebody_else_is_found_out(
    unpacked: tuple[Path, str], change: Callable[[Path], None], named: str
) -> None:
    folder, key = unpacked
    _forge(folder, change)
    code, said = _checked(folder, "--key", key)
    assert code == 1
    assert named in said
    if named != "not by the one that you gave":
        assert named in _checked(folder)[1]  # found without the key, too


@settings(max_examples=20)
@given(st.binary(min_size=32, max_size=32), st.text(st.characters(max_codepoint=127), max_size=50), st.integers(0, 511))
def test_signatures_are_judged_as_by_an_independent_implementation(seed: bytes, message: str, bit: int) -> None:
    key = Ed25519PrivateKey.from_private_bytes(seed)
    public, raw = base64.b64encode(key.public_key().public_bytes_raw()).decode(), key.sign(message.encode())
    assert checker.is_signed(public, message, base64.b64encode(raw).decode())
    assert not checker.is_signed(public, message + "x", base64.b64encode(raw).decode())
    flipped = bytearray(raw)
    flipped[bit // 8] ^= 1 << bit % 8
    assert not checker.is_signed(public, message, base64.b64encode(bytes(flipped)).decode())
