"""A bundle's description and manifest as types: every byte stays, older ones are read, others refused."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from clinical_assets.foundation.canonical import hex_of, readable_json
from clinical_assets.foundation.stored_format import BadDocument
from clinical_assets.modelling.bundle.bundle import Bundle
from clinical_assets.modelling.bundle.bundle_description import BundleDescription, BundleManifest, StoredReference

STATE = Path(__file__).parents[2] / "upgrade" / "state_v1.tar.xz"


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Bundles that version 1 wrote."""
    folder = tmp_path_factory.mktemp("released")
    with tarfile.open(STATE) as archive:
        archive.extractall(folder, filter="data")
    found = sorted(path.parent for path in folder.glob("state/data/models/*/*/bundle/bundle.json"))
    assert len(found) == 2
    return found


def test_what_version_1_wrote_is_written_again_byte_for_byte(released: list[Path], tmp_path: Path) -> None:
    for folder in released:
        BundleDescription.read(folder).write(tmp_path)
        BundleManifest.read(folder).write(tmp_path)
        for name in ("bundle.json", "manifest.json"):
            assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def test_bundles_of_version_1_keep_their_digests(released: list[Path]) -> None:
    data = released[0].parents[3]
    served_under = {path.name for path in (data / "bundles/heart_disease").iterdir()}
    assert {hex_of(Bundle.load(folder).digest) for folder in released} == served_under


@pytest.mark.parametrize(
    "explanation",
    [
        {"method": "paths"},
        {"method": "xgboost", "file": "booster.json"},
        {"method": "lightgbm", "file": "booster.txt"},
        {
            "method": "naive_bayes",
            "means": [[0.5, -1e-17], [1.0, 2.0]],
            "variances": [[1.0, 1.0], [2.0, 2.0]],
            "priors": [0.5, 0.5],
        },
    ],
)
def test_every_kind_of_model_and_a_derivation_are_written_as_they_were_read(
    released: list[Path], explanation: dict[str, object]
) -> None:
    plain = json.loads((released[0] / "bundle.json").read_text())
    derived = {
        "from": "sha256:a",
        "kind": "intercept",
        "intercept": 0.1,
        "slope": 1.0,
        "n": 9,
        "events": 3,
        "cause": "",
    }
    plain |= {"explanation": explanation, "derived": derived}
    again = BundleDescription.of(plain, where="a test").to_json()
    assert readable_json(again, sort_keys=True) == readable_json(plain, sort_keys=True)


def test_a_field_that_nobody_knows_or_that_is_missing_is_refused_without_its_value(
    released: list[Path], tmp_path: Path
) -> None:
    shutil.copyfile(released[0] / "bundle.json", tmp_path / "bundle.json")
    plain = json.loads((tmp_path / "bundle.json").read_text())
    for wrong, named in (
        ({**plain, "patient": "Ann Example"}, "patient"),
        ({**plain, "threshold": "Ann Example"}, "threshold"),
        ({name: value for name, value in plain.items() if name != "tiers"}, "tiers"),
    ):
        (tmp_path / "bundle.json").write_text(json.dumps(wrong))
        with pytest.raises(BadDocument, match=named) as refused:
            BundleDescription.read(tmp_path)
        assert "Ann Example" not in str(refused.value)


def test_a_reader_of_descriptions_loads_no_numerics() -> None:
    code = (
        "import sys, clinical_assets.modelling.bundle.bundle_description\n"
        "assert not {'numpy', 'polars', 'duckdb', 'onnx', 'sklearn'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[3])


def test_without_a_count_of_its_rows_a_bundle_takes_the_features_that_one_row_in_a_hundred_lacks() -> None:
    def feature(missing: float) -> dict[str, object]:
        return {"missing_share": missing, "median": 1.0, "mean": 1.0, "sd": 0.0, "quantiles": [1.0, 1.0]}

    features = {name: feature(share) for name, share in (("a", 0.0), ("b", 0.005), ("c", 0.02), ("d", 0.7))}
    old = {"n": 9, "shares": [0, 1], "features": features}
    assert StoredReference.of(old, where="a bundle").usually_missing() == 2
    assert StoredReference.of({**old, "missing_per_row": 3}, where="a bundle").usually_missing() == 3
