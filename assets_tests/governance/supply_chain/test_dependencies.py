"""What is installed is held against the lock, package by package."""

from __future__ import annotations

from pathlib import Path

import pytest

from clinical_assets.governance.gates.security.gate import packages_locked
from clinical_assets.governance.supply_chain.dependencies import (
    LOCK,
    LockUnreadable,
    compare_packages,
    dependency_graph,
    installed_packages,
    lock_of_checkout,
    needed_packages,
    read_lock,
)

HERE = installed_packages()


def _lock(folder: Path, **changes: str | None) -> Path:
    versions = {name: version for name, version in {**HERE, **changes}.items() if version is not None}
    path = folder / LOCK
    path.write_text(
        "\n".join(f"{name}=={version} \\\n    --hash=sha256:{'0' * 64}" for name, version in versions.items())
    )
    return path


def test_an_environment_made_from_the_lock_passes(tmp_path: Path) -> None:
    verdict = packages_locked(_lock(tmp_path))
    assert (verdict.verdict, verdict.n) == ("pass", len(HERE))


def test_another_version_than_the_locks_fails_and_is_named(tmp_path: Path) -> None:
    verdict = packages_locked(_lock(tmp_path, duckdb="0.0.1"))
    assert verdict.verdict == "fail"
    assert f"duckdb is {HERE['duckdb']}, not 0.0.1" in verdict.reason


def test_a_needed_package_that_is_not_installed_fails(tmp_path: Path) -> None:
    lock = _lock(tmp_path)
    there = {name: version for name, version in HERE.items() if name != "onnxruntime"}
    compared = compare_packages(lock, installed=there)
    assert [str(each) for each in compared.differing] == [f"onnxruntime {HERE['onnxruntime']} is not installed"]


def test_what_only_an_extra_asks_for_may_be_absent(tmp_path: Path) -> None:
    there = {name: version for name, version in HERE.items() if name != "hypothesis"}
    assert compare_packages(_lock(tmp_path), installed=there).differing == ()


def test_a_package_that_the_lock_does_not_know_is_no_pass(tmp_path: Path) -> None:
    verdict = packages_locked(_lock(tmp_path, duckdb=None))
    assert verdict.verdict == "insufficient"
    assert f"duckdb {HERE['duckdb']}" in verdict.reason


def test_without_a_lock_nothing_passes_and_a_broken_range_fails() -> None:
    assert packages_locked(None).verdict == "insufficient"
    verdict = packages_locked(None, installed={**HERE, "duckdb": "0.0.1"})
    assert verdict.verdict == "fail"
    assert "duckdb is 0.0.1, not ==" in verdict.reason


def test_lines_for_other_machines_do_not_count(tmp_path: Path) -> None:
    path = tmp_path / LOCK
    path.write_text(
        "# made by uv\nnowhere==1.0 ; sys_platform == 'plan9'\nnumpy==1.0 ; python_version >= '3'  # here\n"
    )
    assert read_lock(path) == {"numpy": "1.0"}


@pytest.mark.parametrize("line", ["numpy>=1.0", "numpy", "what is this?"])
def test_a_line_without_an_exact_version_is_refused_by_number(tmp_path: Path, line: str) -> None:
    path = tmp_path / LOCK
    path.write_text(f"scipy==1.0\n{line}\n")
    with pytest.raises(LockUnreadable, match=r"requirements\.lock:2"):
        read_lock(path)
    assert packages_locked(path).verdict == "fail"


def test_the_lock_of_this_project_names_everything_that_it_needs() -> None:
    lock = lock_of_checkout()
    assert lock is not None
    assert needed_packages(HERE) - read_lock(lock).keys() == set()


def test_what_is_needed_is_followed_all_the_way_down() -> None:
    graph = dependency_graph(HERE)
    assert "duckdb" in graph["clinical-assets"]
    assert all(need in graph for needs in graph.values() for need in needs)
    assert "hypothesis" not in graph
