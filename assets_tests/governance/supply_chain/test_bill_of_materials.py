"""The bill of materials names the model, its files and every package, keeps the schema, and is the same each time."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from assets_tests.worlds.ward.trained import Trained
from clinical_assets.governance.supply_chain.bill_of_materials import (
    FILE,
    InvalidBill,
    check_bill,
    keep_bill,
    make_bill,
)
from clinical_assets.governance.supply_chain.dependencies import installed_packages


@pytest.fixture(scope="module")
def bill(trained_once: Trained) -> str:
    return make_bill(trained_once.training.bundle(), title="A model for tests")


def test_the_model_and_its_files_stand_in_the_bill_with_their_digests(trained_once: Trained, bill: str) -> None:
    model = json.loads(bill)["metadata"]["component"]
    assert (model["type"], model["version"]) == ("machine-learning-model", trained_once.digest)
    for part in model["components"]:
        content = (trained_once.training.folder / "bundle" / part["name"]).read_bytes()
        assert part["hashes"] == [{"alg": "SHA-256", "content": hashlib.sha256(content).hexdigest()}]
    assert {part["name"] for part in model["components"]} >= {"model.onnx", "bundle.json", "features.sql"}


def test_every_installed_package_stands_in_the_bill_with_its_version(bill: str) -> None:
    components = {each["name"]: each for each in json.loads(bill)["components"]}
    for name, version in installed_packages().items():
        assert components[name]["purl"] == f"pkg:pypi/{name}@{version}"


def test_the_bill_tells_who_needs_whom(bill: str) -> None:
    content = json.loads(bill)
    needs = {each["ref"]: each.get("dependsOn", []) for each in content["dependencies"]}
    (project,) = needs[content["metadata"]["component"]["bom-ref"]]
    assert project.startswith("pkg:clinical-assets@")
    assert any(each.startswith("pkg:duckdb@") for each in needs[project])


def test_the_same_model_and_packages_give_the_same_bytes(trained_once: Trained, bill: str) -> None:
    bundle = trained_once.training.bundle()
    assert make_bill(bundle, title="A model for tests") == bill
    other = make_bill(bundle, title="A model for tests", installed={**installed_packages(), "duckdb": "0.0.1"})
    assert json.loads(other)["serialNumber"] != json.loads(bill)["serialNumber"]


@pytest.mark.parametrize(
    ("part", "value"), [("bomFormat", "Another"), ("components", [{"name": "x"}]), ("serialNumber", "seven")]
)
def test_a_bill_that_breaks_the_schema_is_refused(bill: str, part: str, value: object) -> None:
    with pytest.raises(InvalidBill, match="schema"):
        check_bill(json.dumps({**json.loads(bill), part: value}))


def test_a_bill_replaces_the_one_before_it(bill: str, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("old")
    assert keep_bill(tmp_path, bill).read_text(encoding="utf-8") == bill
    assert [path.name for path in tmp_path.iterdir()] == [FILE]
