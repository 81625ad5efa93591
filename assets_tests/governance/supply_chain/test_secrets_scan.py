"""Secrets in a release and in the project are found and never shown."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest

from assets_tests.worlds.ward.trained import Trained
from clinical_assets.foundation.atomic_files import write_whole
from clinical_assets.foundation.canonical import file_digest, value_digest
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
    from detect_secrets.settings import transient_settings

    baseline = json.loads((ROOT / ".secrets.baseline").read_text(encoding="utf-8"))
    assert not any("verification" in each["path"] for each in baseline["filters_used"])  # it would ask a network
    # By digest and not by file, so that a module may move.
    known = {each["hashed_secret"] for found in baseline["results"].values() for each in found}
    used = {name: baseline[name] for name in ("plugins_used", "filters_used")}
    with transient_settings(used):
        found = scan_all(tracked(), settings=used, kept=ROOT / "build" / "secrets_scan.json")
    assert {path for digest, path in found.items() if digest not in known} == set()
    assert found, "the scan looked at nothing"


def test_a_scan_of_all_files_reads_a_changed_file_again_and_tells_what_an_unchanged_one_holds(tmp_path: Path) -> None:
    from detect_secrets.settings import default_settings

    kept, folder = tmp_path / "kept" / "scan.json", tmp_path / "project"
    folder.mkdir()
    paths = [folder / "sound.py", folder / "spoilt.py"]
    for path in paths:
        path.write_text("age = 12\n")
    with default_settings():
        assert scan_all(paths, settings=[], kept=kept) == {}
        paths[1].write_text(f"{PLANTED['password']}\n")
        first = scan_all(paths, settings=[], kept=kept)
        assert list(first.values()) == [str(paths[1])]
        assert scan_all(paths, settings=[], kept=kept) == first


def scan_all(paths: list[Path], *, settings: object, kept: Path) -> dict[str, str]:
    """Digest of each secret and the file that holds it, under the scanner's settings that are in force.

    To scan everything takes a minute, so what each file holds is kept, by its path and content: only files that
    are new or changed are scanned again.
    """
    from detect_secrets.core.scan import scan_file

    before: dict[str, list[str]] = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    now: dict[str, list[str]] = {}
    found: dict[str, str] = {}
    for path in paths:
        key = value_digest([version("detect-secrets"), settings, str(path), file_digest(path)])
        now[key] = before[key] if key in before else [each.secret_hash for each in scan_file(str(path))]
        found |= dict.fromkeys(now[key], str(path))
    write_whole(kept, json.dumps(now))
    return found


def tracked() -> list[Path]:
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
    except (OSError, subprocess.SubprocessError):
        return [path for path in (ROOT / "clinical_assets").rglob("*.*") if "__pycache__" not in path.parts]
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]
