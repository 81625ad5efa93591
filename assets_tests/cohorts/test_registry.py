"""A team's folders come before the shipped one; a family makes many cohorts from one template."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from clinical_assets.cohorts.registry import SHIPPED, Catalogue
from clinical_assets.errors import SpecError
from clinical_assets.settings import CATALOGUE, Settings

Write = Callable[..., Path]


def _family(folder: Path, minimal: dict[str, Any], table: str) -> Catalogue:
    template = {**minimal, "name": "${name}", "title": "Cancer of the ${site}"}
    template["decisions"] = {
        **minimal["decisions"],
        "costs": {**minimal["decisions"]["costs"], "false_negative": "${miss}"},
    }
    (folder / "families").mkdir(parents=True)
    (folder / "families" / "cancer.yaml").write_text(yaml.safe_dump(template))
    (folder / "families" / "cancer.csv").write_text(table)
    return Catalogue(folders=(folder, SHIPPED))


def test_a_team_folder_is_found_and_comes_first(tmp_path, write_yaml: Write, minimal, settings, monkeypatch) -> None:
    minimal["name"] = "heart_disease"
    minimal["title"] = "Ours"
    other = tmp_path / "second"
    write_yaml(minimal, folder=tmp_path / "first")
    write_yaml({**minimal, "title": "Not seen"}, folder=other)
    monkeypatch.setenv(CATALOGUE, f"{tmp_path / 'first'}{os.pathsep}{other}")
    catalogue = Catalogue.from_settings(Settings.from_environment())
    assert catalogue.spec("heart_disease").title == "Ours"
    assert catalogue.sql_folders[0] == tmp_path / "first"


def test_a_folder_that_does_not_exist_is_refused(settings, monkeypatch) -> None:
    monkeypatch.setenv(CATALOGUE, "/nowhere/at/all")
    with pytest.raises(SpecError, match="/nowhere/at/all, which is not a folder"):
        Catalogue.from_settings(Settings.from_environment())


def test_an_unknown_cohort_is_refused_with_near_names() -> None:
    with pytest.raises(SpecError, match="Did you mean heart_disease"):
        Catalogue(folders=(SHIPPED,)).spec("heart_desease")


def test_a_family_makes_one_cohort_a_line_with_values_of_the_right_type(tmp_path, minimal) -> None:
    catalogue = _family(tmp_path, minimal, "name,site,miss\nliver_cancer,liver,6\nlung_cancer,lung,8.5\n")
    assert {"liver_cancer", "lung_cancer"} <= set(catalogue.names())
    spec = catalogue.spec("lung_cancer")
    assert (spec.title, spec.family, spec.decisions.costs.false_negative) == ("Cancer of the lung", "cancer", 8.5)


def test_names_are_listed_without_reading_a_description(tmp_path, minimal) -> None:
    (tmp_path / "broken.yaml").write_text("{{{")
    assert "broken" in Catalogue(folders=(tmp_path, SHIPPED)).names()


def test_a_family_that_uses_a_column_its_table_lacks_is_refused(tmp_path, minimal) -> None:
    catalogue = _family(tmp_path, minimal, "name,site\nliver_cancer,liver\n")
    with pytest.raises(SpecError, match=r"uses miss, which cancer\.csv lacks"):
        catalogue.spec("liver_cancer")


@pytest.mark.parametrize(
    ("table", "said"),
    [("site\nliver\n", "no column `name`"), ("name,site\nliver_cancer\n", r"cancer\.csv:2"), ("", "no column `name`")],
)
def test_a_broken_table_of_members_is_refused_with_its_line(tmp_path, minimal, table: str, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        _family(tmp_path, minimal, table).names()
