"""A team's paired cohort goes through the real job on a real instance, and every promise about it can be broken."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import polars as pl
import pytest

from assets_tests.assets.graphs import data_versions, files_that_hold, metadata_of
from assets_tests.assets.paired_team import COHORT, MARK, TWIN, PairedTeam, Ward, failure_of
from clinical_assets.assets.micro_cohort_checks import CHECKS
from clinical_assets.cohorts.paired import load
from clinical_assets.pathways import ablation, kept, study
from clinical_assets.pathways.kept_study import ABLATION, STUDY, keep_ablations, keep_study, read_kept
from clinical_assets.settings import KEY, KEYS

ASSETS = ("paired_expression", "gene_sets", "pathway_scores", "micro_cohort_study", "ablation_report")
DESIGNS = ["one transcriptome", "log2 fold change", "pathways", "combination"]


@pytest.fixture(scope="module")
def quiet_environment() -> Iterator[None]:
    """No key and no catalogue from outside."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("CATALOGUE", "KEY", "KEY_FILE"):
            patch.delenv(f"CLINICAL_ASSETS_{name}", raising=False)
        yield


def _new_ward(folder: Path) -> Iterator[Ward]:
    (folder / "dagster").mkdir(parents=True)
    with dg.instance_for_test(temp_dir=str(folder / "dagster")) as instance:
        yield Ward(folder, instance)


@pytest.fixture(scope="module")
def finished(
    tmp_path_factory: pytest.TempPathFactory, quiet_environment: None
) -> Iterator[tuple[Ward, dg.ExecuteInProcessResult]]:
    """A sound cohort that went through the whole job once; nobody changes its files."""
    for ward in _new_ward(tmp_path_factory.mktemp("ward")):
        ward.write(PairedTeam())
        yield ward, ward.run()


@pytest.fixture
def ward(tmp_path: Path, quiet_environment: None) -> Iterator[Ward]:
    """An empty ward."""
    yield from _new_ward(tmp_path / "ward")


@pytest.fixture
def copy(finished: tuple[Ward, dg.ExecuteInProcessResult], ward: Ward) -> Ward:
    """The finished cohort's files in a ward of the test's own."""
    for name in ("data", "catalogue"):
        shutil.copytree(finished[0].folder / name, ward.folder / name)
    return ward


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
    assert [(row["protocol"], row["permutations"]) for row in null] == [("the study's", 3), ("left out", 3)]
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
    scores, _ = kept.read_kept_scores(ward.files, **_digests(ward))
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
        assert f"<h1>Subject {MARK}-{i:02d}</h1>" in page
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
    result, _ = _read_study(copy)
    said = json.loads((copy.files / ABLATION).read_text())["facts"]["result"]
    for report in said:
        row = next(row for row in result.rows if row.design == report["design"])
        assert report["study"]["before"]["best"]["parameters"] == [list(one) for one in row.study.best.parameters]
        assert report["honest"]["full"]["called"] == row.honest.called.tolist()


@pytest.mark.parametrize(
    ("change", "again", "told"),
    [
        ({"study": {"permutations": 2}}, [], "was made with another plan: permutations changed"),
        ({"study": {"folds": 3}}, [], "was made with another plan: folds changed"),
        ({"scoring": {"alpha": 0.2}}, ["pathway_scores"], "was made from other scores"),
        ({"sizes": {"largest": 20}}, ["gene_sets"], "pathway_scores was made from another gene_sets"),
        ({"normalisation": {"centre": True}}, ["paired_expression"], "gene_sets was made from another"),
    ],
)
def test_an_ablation_refuses_what_no_longer_belongs_together(
    copy: Ward, change: dict[str, Any], again: list[str], told: str
) -> None:
    team = PairedTeam()
    for key, value in change.items():
        team.description[key] = {**team.description.get(key, {}), **value}
    copy.write(team)
    for asset in again:
        assert copy.run(asset).success
    result = copy.run("ablation_report")
    assert not result.success
    assert told in failure_of(result)
    assert "materialise" in failure_of(result)


@pytest.mark.parametrize("matrix", ["matrix.tsv", "matrix.parquet", "matrix.h5ad"])
def test_the_format_of_the_matrix_changes_nothing(finished, ward: Ward, matrix: str) -> None:
    if matrix.endswith(".h5ad"):
        pytest.importorskip("anndata")
    ward.write(PairedTeam(), matrix=matrix)
    result = ward.run("paired_expression")
    assert result.success
    read, _ = kept.read_kept_expression(ward.files)
    first, _ = kept.read_kept_expression(finished[0].files)
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


# What a run refuses: the step fails with the file, the place and the cure, and nothing behind it runs.


