"""What Dagster is told loads quickly, changes nothing, and says of every asset who owns it and what one row is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import dagster as dg
import pytest

from assets_tests.worlds.team.cohorts import listing
from clinical_assets.definitions import load
from clinical_assets.defs import partitions
from clinical_assets.foundation.settings import CATALOGUE, DATA

ROOT = Path(__file__).parents[2]
HEAVY = {
    *("duckdb", "evidently", "interpret", "jinja2", "lightgbm", "matplotlib", "mlflow", "numba", "numpy", "onnx"),
    *("onnxruntime", "optuna", "pandas", "pandera", "polars", "pyarrow", "scipy", "shap", "skl2onnx", "sklearn"),
    *("sqlalchemy", "sqlglot", "statsmodels", "xgboost"),
}
LOADED = """
import json, sys
from clinical_assets.definitions import load
from clinical_assets.defs import partitions
load().resolve_asset_graph()
roots = sorted({name.partition(".")[0] for name in sys.modules})
print(json.dumps({"modules": roots, "cohorts": partitions.cohorts().get_partition_keys()}))
"""


def _environment(folder: Path, **more: str) -> Mapping[str, str]:
    """A home and a data folder in ``folder``, and nothing of the machine's own settings."""
    (folder / "home").mkdir()
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("CLINICAL_ASSETS_", "DAGSTER_"))}
    inherited.pop("MPLCONFIGDIR", None)
    return {**inherited, "HOME": str(folder / "home"), DATA: str(folder / "data"), **more}


def test_loading_reads_no_description_writes_no_file_and_imports_nothing_heavy(tmp_path: Path) -> None:
    catalogue, working = tmp_path / "catalogue", tmp_path / "working"
    catalogue.mkdir()
    working.mkdir()
    # Whoever reads it stumbles; its name alone makes the partition.
    (catalogue / "ward_unreadable.yaml").write_text("{ this is no description")
    environment = _environment(tmp_path, **{CATALOGUE: str(catalogue)})
    before = listing(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", LOADED], cwd=working, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert listing(tmp_path) == before
    assert "dagster" in said["modules"]
    assert sorted(HEAVY & set(said["modules"])) == []
    assert {"ward_unreadable", "heart_disease"} <= set(said["cohorts"])


def test_dagster_itself_accepts_the_definitions(tmp_path: Path) -> None:
    environment = _environment(tmp_path, DAGSTER_HOME=str(ROOT))
    done = subprocess.run(
        [str(Path(sys.executable).with_name("dagster")), "definitions", "validate"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Validation successful for code location clinical_assets" in done.stdout + done.stderr
    assert listing(tmp_path / "home") == set()


SPECS = {spec.key.to_user_string(): spec for spec in load().resolve_all_asset_specs()}
CHECKS = {
    f"{spec.asset_key.to_user_string()}.{spec.name}": spec
    for check in load().asset_checks or ()
    for spec in check.check_specs
}


def test_the_way_of_a_record_is_there_in_the_order_of_the_data() -> None:
    graph = load().resolve_asset_graph()

    def above(name: str) -> set[str]:
        return {key.to_user_string() for key in graph.get(dg.AssetKey(name)).parent_keys}

    assert above("raw_records") == set()
    assert above("validated_records") == above("quarantined_records") == {"raw_records"}
    assert above("features") == {"validated_records"}
    assert above("cohort_overview") == {"features", "quarantined_records"}


@pytest.mark.parametrize("name", sorted(SPECS))
def test_every_asset_says_what_one_row_is_who_owns_it_and_what_it_is_made_with(name: str) -> None:
    spec = SPECS[name]
    assert spec.description
    assert len(spec.description) > 40
    assert spec.group_name not in (None, "default")
    assert all(owner.startswith("team:") for owner in spec.owners)
    assert spec.owners
    assert spec.kinds
    # What is signed outside the graph is no code of it.
    assert bool(spec.code_version) == (name != "approval")
    # What is verified is of the installation.
    of = {"micro_cohorts": partitions.micro_cohorts(), "evidence": None}
    assert spec.partitions_def == of.get(spec.group_name or "", partitions.cohorts())


@pytest.mark.parametrize("name", CHECKS)
def test_every_check_is_about_one_cohort_of_its_asset_and_says_what_it_promises(name: str) -> None:
    spec = CHECKS[name]
    assert spec.partitions_def == SPECS[spec.asset_key.to_user_string()].partitions_def
    assert spec.description
    assert spec.description.endswith(".")


def test_of_the_checks_on_records_and_features_only_implausible_values_let_the_run_go_on() -> None:
    groups = {name: SPECS[spec.asset_key.to_user_string()].group_name for name, spec in CHECKS.items()}
    warning = {
        name
        for name, spec in CHECKS.items()
        if not spec.blocking and groups[name] in ("cohorts", "features", "release")
    }
    assert warning == {"validated_records.values_are_plausible"}


def test_every_job_is_partitioned_by_cohort_and_described() -> None:
    for declared in load().jobs or ():
        job = load().resolve_job_def(declared.name)
        families = (partitions.cohorts(), partitions.micro_cohorts())
        assert job.partitions_def in (families if declared.name != "verify_evidence" else (None,))
        assert job.description
