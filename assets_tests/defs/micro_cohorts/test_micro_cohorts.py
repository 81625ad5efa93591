"""A team's paired cohort goes through the real job on a real instance; tables, pages and metadata say what was done."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import polars as pl
import pytest

from assets_tests.defs.micro_cohorts.kept_results import CHECKS, kept_digests, kept_study
from assets_tests.worlds.machine.graphs import data_versions, files_that_hold, metadata_of
from assets_tests.worlds.team.paired import MARK, TWIN, PairedTeam, Ward
from clinical_assets.cohorts.paired.paired import load
from clinical_assets.pathways.results import expression_store
from clinical_assets.pathways.results.kept_results import ABLATION
from clinical_assets.pathways.study import ablation, study

ASSETS = ("paired_expression", "gene_sets", "pathway_scores", "micro_cohort_study", "ablation_report")


DESIGNS = ["one transcriptome", "log2 fold change", "pathways", "combination"]


def _records(value: dg.MetadataValue) -> list[dict[str, Any]]:
    return [dict(record.data) for record in value.records]


def test_a_teams_cohort_goes_all_the_way_and_keeps_every_promise(finished) -> None:
    ward, result = finished
    assert result.success
    assert set(metadata_of(result)) == set(ASSETS)
    evaluations = {evaluation.check_name: evaluation for evaluation in result.get_asset_check_evaluations()}
    assert len(evaluations) == len(CHECKS)
    assert {name: e.description for name, e in evaluations.items() if not e.passed} == {}
    assert {path.name for path in ward.files.glob("*.p*")} >= {
        *("paired_expression.parquet", "gene_sets.parquet", "pathway_scores.parquet"),
        *("pathway_heat_map.png", "permuted_labels.png", "ablation.png", "removed_pathways.png"),
    }


def test_what_was_recognised_filtered_and_left_out_is_stated(finished) -> None:
    ward, result = finished
    told = metadata_of(result)
    statements = told["paired_expression"]["statements"].value
    assert "Gene identifiers: symbol (recognised)." in statements
    assert "Scale: log2 (recognised" in statements
    assert told["paired_expression"]["dagster/row_count"].value == 12 * 120
    sets = told["gene_sets"]
    assert sets["dagster/row_count"].value == 8
    assert sets["identical to another set"].value == sets["too small"].value == 1
    (collapsed,) = _records(sets["collapsed"])
    assert collapsed["identical"] == TWIN
    assert "made today" in sets["statement"].value
    listed = pl.read_csv(ward.files / "gene_sets_left_out.csv").to_dicts()
    assert {row["gene_set"]: row["reason"] for row in listed} == {"a pair": "too small", TWIN: "identical"}
    assert {row["identical_to"] for row in listed} == {None, collapsed["kept"]}


def test_the_studys_protocol_stands_beside_the_honest_one_and_the_optimism_is_the_headline(finished) -> None:
    _, result = finished
    told = metadata_of(result)["micro_cohort_study"]
    rows = _records(told["designs and families"])
    assert [row["design"] for row in rows] == DESIGNS
    assert rows[3]["features"] == sum(row["features"] for row in rows[:3])
    for row in rows:
        honest, reported = row["left out: balanced accuracy"], row["study: balanced accuracy"]
        assert row["optimism"] == pytest.approx(reported - honest, abs=2e-6)
        assert row["low"] <= honest <= row["high"]
    assert told["mean optimism"].value == pytest.approx(np.mean([row["optimism"] for row in rows]), abs=1e-6)
    assert "Mean optimism of the study's protocol over 4 rows" in told["headline"].value
    assert told["headline"].value.startswith("- SYNTHETIC data. 12 subjects")
    null = _records(told["permuted labels, whole sweep"])
    assert [row["design"] for row in null[::2]] == ["best of all rows", *DESIGNS]
    assert {(row["protocol"], row["permutations"]) for row in null} == {("the study's", 3), ("left out", 3)}
    best = [max(row["true labels"] for row in null[part + 2 :: 2]) for part in (0, 1)]
    assert [row["true labels"] for row in null[:2]] == best
    assert told["pathways, logistic regression: recall"].value <= 1.0
    for title in ("precision and recall, logistic regression", "permuted labels"):
        assert told[title].value.startswith(f"![{title}](data:image/png;base64,iVBOR")


def test_an_ablation_ends_in_words_for_every_design_that_was_asked_for(finished) -> None:
    _, result = finished
    told = metadata_of(result)["ablation_report"]
    rows = _records(told["ablations"])
    assert [row["design"] for row in rows] == ["log2 fold change", "pathways"]
    for row in rows:
        assert f"**{row['design']}: {row['conclusion']}.**" in told["verdicts"].value
    assert "SYNTHETIC" in told["verdicts"].value
    assert told["pathways most often removed"].value.startswith("![")


def test_every_subject_has_a_page_that_the_ui_leads_to_by_number(finished) -> None:
    ward, result = finished
    told = metadata_of(result)["pathway_scores"]
    lines = [
        line for line in told["findings by subject"].value.splitlines() if line.startswith("| ") and ".html" in line
    ]
    scores, _ = expression_store.read_kept_scores(ward.files, **kept_digests(ward))
    assert len(lines) == 12
    for i, line in enumerate(lines):
        number, label, up, down = (cell.strip() for cell in line.split("|")[1:5])
        assert (int(number), int(up), int(down)) == (
            i + 1,
            int((scores.score[i] > 0).sum()),
            int((scores.score[i] < 0).sum()),
        )
        assert label in ("symptomatic", "asymptomatic")
        page = (ward.files / "pages" / f"subject-{i + 1:03d}.html").read_text(encoding="utf-8")
        assert f"<h1>Subject {MARK}-{i:02d}: pathways</h1>" in page
        assert "SYNTHETIC DATA" in page
        assert f"{ward.files / 'pages' / f'subject-{i + 1:03d}.html'}" in line
    index = Path(told["pages"].value).read_text(encoding="utf-8")
    assert "SYNTHETIC DATA" in index
    assert index.count(f">{MARK}-") == 12
    assert (ward.files / "pages").stat().st_mode & 0o077 == 0


def test_no_name_of_a_subject_or_sample_is_anywhere_in_dagsters_own_files(finished) -> None:
    ward, _ = finished
    assert files_that_hold(ward.folder / "data", MARK)
    assert files_that_hold(ward.folder / "dagster", "paired_expression")
    assert files_that_hold(ward.folder / "dagster", MARK) == []


def test_the_same_files_give_the_same_data_versions(finished, copy: Ward) -> None:
    again = copy.run()
    assert again.success
    assert data_versions(again) == data_versions(finished[1])


def test_an_ablation_alone_retrains_what_the_study_saved(finished, copy: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    for room in (study, ablation):
        monkeypatch.setattr(room, "study_protocol", lambda *_, **__: pytest.fail("the study was run again"))
    again = copy.run("ablation_report")
    assert again.success
    assert data_versions(again) == {"ablation_report": data_versions(finished[1])["ablation_report"]}
    result, _ = kept_study(copy)
    said = json.loads((copy.files / ABLATION).read_text())["facts"]["result"]
    for report in said:
        row = next(row for row in result.rows if row.design == report["design"])
        assert report["study"]["before"]["best"]["parameters"] == [list(one) for one in row.study.best.parameters]
        assert report["honest"]["full"]["called"] == row.honest.called.tolist()


@pytest.mark.parametrize("matrix", ["matrix.tsv", "matrix.parquet", "matrix.h5ad"])
def test_the_format_of_the_matrix_changes_nothing(finished, ward: Ward, matrix: str) -> None:
    if matrix.endswith(".h5ad"):
        pytest.importorskip("anndata")
    ward.write(PairedTeam(), matrix=matrix)
    result = ward.run("paired_expression")
    assert result.success
    read, _ = expression_store.read_kept_expression(ward.files)
    first, _ = expression_store.read_kept_expression(finished[0].files)
    np.testing.assert_array_equal(read.control, first.control)
    np.testing.assert_array_equal(read.affected, first.affected)
    assert (read.genes, read.subjects, read.batches) == (first.genes, first.subjects, first.batches)
    assert matrix in metadata_of(result)["paired_expression"]["read from"].value


def test_counts_are_recognised_and_normalised_by_tmm(ward: Ward) -> None:
    team = PairedTeam()
    team.with_counts(team.counts())
    ward.write(team)
    result = ward.run("paired_expression")
    statements = metadata_of(result)["paired_expression"]["statements"].value
    assert "Scale: counts (recognised" in statements
    assert "TMM against the subject's own control" in statements
    assert "genes kept: at least 1 per million" in statements


def test_a_shift_of_correlated_genes_can_be_allowed_for_by_the_description(finished, copy: Ward) -> None:
    team = PairedTeam()
    team.description["scoring"] = {"correlation": 0.2}
    copy.write(team)
    result = copy.run("pathway_scores")
    assert "variance inflated for a mean inter-gene correlation of 0.2" in (
        metadata_of(result)["pathway_scores"]["statement"].value
    )
    plain = metadata_of(finished[1])["pathway_scores"]
    corrected = metadata_of(result)["pathway_scores"]
    assert corrected["called up"].value <= plain["called up"].value


def test_without_batch_labels_the_check_says_that_nothing_can_be_said(ward: Ward) -> None:
    team = PairedTeam()
    team.sheet = team.sheet.drop("batch")
    ward.write(team)
    assert ward.run("paired_expression").success
    evaluation = ward.check("paired_expression", "batches_do_not_stand_for_answers")
    assert evaluation.passed
    assert "no batch is stated for 12 of 12 subjects" in (evaluation.description or "")


def test_the_shipped_descriptions_on_request_are_sound_but_no_partitions() -> None:
    from clinical_assets.cohorts.paired import paired
    from clinical_assets.defs import partitions

    shipped = Path(paired.__file__).parents[1] / "catalogue" / "paired" / "on_request"
    specs = {path.stem: load(path) for path in shipped.glob("*.yaml")}
    assert set(specs) == {"influenza_challenge", "influenza_vaccine"}
    assert not any(spec.synthetic for spec in specs.values())
    assert not set(specs) & set(partitions.micro_cohorts().get_partition_keys())
