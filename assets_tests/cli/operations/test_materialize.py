"""What the command says of the runs that it watches."""

from __future__ import annotations

from pathlib import Path

import pytest

from clinical_assets.cli import context
from clinical_assets.cli.operations.materialize import _absent, time_left


def test_time_left_is_told_from_what_others_took_and_from_the_workers() -> None:
    assert time_left([30.0, 50.0], left=1, workers=2) == "1 left, about 40 s"
    assert time_left([30.0, 50.0], left=5, workers=2) == "5 left, about 2 min"
    assert time_left([], left=5, workers=2) == "5 left"
    assert time_left([30.0], left=0, workers=2) == ""


def test_cohorts_whose_files_nobody_fetched_are_left_out_of_all_and_told_but_not_where_they_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CLINICAL_ASSETS_DATA", str(tmp_path))
    monkeypatch.delenv("CLINICAL_ASSETS_CATALOGUE", raising=False)
    context.workspace.cache_clear()
    names = ["melanoma_survival_denmark", "larynx_cancer_survival", "prostate_cancer_progression"]
    assert _absent(names, named=["prostate_cancer_progression"]) == {"melanoma_survival_denmark"}
    context.workspace.cache_clear()
    told = capsys.readouterr().err
    assert "melanoma_survival_denmark" in told
    assert "clinical-assets fetch r-cran-mass" in told
