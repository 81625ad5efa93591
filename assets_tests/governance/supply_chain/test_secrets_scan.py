"""Secrets in a release and in the project are found and never shown."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from assets_tests.worlds.ward.trained import Trained
from clinical_assets.governance.supply_chain.secrets_scan import scan_release

ROOT = Path(__file__).parents[3]
# Put together here, so that this file does not hold what it looks for.
PLANTED = {
    "aws": "key_id = 'AKIA" + "Q3EXAMPLEKEY2026'",
    "github": "token: gh" + "p_" + "aB3" * 12,
    "private key": "-----BEGIN RSA " + "PRIVATE KEY-----",
    "address": "postgresql://ward:" + "s3cr3tpa55" + "@db.hospital.org/ward",
    "password": "pass" + 'word = "kJ8#mPq2!vR7"',
    "high entropy": 'value = "' + hashlib.sha256(b"planted").hexdigest() + '"',
}


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    folder = tmp_path / "bundle"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("kind", PLANTED)
def test_a_planted_secret_is_found_and_its_value_is_not_shown(empty: Path, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "catalogue" / "features" / "notes.md"
    path.parent.mkdir(parents=True)
    path.write_text(f"title: a cohort\nrows: 12\n{PLANTED[kind]}\n")
    scan = scan_release(empty, [tmp_path / "catalogue"])
    assert {(each.file, each.line) for each in scan.findings} == {("catalogue/features/notes.md", 3)}
    shown = " ".join(map(str, scan.findings))
    assert not [part for part in PLANTED[kind].split("'\"@:") if len(part) > 8 and part in shown]


@pytest.mark.parametrize("line", ["password = os.environ['WARD_PASSWORD']", "password: ${WARD_PASSWORD}", "age = 12"])
def test_what_opens_nothing_is_no_finding(empty: Path, line: str) -> None:
    (empty / "notes.md").write_text(f"{line}\n")
    assert scan_release(empty, []).findings == ()


def test_a_line_that_is_marked_as_public_is_let_through(empty: Path, tmp_path: Path) -> None:
    (empty / "notes.md").write_text(f"{PLANTED['password']}\n")
    assert scan_release(empty, []).findings
    (empty / "notes.md").write_text(f"{PLANTED['password']}  # pragma: allowlist secret\n")
    assert scan_release(empty, []).findings == ()


def test_a_bundle_is_free_of_secrets_and_a_planted_one_is_found_in_it(trained_once: Trained, tmp_path: Path) -> None:
    folder = shutil.copytree(trained_once.training.folder / "bundle", tmp_path / "bundle")
    assert scan_release(folder, []).findings == ()
    with (folder / "features.sql").open("a") as file:
        file.write(f"-- {PLANTED['address']}\n")
    assert [each.file for each in scan_release(folder, []).findings] == ["bundle/features.sql"]


def test_a_file_that_is_too_large_is_told_and_a_binary_one_left_out(empty: Path, tmp_path: Path) -> None:
    (empty / "large.csv").write_text("a,b\n" * 2_000_000)
    (empty / "x.parquet").write_bytes(b"PAR1\x00" + PLANTED["github"].encode())
    scan = scan_release(empty, [])
    assert (scan.files, scan.skipped, scan.findings) == (0, ("bundle/large.csv",), ())


def test_the_project_holds_no_secret_that_the_baseline_does_not_know() -> None:
    from detect_secrets.core.scan import scan_file
    from detect_secrets.settings import transient_settings

    baseline = json.loads((ROOT / ".secrets.baseline").read_text(encoding="utf-8"))
    assert not any("verification" in each["path"] for each in baseline["filters_used"])  # it would ask a network
    # By digest and not by file, so that a module may move.
    known = {each["hashed_secret"] for found in baseline["results"].values() for each in found}
    with transient_settings(baseline):
        found = {each.secret_hash: str(path) for path in tracked() for each in scan_file(str(path))}
    assert {path for digest, path in found.items() if digest not in known} == set()
    assert found, "the scan looked at nothing"


def tracked() -> list[Path]:
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
    except (OSError, subprocess.SubprocessError):
        return [path for path in (ROOT / "clinical_assets").rglob("*.*") if "__pycache__" not in path.parts]
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]