def _duplicate_gene(team: PairedTeam) -> None:
    team.matrix = pl.concat([team.matrix, team.matrix[:1]])


def _unknown_kind(team: PairedTeam) -> None:
    names = team.matrix["gene"].to_list()
    team.matrix = team.matrix.with_columns(gene=pl.Series([*map(str, range(60)), *names[60:]]))


def _date(team: PairedTeam) -> None:
    team.matrix = team.matrix.with_columns(gene=pl.Series(["2-Sep", *team.matrix["gene"].to_list()[1:]]))


def _hole(team: PairedTeam) -> None:
    column = team.matrix.columns[1]
    team.matrix = team.matrix.with_columns(
        pl.when(pl.int_range(pl.len()) == 3).then(None).otherwise(column).alias(column)
    )


def _other_names(team: PairedTeam) -> None:
    team.sets = {name: [f"OTHER{gene}" for gene in genes] for name, genes in team.sets.items()}


def _strange_condition(team: PairedTeam) -> None:
    team.description["conditions"]["affected"] = "later"


@pytest.mark.parametrize(
    ("spoil", "at", "told"),
    [
        (_duplicate_gene, "paired_expression", "matrix.csv: 1 rows repeat a gene, such as 'SYN00000'"),
        (_unknown_kind, "paired_expression", "matrix.csv: gene identifiers are of mixed or unknown kind"),
        (_date, "paired_expression", "1 gene names were turned into dates by a spreadsheet, such as '2-Sep'"),
        (_hole, "paired_expression", "matrix.csv: gene 'SYN00003', sample"),
        (_strange_condition, "paired_expression", "no sample has the condition 'later'"),
        (_other_names, "gene_sets", "0 of its"),
    ],
)
def test_a_run_stops_where_the_files_are_wrong_and_says_where_and_what_to_do(
    ward: Ward, spoil: Callable[[PairedTeam], None], at: str, told: str
) -> None:
    team = PairedTeam()
    spoil(team)
    ward.write(team)
    result = ward.run("paired_expression", "gene_sets", "pathway_scores")
    assert not result.success
    (failed,) = [event.step_key for event in result.all_events if event.is_step_failure]
    assert failed == at
    assert told in failure_of(result)
    assert "Cure:" in failure_of(result)
    assert "pathway_scores" not in metadata_of(result)


def test_an_unknown_key_of_the_description_is_named_with_file_and_line(ward: Ward) -> None:
    team = PairedTeam()
    team.description["scoring"] = {"aplha": 0.01}
    path = ward.write(team)
    line = next(i for i, text in enumerate(path.read_text().splitlines(), 1) if "aplha" in text)
    message = failure_of(ward.run("paired_expression"))
    assert f"{COHORT}.yaml:{line}: scoring.aplha: unknown key" in message
    assert "Did you mean `alpha`?" in message


def test_real_records_are_not_written_in_the_clear_where_a_key_is_set(
    ward: Ward, monkeypatch: pytest.MonkeyPatch
) -> None:
    team = PairedTeam()
    team.description["data"]["kind"] = "real"
    ward.write(team)
    monkeypatch.setenv(KEY, "ab" * 32)
    monkeypatch.delenv(KEYS, raising=False)
    message = failure_of(ward.run("paired_expression"))
    assert "the files of paired cohorts are plain" in message
    assert not ward.files.exists()


# Checks: each is made to fail by what it is there for.


def _check_of_files(spoil: Callable[[PairedTeam], None]) -> Callable[[Ward], None]:
    """Spoil what the team supplies, and materialise the expression from it."""

    def do(ward: Ward) -> None:
        team = PairedTeam()
        spoil(team)
        ward.write(team)
        assert {event.step_key for event in ward.run("paired_expression").all_events if event.is_step_failure} == set()

    return do


def _partner_missing(team: PairedTeam) -> None:
    team.sheet = team.sheet[1:]


def _deep_sample(team: PairedTeam) -> None:
    counts = team.counts()
    counts[:, 4] *= 20
    team.with_counts(counts)


def _shifted_sample(team: PairedTeam) -> None:
    column = team.matrix.columns[5]
    team.matrix = team.matrix.with_columns(pl.col(column) + 3)


def _crossed_batches(team: PairedTeam) -> None:
    team.sheet = team.sheet.with_columns(batch=pl.Series(["first", "second"] * 12))


def _batch_of_the_ill(team: PairedTeam) -> None:
    team.sheet = team.sheet.with_columns(batch=pl.col("label") + " plate")


def _one_label(team: PairedTeam) -> None:
    team.sheet = team.sheet.with_columns(label=pl.lit("asymptomatic"))


