"""Studies stay as experiments: listed, compared and repeated from their MLflow run, on the command line too."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from assets_tests.worlds.links import followed
from assets_tests.worlds.machine.graphs import data_versions, metadata_of
from assets_tests.worlds.team.paired import COHORT, MARK, PairedTeam, Ward, made_up
from clinical_assets.cli import context, main
from clinical_assets.foundation.canonical import file_sha256
from clinical_assets.foundation.settings import Settings
from clinical_assets.pathways.experiments.kept_studies import kept_studies
from clinical_assets.pathways.scores.scores import score_subjects

Shell = Callable[..., str]


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    """A cohort whose study was run once, with the logistic regression only."""
    folder = tmp_path_factory.mktemp("studies")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("KEY", "KEY_FILE"):
            patch.delenv(f"CLINICAL_ASSETS_{name}", raising=False)
        patch.setenv("CLINICAL_ASSETS_DATA", str(folder / "data"))
        patch.setenv("CLINICAL_ASSETS_CATALOGUE", str(folder / "catalogue"))
        (folder / "dagster").mkdir()
        with dg.instance_for_test(temp_dir=str(folder / "dagster")) as instance:
            made = Ward(folder, instance)
            made.write(PairedTeam())
            yield made


@pytest.fixture(scope="module")
def first(ward: Ward) -> dg.ExecuteInProcessResult:
    return ward.run()


@pytest.fixture
def shell(
    ward: Ward, first: dg.ExecuteInProcessResult, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Shell:
    """The command line on the ward."""

    def say(*arguments: str) -> str:
        context.workspace.cache_clear()
        monkeypatch.setattr(sys, "argv", ["clinical-assets", *arguments])
        capfd.readouterr()
        code: object = 0
        try:
            main.main()
        except SystemExit as ended:
            code = ended.code
        said = capfd.readouterr()
        assert code in (0, None), said.err
        return said.out

    return say


def test_a_study_repeated_from_its_mlflow_run_alone_has_the_same_digests(
    ward: Ward, first: dg.ExecuteInProcessResult, shell: Shell
) -> None:
    assert first.success
    (study,) = kept_studies(Settings.from_environment(), [COHORT])
    assert metadata_of(first)["micro_cohort_study"]["MLflow run"].value == study.run_id
    shell("studies", "restore", study.run_id[:6], "--into", str(ward.folder / "again"))
    # Nothing of the first catalogue is left.
    (ward.folder / "catalogue").rename(ward.folder / "gone")
    (ward.folder / "again").rename(ward.folder / "catalogue")
    again = ward.run()
    assert again.success
    assert data_versions(again) == data_versions(first)

    newest, oldest = json.loads(shell("studies", "list", COHORT, "--json"))
    assert newest["digests"] == oldest["digests"]
    assert set(newest["digests"]) == {"study", "expression", "gene_sets", "scores", "ablation"}
    assert "every digest is equal" in shell("studies", "compare", newest["run_id"], oldest["run_id"])
    assert MARK not in json.dumps([newest, oldest])
    assert "SYNTHETIC data. 12 subjects" in shell("studies", "show", newest["run_id"])


def test_paired_cohorts_are_listed_shown_checked_and_have_results(ward: Ward, shell: Shell) -> None:
    rows = {row["cohort"]: row for row in json.loads(shell("cohorts", "list", "--json"))}
    assert (rows[COHORT]["units"], rows[COHORT]["events"], rows[COHORT]["records"]) == (12, 6, "synthetic")
    assert "SYNTHETIC RECORDS" in shell("cohorts", "show", COHORT)
    assert json.loads(shell("cohorts", "check", COHORT, "--json"))[0]["valid"]
    found = json.loads(shell("results", COHORT, "--json"))
    assert found["headline"].startswith("SYNTHETIC data. 12 subjects")
    assert [one["design"] for one in found["ablation"]] == ["log2 fold change", "pathways"]
    said = shell("results", COHORT)
    assert "one transcriptome" in said
    assert MARK not in said
    next(Path(ward.folder / "catalogue").rglob("sets.gmt")).unlink()
    with pytest.raises(AssertionError, match=r"sets\.gmt is not there"):
        shell("cohorts", "check", COHORT)


def test_study_and_subjects_are_reached_from_the_page_of_all_cohorts_and_lead_back(
    ward: Ward, first: dg.ExecuteInProcessResult
) -> None:
    index = ward.files.parents[1] / "reports" / "index.html"
    reached = followed(index)
    pages = [ward.files / "study.html", *(ward.files / "pages").glob("*.html")]
    assert len(pages) > 3
    for page in pages:
        assert index.resolve() in reached[page.resolve()]


def test_an_erased_subject_leaves_results_and_archive_and_never_comes_back(ward: Ward, shell: Shell) -> None:
    team = PairedTeam()
    ward.write(team)
    subject = str(team.sheet["subject"][0])
    state = Settings.from_environment().data / "micro_cohorts" / COHORT
    sets = file_sha256(next((ward.folder / "catalogue").rglob("sets.gmt")))
    said = json.loads(shell("erase", subject, "--cohort", COHORT, "--reason", "request 7", "--yes", "--json"))
    assert said["files"]["archived inputs"] >= 2
    assert [path.name for path in state.iterdir()] == ["inputs"]
    assert [path.name for path in (state / "inputs").iterdir()] == [sets]
    assert "models and importances of" in said["remaining"][-1]["what"]
    assert subject not in json.dumps(said)
    # The page of all cohorts leads to nothing that was removed.
    assert not [
        page for page in followed(ward.files.parents[1] / "reports" / "index.html") if page.name == "study.html"
    ]
    again = ward.run("paired_expression")
    assert again.success
    assert metadata_of(again)["paired_expression"]["subjects"].value == 11
    other = shell("erase", subject, "--cohort", COHORT, "--reason", "request 7", "--yes")
    assert "were removed" in other


def test_ready_made_scores_go_through_the_same_study(ward: Ward, shell: Shell) -> None:
    team = PairedTeam()
    made = made_up()
    values = score_subjects(made.paired, made.sets).score
    columns = {name: values[:, i] for i, name in enumerate(made.sets.names)}
    subjects = [f"{MARK}-{i:02d}" for i in range(len(made.paired.subjects))]
    team.description["expression"] = {"kind": "scores", "matrix": "files/matrix.csv"}
    team.description["gene_sets"] = {"kind": "none"}
    team.description["study"]["ablation"] |= {"designs": ["pathways"], "remove": 2}
    del team.description["sizes"]
    team.matrix = pl.DataFrame({"subject": subjects, "label": made.paired.labels, **columns})
    ward.write(team)
    result = ward.run()
    assert result.success
    assert all(check.passed for check in result.get_asset_check_evaluations())
    said = metadata_of(result)
    assert said["pathway_scores"]["statement"].value.startswith("Ready-made ternary scores of 8 pathways")
    found = json.loads(shell("results", COHORT, "--json"))
    assert [row["design"] for row in found["result"]["rows"]] == ["pathways"]
    page = (ward.files / "study.html").read_text(encoding="utf-8")
    assert "how they were made is not known here" in page
    assert MARK not in page
