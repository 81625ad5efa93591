"""Descriptions of paired cohorts are read strictly, and refusals name file, line, key and cure."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from assets_tests.worlds.descriptions import paired
from clinical_assets.cohorts.paired.paired import FOLDER, PairedCatalogue, load, paired_catalogue
from clinical_assets.foundation.errors import SpecError

Change = Callable[[dict[str, Any]], None]

SYNTHETIC: dict[str, Any] = paired(
    "made_up", expression={"kind": "synthetic", "seed": 1}, gene_sets={"kind": "synthetic"}
)
FILES: dict[str, Any] = {
    "expression": {"kind": "file", "matrix": "m.csv", "samples": "s.csv"},
    "gene_sets": {"kind": "gmt", "path": "sets.gmt"},
}


def write(folder: Path, **changed: Any) -> Path:
    value = {**copy.deepcopy(SYNTHETIC), **changed}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{value['name']}.yaml"
    path.write_text(yaml.safe_dump(value, sort_keys=False), encoding="utf-8")
    return path


def refusal(path: Path) -> str:
    with pytest.raises(SpecError) as caught:
        load(path)
    return str(caught.value)


def test_a_short_description_is_enough_and_follows_the_study_where_it_is_silent(tmp_path: Path) -> None:
    spec = load(write(tmp_path))
    assert spec.synthetic
    assert (spec.sizes.smallest, spec.sizes.largest) == (15, 500)
    assert (spec.scoring.alpha, spec.scoring.decide_on, spec.scoring.zero_method) == (0.05, "p", "wilcox")
    assert spec.scoring.correlation is None
    assert spec.study.families == ("random_forest", "logistic_regression", "gradient_booster")
    assert spec.study.ablation.remove == 20


def test_an_unknown_key_is_refused_with_its_line_and_a_near_name(tmp_path: Path) -> None:
    path = write(tmp_path, scoring={"zero_method": "pratt", "corection": False})
    line = next(i for i, text in enumerate(path.read_text().splitlines(), 1) if "corection" in text)
    message = refusal(path)
    assert f"made_up.yaml:{line}: scoring.corection: unknown key" in message
    assert "Did you mean `correction`?" in message


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"conditions": {"control": "before", "affected": "before"}}, "control and affected are both 'before'"),
        ({"sizes": {"smallest": 30, "largest": 20}}, "smallest 30 is above largest 20"),
        ({"scoring": {"alpha": 1.5}}, "scoring.alpha"),
        ({"scoring": {"correlation": 1.0}}, "scoring.correlation"),
        ({"study": {"permutations": 9}}, "9 permutations give no p below 0.1; level 0.05 needs 19"),
        ({"study": {"ablation": {"random_removals": 3}}}, "3 random_removals give no p below 0.25"),
        ({"study": {"families": ["logistic_regression"]}}, "is primary or ablated, but is not among the families"),
        ({"study": {"families": ["random_forest", "random_forest"]}}, "a family is named twice"),
        ({"study": {"ablation": {"designs": ["folds"]}}}, "study.ablation.designs"),
        ({"data": {**SYNTHETIC["data"], "kind": "real"}}, "cannot be described as real data"),
        ({"positive": "ill"}, "the generator's labels are symptomatic and asymptomatic, not 'ill'"),
        ({"conditions": {"control": "d0", "affected": "d7"}}, "the generator's conditions are"),
        ({"normalisation": {"method": "tmm"}}, "remove normalisation"),
        ({"expression": FILES["expression"]}, "synthetic gene sets hold synthetic genes"),
        (
            {**FILES, "expression": {"kind": "influenza", "path": "x.RData", "study": "vaccine", "hours": 77}},
            "hours belong to the challenge",
        ),
        ({**FILES, "expression": {**FILES["expression"], "mapping": {"org_db": "x", "to": "uniprot"}}}, "mapping.to"),
    ],
)
def test_what_contradicts_itself_is_refused_with_file_and_line(
    tmp_path: Path, changed: dict[str, Any], told: str
) -> None:
    message = refusal(write(tmp_path, **changed))
    assert told in message
    assert "made_up.yaml:" in message


def test_a_file_is_called_like_its_cohort(tmp_path: Path) -> None:
    path = write(tmp_path).rename(tmp_path / "other.yaml")
    assert "the cohort is called 'made_up' but the file 'other.yaml'" in refusal(path)


def test_the_first_folder_that_knows_a_name_wins_and_no_description_is_read_for_a_list(tmp_path: Path) -> None:
    team, shipped = tmp_path / "team", tmp_path / "shipped"
    write(shipped / FOLDER, title="shipped")
    write(team / FOLDER, title="of the team")
    (team / FOLDER / "unreadable.yaml").write_text("{ this is no description")
    write(team / FOLDER / "on_request", name="later")
    catalogue = paired_catalogue([team, shipped])
    assert catalogue.names() == ("made_up", "unreadable")
    assert catalogue.spec("made_up").title == "of the team"
    assert PairedCatalogue((shipped,)).spec("made_up").title == "shipped"


def test_an_unknown_name_is_told_with_near_ones(tmp_path: Path) -> None:
    write(tmp_path / FOLDER)
    with pytest.raises(SpecError) as caught:
        paired_catalogue([tmp_path]).path("made_down")
    assert "No paired cohort is called 'made_down'" in str(caught.value)
    assert "Did you mean made_up?" in str(caught.value)
