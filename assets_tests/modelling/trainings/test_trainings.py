"""The same training made again is the same training: nothing that was made of it goes."""

from __future__ import annotations

from dataclasses import replace
from importlib import metadata
from pathlib import Path

import pytest

from assets_tests.worlds.tables.training import make_spec
from assets_tests.worlds.ward.released import first_release, put_in_environment
from assets_tests.worlds.ward.trained import COHORT
from clinical_assets.governance.dossier.dossier import SBOM, write_dossier
from clinical_assets.modelling.search.kinds import KINDS
from clinical_assets.modelling.trainings import trainings


def test_what_was_made_of_a_training_stays_when_it_is_made_again_and_so_does_the_dossier(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = put_in_environment(first_release(tmp_path_factory).copy_to(tmp_path / "release"), monkeypatch)
    training = made.candidate.training
    (training.report / SBOM).write_text("{}", encoding="utf-8")
    signed = write_dossier(made.candidate).digest
    written = {path.name: path.read_bytes() for path in training.report.iterdir() if path.suffix in (".png", ".md")}
    again = trainings.keep(
        made.settings, COHORT, bundle=training.bundle(), results=training.results, files=written, run_id="again"
    )
    assert (again.report / SBOM).read_text(encoding="utf-8") == "{}"
    assert made.dossier_digest == write_dossier(made.candidate).digest == signed


def test_a_bundle_names_the_versions_of_what_its_own_candidates_import(monkeypatch: pytest.MonkeyPatch) -> None:
    def libraries() -> dict[str, str]:
        spec = make_spec(candidates=("logistic_ridge", "mlp"))
        made = trainings.provenance(spec, data_digest="", statement="", outcome_statement="", snapshots={})
        return dict(made["libraries"])

    before = libraries()
    monkeypatch.setitem(KINDS, "lightgbm", replace(KINDS["lightgbm"], libraries=("pydantic",)))
    assert libraries() == before
    monkeypatch.setitem(KINDS, "mlp", replace(KINDS["mlp"], libraries=("polars", "xgboost")))
    assert libraries() == before | {"polars": metadata.version("polars")}