def _digests(ward: Ward) -> dict[str, str]:
    _, expression = kept.read_kept_expression(ward.files)
    _, sets = kept.read_kept_gene_sets(ward.files, expression=expression)
    return {"expression": expression, "gene_sets": sets}


def _rewrite_expression(change: Callable[..., Any]) -> Callable[[Ward], None]:
    def do(ward: Ward) -> None:
        paired, _ = kept.read_kept_expression(ward.files)
        kept.keep_expression(ward.files, change(paired))

    return do


def _with_hole(paired: Any) -> Any:
    control = paired.control.copy()
    control[2, 7] = np.nan
    return replace(paired, control=control)


def _repeat_a_gene(paired: Any) -> Any:
    return replace(paired, genes=(paired.genes[1], *paired.genes[1:]))


def _state_another_kind(paired: Any) -> Any:
    return replace(paired, identifier_kind="entrez")


def _narrow_limits(ward: Ward) -> None:
    team = PairedTeam()
    team.description["sizes"]["largest"] = 18
    ward.write(team)


def _twin_sets(ward: Ward) -> None:
    _, expression = kept.read_kept_expression(ward.files)
    sets, _ = kept.read_kept_gene_sets(ward.files, expression=expression)
    twins = (sets.positions[1], *sets.positions[1:])
    kept.keep_gene_sets(ward.files, replace(sets, positions=twins), expression=expression)


def _few_genes_in_sets(ward: Ward) -> None:
    _, expression = kept.read_kept_expression(ward.files)
    sets, _ = kept.read_kept_gene_sets(ward.files, expression=expression)
    few = replace(sets, names=sets.names[:1], descriptions=sets.descriptions[:1], positions=(np.arange(11),))
    kept.keep_gene_sets(ward.files, few, expression=expression)


def _foreign_score(ward: Ward) -> None:
    digests = _digests(ward)
    scores, _ = kept.read_kept_scores(ward.files, **digests)
    p = scores.p_value.copy()
    p[0, 0] = np.nextafter(p[0, 0], 1)
    kept.keep_scores(ward.files, replace(scores, p_value=p), **digests)


def _read_study(ward: Ward) -> tuple[Any, Any]:
    cohort = ward.platform.cohort(COHORT)
    from clinical_assets.assets.paired_cohort import micro_cohort

    handle = micro_cohort(ward.platform, cohort.name)
    scored = handle.scored()
    return handle.studied(scored)[0], (handle, scored)


def _keep_changed_study(ward: Ward, nulls: Callable[[Any], Any]) -> None:
    result, (handle, scored) = _read_study(ward)
    changed = replace(result, nulls=nulls(result.nulls))
    keep_study(ward.files, changed, plan=handle.plan(), expression=scored.expression, scores=scored.digest)


def _leaking_null(ward: Ward) -> None:
    def leak(nulls: Any) -> Any:
        return tuple(replace(n, honest=replace(n.honest, permuted=np.array([0.9, 0.92, 0.88]))) for n in nulls)

    _keep_changed_study(ward, leak)


def _no_null(ward: Ward) -> None:
    _keep_changed_study(ward, lambda _: ())


def _newer_study(ward: Ward) -> None:
    _, made_from, _ = read_kept(ward.files / ABLATION, asset="ablation_report")
    assert made_from["study"] == read_kept(ward.files / STUDY, asset="micro_cohort_study")[2]
    keep_ablations(ward.files, [], study="sha256:another")


WARN, ERROR = dg.AssetCheckSeverity.WARN, dg.AssetCheckSeverity.ERROR


@dataclass(frozen=True)
class Broken:
    """What is spoiled, which check must see it, how loudly, and in which words."""

    spoil: Callable[[Ward], None]
    check: str
    severity: dg.AssetCheckSeverity
    told: str


