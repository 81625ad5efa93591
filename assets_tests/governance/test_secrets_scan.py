"""Secrets in shared files are found and never shown; the project itself has none."""

from __future__ import annotations

import hashlib
import secrets
import subprocess
from pathlib import Path

import pytest

from clinical_assets.governance.secrets_scan import scan_files, shared_files

# Put together here, so that this file does not hold what it looks for.
PLANTED = {
    "aws": "key_id = 'AKIA" + "Q3EXAMPLEKEY2026'",
    "github": "token: gh" + "p_" + "aB3" * 12,
    "private key": "-----BEGIN RSA " + "PRIVATE KEY-----",
    "address": "postgresql://ward:" + "s3cr3tpa55" + "@db.hospital.org/ward",
    "password": "pass" + 'word = "kJ8#mPq2!vR7"',
    "high entropy": 'value = "' + hashlib.sha256(b"planted").hexdigest() + '"',
}


@pytest.mark.parametrize("kind", PLANTED)
def test_a_planted_secret_is_found_and_its_value_is_not_told(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "notes.yaml"
    path.write_text(f"title: a cohort\nrows: 12\n{PLANTED[kind]}\n")
    found = scan_files([("catalogue/notes.yaml", path)]).findings
    assert {(each.file, each.line) for each in found} == {("catalogue/notes.yaml", 3)}
    told = " ".join(map(str, found))
    assert not [part for part in PLANTED[kind].split("'\"@:") if len(part) > 8 and part in told]


@pytest.mark.parametrize(
    "line",
    [
        "postgresql://nurse:" + "hunter2" + "@db.example/ward",
        "https://user:" + "x9Klm2" + "@localhost:8080/",
        "password = os.environ['WARD_PASSWORD']",
        "password: ${WARD_PASSWORD}",
        "TOKEN" + ' = "WARD_SERVING_TOKEN"',
        "digest: sha256:" + hashlib.sha256(b"public").hexdigest(),
        "heart_rate_below_expected_bpm_2026 = 12",
    ],
)
def test_what_opens_nothing_is_no_finding(tmp_path: Path, line: str) -> None:
    path = tmp_path / "notes.md"
    path.write_text(f"{line}\n")
    assert scan_files([("docs/notes.md", path)]).findings == ()


def test_an_address_that_only_looks_reserved_is_found(tmp_path: Path) -> None:
    path = tmp_path / "notes.md"
    path.write_text("postgresql://nurse:" + "x9Klm2" + "@db.example.hospital.org/ward\n")
    assert scan_files([("docs/notes.md", path)]).findings


def test_a_value_known_to_be_public_is_let_through(tmp_path: Path) -> None:
    value = secrets.token_hex(32)
    path = tmp_path / "notes.md"
    path.write_text(f'example = "{value}"\n')
    files = [("docs/notes.md", path)]
    assert scan_files(files).findings
    assert scan_files(files, public=frozenset({hashlib.sha256(value.encode()).hexdigest()})).findings == ()


def test_made_up_passwords_of_tests_do_not_count_but_keys_do(tmp_path: Path) -> None:
    path = tmp_path / "test_x.py"
    path.write_text(f"{PLANTED['password']}\n{PLANTED['github']}\n")
    assert [each.line for each in scan_files([("assets_tests/test_x.py", path)]).findings] == [2]


def test_a_file_that_is_too_large_is_told_and_a_binary_one_left_out(tmp_path: Path) -> None:
    large, binary = tmp_path / "large.csv", tmp_path / "x.parquet"
    large.write_text("a,b\n" * 2_000_000)
    binary.write_bytes(b"PAR1\x00" + PLANTED["github"].encode())
    scan = scan_files([("team/large.csv", large), ("team/x.parquet", binary)])
    assert (scan.files, scan.skipped, scan.findings) == (0, ("team/large.csv",), ())


def test_tracked_files_and_the_teams_catalogue_are_looked_at(tmp_path: Path) -> None:
    checkout, team = tmp_path / "checkout", tmp_path / "team"
    for folder in (checkout, team / "features"):
        folder.mkdir(parents=True)
    (checkout / "tracked.py").write_text("x = 1\n")
    (checkout / "untracked.py").write_text("x = 1\n")
    (team / "features" / "ward.sql").write_text("SELECT 1\n")
    git = ["git", "-C", str(checkout)]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "tracked.py"], check=True)
    assert [name for name, _ in shared_files([team], checkout=checkout)] == ["team/features/ward.sql", "tracked.py"]


def test_without_version_control_the_package_itself_is_looked_at(tmp_path: Path) -> None:
    names = [name for name, _ in shared_files(checkout=tmp_path)]
    assert "clinical_assets/settings.py" in names
    assert not [name for name in names if "__pycache__" in name]


def test_the_project_holds_no_secret() -> None:
    scan = scan_files(shared_files())
    assert scan.files > 100
    assert scan.findings == ()
