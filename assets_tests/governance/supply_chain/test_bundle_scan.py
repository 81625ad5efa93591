"""A bundle holds its own files and no other, each of the type that its name stands for."""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import zipfile
from pathlib import Path
from typing import Any

import onnx
import pytest

from assets_tests.worlds.ward.trained import Trained
from clinical_assets.governance.supply_chain.bundle_scan import scan_folder
from clinical_assets.modelling.bundle.bundle_description import BoosterExplanation
from clinical_assets.modelling.bundle.contributions import export


class Evil:
    """What calls a program when it is loaded."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.system, ("true",))


@pytest.fixture
def folder(trained_once: Trained, tmp_path: Path) -> Path:
    """A copy of a trained bundle."""
    return shutil.copytree(trained_once.training.folder / "bundle", tmp_path / "bundle")


def problems(folder: Path) -> dict[str, str]:
    return {each.name: each.problem for each in scan_folder(folder) if each.problem}


def test_a_right_bundle_is_made_of_known_types_alone(folder: Path) -> None:
    assert problems(folder) == {}
    kinds = {each.name: each.kind for each in scan_folder(folder)}
    assert (kinds["model.onnx"], kinds["features.sql"]) == ("onnx", "sql")
    assert {kinds[name] for name in ("bundle.json", "manifest.json", "run.json")} == {"json"}


@pytest.mark.parametrize("name", ["notes.json", "model.pkl", "helper.py", ".hidden", "booster.txt", "MODEL.ONNX"])
def test_a_file_that_no_bundle_holds_is_named_whatever_is_in_it(folder: Path, name: str) -> None:
    (folder / name).write_text("{}")
    assert problems(folder) == {name: "no bundle holds a file of this name"}


def test_links_folders_and_what_lies_in_them_are_named(folder: Path) -> None:
    (folder / "more").mkdir()
    (folder / "more" / "bundle.json").write_text("{}")
    (folder / "features.sql").rename(folder.parent / "features.sql")
    (folder / "features.sql").symlink_to(folder.parent / "features.sql")
    assert problems(folder).keys() == {"more", "more/bundle.json", "features.sql"}
    assert problems(folder)["features.sql"] == "a link"


@pytest.mark.parametrize("name", ["model.onnx", "bundle.json", "features.sql", "manifest.json", "run.json"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert problems(folder)[name] == "it is missing"


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("name", ["model.onnx", "bundle.json", "features.sql", "manifest.json", "run.json"])
def test_a_pickle_under_an_allowed_name_is_none_of_its_types(folder: Path, name: str, protocol: int) -> None:
    (folder / name).write_bytes(pickle.dumps(Evil(), protocol))
    assert name in problems(folder)


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("harmless.txt", "harmless")
    return file.getvalue()


@pytest.mark.parametrize("name", ["model.onnx", "bundle.json", "features.sql", "run.json"])
def test_an_archive_behind_a_right_content_is_found(folder: Path, name: str) -> None:
    path = folder / name
    path.write_bytes(path.read_bytes() + zipped())
    assert name in problems(folder)


def test_bytes_that_the_graph_has_no_name_for_are_found(folder: Path) -> None:
    path = folder / "model.onnx"
    # Field 1000 of a protocol buffer, a text: every reader skips it.
    hidden = pickle.dumps(Evil())
    path.write_bytes(path.read_bytes() + bytes([0xC2, 0x3E, len(hidden)]) + hidden)
    assert onnx.load_model_from_string(path.read_bytes()).graph.node
    assert problems(folder) == {"model.onnx": "it holds bytes that are no part of its ONNX graph"}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("features.sql", "SELECT 1; DROP TABLE x"),
        ("features.sql", "COPY x TO 'y'"),
        ("features.sql", "import os\nos.system('true')\n"),
        ("features.sql", "#!/bin/sh\ntrue\n"),
        ("features.sql", "SELECT '\x1b[2J'"),
        ("features.sql", ""),
        ("run.json", "[1, 2]"),
        ("run.json", '{"a": 1'),
        ("run.json", "[" * 100_000),
        ("run.json", ""),
        ("model.onnx", ""),
        ("model.onnx", "\x08\x0a"),
        ("model.onnx", '{"a": 1}'),
    ],
)
def test_a_wrong_type_under_an_allowed_name_is_found(folder: Path, name: str, content: str) -> None:
    (folder / name).write_text(content)
    assert problems(folder).keys() == {name}


def boosted(folder: Path, kind: str) -> Path:
    """A booster fitted and exported as trainings do, and named by the description."""
    import numpy as np

    X = np.random.default_rng(1).normal(size=(120, 4))
    event = X[:, 0] + X[:, 1] > 0
    if kind == "lightgbm":
        from lightgbm import LGBMClassifier

        estimator: Any = LGBMClassifier(n_estimators=3, n_jobs=1, verbose=-1)
    else:
        from xgboost import XGBClassifier

        estimator = XGBClassifier(n_estimators=3, n_jobs=1)
    explanation = export(estimator.fit(X, event), name=kind, n_classes=2, folder=folder)
    path = folder / "bundle.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "explanation": explanation.to_json()}))
    assert isinstance(explanation, BoosterExplanation)
    return folder / explanation.file


@pytest.mark.parametrize("kind", ["lightgbm", "xgboost"])
def test_a_booster_that_the_description_names_is_read_as_one(folder: Path, kind: str) -> None:
    booster = boosted(folder, kind)
    assert problems(folder) == {}
    content = booster.read_bytes()
    for wrong in (b"", b"{}", b"import os\n", content + b"\nimport os\n", pickle.dumps(Evil()), content + zipped()):
        booster.write_bytes(wrong)
        assert problems(folder).keys() == {booster.name}
    booster.unlink()
    assert problems(folder) == {booster.name: "it is missing"}
