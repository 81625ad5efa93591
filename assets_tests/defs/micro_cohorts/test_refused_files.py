"""A run stops where the files of a team are wrong or no longer belong together, and says where and what to do."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

from assets_tests.worlds.machine.graphs import metadata_of
from assets_tests.worlds.team.paired import COHORT, PairedTeam, Ward, failure_of
from clinical_assets.foundation.settings import KEY, KEYS
from clinical_assets.pathways.results.kept_results import STUDY


@pytest.mark.parametrize(
    ("change", "again", "told"),
    [
        ({"study": {"permutations": 4}}, [], "was made with another plan: permutations changed"),
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


def test_a_study_changed_by_hand_is_refused(copy: Ward) -> None:
    path = copy.files / STUDY
    said = json.loads(path.read_text())
    said["facts"]["result"]["rows"][0]["optimism"] = 0.0
    path.write_text(json.dumps(said))
    assert "does not fit its digest" in failure_of(copy.run("ablation_report"))
