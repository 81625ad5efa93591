"""Every criterion of the security gate fails when its evidence is spoiled, and says so when nothing was checked."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import onnx
import pytest

from assets_tests.governance.supply_chain.test_bundle_scan import Evil
from assets_tests.governance.supply_chain.test_secrets_scan import PLANTED
from assets_tests.worlds.ward.trained import Trained
from clinical_assets.governance.candidate.candidate import ReleaseCandidate
from clinical_assets.governance.gates.security import gate as security
from clinical_assets.governance.supply_chain.bill_of_materials import FILE, check_bill
from clinical_assets.governance.supply_chain.dependencies import installed_packages
from clinical_assets.governance.verdicts.verdict import Verdict
from clinical_assets.modelling.bundle.bundle import Bundle
from clinical_assets.modelling.bundle.bundle_files import RUN

CRITERIA = {
    "bundle_digests",
    "no_executable_content",
    "onnx_graph",
    "bundle_size",
    "dependencies_locked",
    "bill_of_materials",
    "known_vulnerabilities",
    "no_secrets",
}


@pytest.fixture
def candidate(trained: Trained) -> ReleaseCandidate:
    return trained.candidate()


def _seal_again(candidate: ReleaseCandidate) -> ReleaseCandidate:
    """The bundle under a manifest that is right for what lies in the folder now."""
    folder = candidate.bundle.folder
    (folder / "manifest.json").unlink()
    (folder / RUN).unlink()
    return replace(candidate, bundle=Bundle._seal(folder))


def test_a_right_candidate_fails_nothing_and_has_a_bill_of_materials(candidate: ReleaseCandidate) -> None:
    verdicts = security.evaluate(candidate)
    found: Mapping[str, Verdict] = {verdict.criterion: verdict for verdict in verdicts}
    assert set(found) == CRITERIA
    assert {verdict.gate for verdict in verdicts} == {"security"}
    for name in CRITERIA - {"dependencies_locked", "known_vulnerabilities"}:
        assert found[name].verdict == "pass", found[name].reason
    assert found["known_vulnerabilities"].verdict == "insufficient"
    check_bill((candidate.training.report / FILE).read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["model.onnx", "bundle.json", "features.sql", "manifest.json"])
def test_a_flipped_byte_breaks_the_digests(candidate: ReleaseCandidate, name: str) -> None:
    path = candidate.bundle.folder / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert security._digests(candidate).verdict == "fail"


def test_another_whole_bundle_in_the_same_place_breaks_the_digests(candidate: ReleaseCandidate) -> None:
    path = candidate.bundle.folder / "bundle.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "threshold": 0.9}))
    _seal_again(candidate)
    verdict = security._digests(candidate)
    assert verdict.verdict == "fail"
    assert "The folder holds the bundle sha256:" in verdict.reason


@pytest.mark.parametrize("name", ["model.onnx", "features.sql", "more.json"])
def test_a_renamed_pickle_under_a_right_manifest_is_found(candidate: ReleaseCandidate, name: str) -> None:
    (candidate.bundle.folder / name).write_bytes(pickle.dumps(Evil()))
    sealed = _seal_again(candidate)
    assert security._digests(sealed).verdict == "pass"
    verdict = security._executable(sealed)
    assert verdict.verdict == "fail"
    assert f"{name}: " in verdict.reason


def test_an_empty_folder_is_no_pass(candidate: ReleaseCandidate) -> None:
    for path in candidate.bundle.folder.iterdir():
        path.unlink()
    for criterion in (security._executable, security._graph, security._digests):
        assert criterion(candidate).verdict == "fail"


def test_a_graph_with_operators_of_its_own_fails(candidate: ReleaseCandidate) -> None:
    path = candidate.bundle.folder / "model.onnx"
    model = onnx.load_model_from_string(path.read_bytes())
    model.graph.node[0].domain = "com.evil"
    path.write_bytes(model.SerializeToString())
    verdict = security._graph(candidate)
    assert (verdict.verdict, "com.evil" in verdict.reason) == ("fail", True)


def test_a_bundle_above_the_limit_fails(trained: Trained) -> None:
    trained.describe(limits={"bundle_mb": 0.001})
    verdict = security._size(trained.candidate())
    assert (verdict.verdict, verdict.limit) == ("fail", "<= 0.001 MB")
    assert verdict.value is not None
    assert verdict.value > 0.001


def test_a_secret_in_the_teams_catalogue_fails_and_is_not_told(trained: Trained) -> None:
    path = trained.settings.catalogue[0] / "notes.yaml"
    path.write_text(PLANTED["github"])
    verdict = security._secrets(trained.candidate())
    assert verdict.verdict == "fail"
    assert "notes.yaml:1" in verdict.reason
    assert PLANTED["github"].split()[-1] not in str(verdict)


def test_a_vulnerable_package_fails_by_the_setting(trained: Trained, tmp_path: Path) -> None:
    here = installed_packages()
    known = [{"id": "PYSEC-2026-9", "fix_versions": []}]
    place = tmp_path / "report.json"
    place.write_text(
        json.dumps({"dependencies": [{"name": "duckdb", "version": here["duckdb"], "vulns": known}], "fixes": []})
    )
    verdict = security.known_vulnerabilities(here, place)
    assert (verdict.verdict, f"duckdb {here['duckdb']}: PYSEC-2026-9" in verdict.reason) == ("fail", True)