BROKEN = [
    Broken(
        _check_of_files(_partner_missing),
        "paired_expression.every_subject_has_both_samples",
        WARN,
        "1 subjects were left out for want of two usable samples",
    ),
    Broken(
        _rewrite_expression(_with_hole),
        "paired_expression.every_subject_has_both_samples",
        ERROR,
        "1 subjects lack values in one of their samples",
    ),
    Broken(
        _rewrite_expression(_repeat_a_gene),
        "paired_expression.genes_are_unique_and_of_one_kind",
        ERROR,
        "1 genes are repeated",
    ),
    Broken(
        _rewrite_expression(_state_another_kind),
        "paired_expression.genes_are_unique_and_of_one_kind",
        ERROR,
        "the identifiers look like symbol, stated is entrez",
    ),
    Broken(
        _check_of_files(_deep_sample),
        "paired_expression.libraries_are_alike",
        WARN,
        "1 samples are off the cohort's middle one by more than a factor of 4",
    ),
    Broken(
        _check_of_files(_shifted_sample),
        "paired_expression.libraries_are_alike",
        WARN,
        "1 samples are off the cohort's middle one by more than 1 log2",
    ),
    Broken(
        _check_of_files(_crossed_batches),
        "paired_expression.batches_do_not_stand_for_answers",
        WARN,
        "12 subjects have their samples in different batches",
    ),
    Broken(
        _check_of_files(_batch_of_the_ill),
        "paired_expression.batches_do_not_stand_for_answers",
        WARN,
        "2 of 2 batches hold one label only",
    ),
    Broken(
        _check_of_files(_one_label),
        "paired_expression.labels_have_subjects",
        WARN,
        "no subject has the positive label 'symptomatic'; there are 1 labels",
    ),
    Broken(_narrow_limits, "gene_sets.sets_keep_their_limits", ERROR, "sets outside 10 to 18 measured genes"),
    Broken(_twin_sets, "gene_sets.sets_keep_their_limits", ERROR, "1 sets hold the genes of another set"),
    Broken(_few_genes_in_sets, "gene_sets.sets_know_the_genes", WARN, "only 11 of 120 measured genes are in any set"),
    Broken(
        _foreign_score, "pathway_scores.scores_are_independent", ERROR, "1 values change when a subject is scored alone"
    ),
    Broken(
        _leaking_null,
        "micro_cohort_study.left_out_is_chance_without_labels",
        WARN,
        "pathways, logistic regression: 0.90 with permuted labels",
    ),
    Broken(
        _no_null, "micro_cohort_study.left_out_is_chance_without_labels", WARN, "insufficient: at least 2 permutations"
    ),
    Broken(_newer_study, "ablation_report.ablation_is_of_the_kept_study", ERROR, "the study was run again since"),
]


@pytest.mark.parametrize("case", BROKEN, ids=lambda case: f"{case.check}-{case.told}")
def test_a_check_fails_when_what_it_promises_is_not_so(copy: Ward, case: Broken) -> None:
    case.spoil(copy)
    evaluation = copy.check(*case.check.split("."))
    assert not evaluation.passed
    assert case.told in (evaluation.description or "")
    assert evaluation.severity == case.severity
    assert MARK not in str(evaluation)


def test_every_check_of_micro_cohorts_was_made_to_fail() -> None:
    declared = {f"{key.asset_key.to_user_string()}.{key.name}" for check in CHECKS for key in check.check_keys}
    assert {case.check for case in BROKEN} == declared


def test_a_blocking_check_stops_what_stands_on_it(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    keep = kept.keep_expression
    monkeypatch.setattr(kept, "keep_expression", lambda folder, paired: keep(folder, _repeat_a_gene(paired)))
    ward.write(PairedTeam())
    result = ward.run("paired_expression", "gene_sets")
    assert not result.success
    assert set(metadata_of(result)) == {"paired_expression"}


def test_a_subject_without_two_samples_is_left_out_and_the_rest_go_on(ward: Ward) -> None:
    team = PairedTeam()
    _partner_missing(team)
    ward.write(team)
    result = ward.run("paired_expression", "gene_sets", "pathway_scores")
    assert result.success
    told = metadata_of(result)
    assert told["paired_expression"]["subjects"].value == 11
    assert told["paired_expression"]["subjects left out"].value == 1


def test_without_batch_labels_the_check_says_that_nothing_can_be_said(ward: Ward) -> None:
    team = PairedTeam()
    team.sheet = team.sheet.drop("batch")
    ward.write(team)
    assert ward.run("paired_expression").success
    evaluation = ward.check("paired_expression", "batches_do_not_stand_for_answers")
    assert evaluation.passed
    assert "no batch is stated for 12 of 12 subjects" in (evaluation.description or "")


def test_a_study_changed_by_hand_is_refused(copy: Ward) -> None:
    path = copy.files / STUDY
    said = json.loads(path.read_text())
    said["facts"]["result"]["rows"][0]["optimism"] = 0.0
    path.write_text(json.dumps(said))
    assert "does not fit its digest" in failure_of(copy.run("ablation_report"))


def test_the_shipped_descriptions_on_request_are_sound_but_no_partitions() -> None:
    from clinical_assets.assets.partitions import PAIRED
    from clinical_assets.cohorts import paired

    shipped = Path(paired.__file__).parent / "catalogue" / "paired" / "on_request"
    specs = {path.stem: load(path) for path in shipped.glob("*.yaml")}
    assert set(specs) == {"influenza_challenge", "influenza_vaccine"}
    assert not any(spec.synthetic for spec in specs.values())
    assert not set(specs) & set(PAIRED.get_partition_keys())
