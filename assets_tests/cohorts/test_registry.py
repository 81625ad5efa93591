"""A team's folders come before the shipped one; a family makes many cohorts from one template."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from clinical_assets.cohorts.paired.paired import paired_catalogue
from clinical_assets.cohorts.registry import SHIPPED, Catalogue
from clinical_assets.foundation.errors import SpecError
from clinical_assets.foundation.settings import CATALOGUE, Settings

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


def test_members_of_a_family_are_named_and_of_no_other(tmp_path, minimal) -> None:
    catalogue = _family(tmp_path, minimal, "name,site,miss\nlung_cancer,lung,8.5\nliver_cancer,liver,6\n")
    assert catalogue.members("cancer") == ("liver_cancer", "lung_cancer")
    with pytest.raises(SpecError, match="No family of cohorts is called 'cancers'") as refused:
        catalogue.members("cancers")
    assert str(refused.value.cure).startswith("Families of the catalogue: cancer, ")
    with pytest.raises(SpecError) as none:
        Catalogue(folders=(tmp_path / "empty",)).members("cancer")
    assert none.value.cure == "Families of the catalogue: none."


def test_a_family_makes_one_cohort_a_line_with_values_of_the_right_type(tmp_path, minimal) -> None:
    catalogue = _family(tmp_path, minimal, "name,site,miss\nliver_cancer,liver,6\nlung_cancer,lung,8.5\n")
    assert {"liver_cancer", "lung_cancer"} <= set(catalogue.names())
    spec = catalogue.spec("lung_cancer")
    assert (spec.title, spec.family, spec.decisions.costs.false_negative) == ("Cancer of the lung", "cancer", 8.5)


def test_a_changed_table_or_template_is_read_again(tmp_path, minimal) -> None:
    team = _family(tmp_path / "team", minimal, "name,site,miss\nlung_cancer,lung,8.5\n")
    assert team.spec("lung_cancer") is team.spec("lung_cancer")
    before = "Cancer of the"
    template = team.entry("lung_cancer").path
    template.write_text(template.read_text(encoding="utf-8").replace(before, f"{before} anew"), encoding="utf-8")
    assert team.spec("lung_cancer").title == "Cancer of the anew lung"
    template.with_suffix(".csv").write_text("name,site,miss\nlung_cancer,lung,9\n", encoding="utf-8")
    assert Catalogue(folders=team.folders).spec("lung_cancer").decisions.costs.false_negative == 9


def test_names_are_listed_without_reading_a_description(tmp_path, minimal) -> None:
    (tmp_path / "broken.yaml").write_text("{{{")
    assert "broken" in Catalogue(folders=(tmp_path, SHIPPED)).names()


def test_a_family_that_uses_a_column_its_table_lacks_is_refused(tmp_path, minimal) -> None:
    catalogue = _family(tmp_path, minimal, "name,site\nliver_cancer,liver\n")
    with pytest.raises(SpecError, match=r"uses miss, which cancer\.csv lacks"):
        catalogue.spec("liver_cancer")


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("site\nliver\n", "no column `name`"),
        ("", "no column `name`"),
        ("name,site\n,liver\n", r"cancer\.csv:2: the line names no cohort"),
        ("name,site\nLiver-cancer,liver\n", r"cancer\.csv:2: 'Liver-cancer' cannot be the name"),
        ('name,site\nlung,lung\n"liver,liver\n', r"cancer\.csv:3: not a readable CSV line"),
    ],
)
def test_a_line_that_names_no_cohort_is_noted_and_stops_no_other(tmp_path, minimal, table: str, said: str) -> None:
    catalogue = _family(tmp_path, minimal, table)
    assert "heart_disease" in catalogue.names()
    (note,) = catalogue.notes
    assert note.broken
    assert re.search(said, note.text)
    assert ("lung" in catalogue.names()) is ("lung,lung" in table)


def test_a_short_line_breaks_its_own_cohort_alone(tmp_path, minimal) -> None:
    catalogue = _family(tmp_path, minimal, "name,site,miss\nliver_cancer,liver,6\nlung_cancer\nskin_cancer,skin,7\n")
    assert {"liver_cancer", "lung_cancer", "skin_cancer"} <= set(catalogue.names())
    assert catalogue.spec("skin_cancer").title == "Cancer of the skin"
    with pytest.raises(SpecError, match=r"cancer\.csv:3: the line has 1 values, the table 3 columns"):
        catalogue.spec("lung_cancer")


def test_a_cohort_that_one_folder_describes_twice_is_broken_and_the_places_are_named(
    tmp_path, write_yaml: Write, minimal
) -> None:
    catalogue = _family(tmp_path, minimal, "name,site,miss\nliver,liver,6\nlung,lung,7\nliver,liver,8\n")
    minimal["name"] = "lung"
    write_yaml(minimal, folder=tmp_path)
    with pytest.raises(SpecError, match=r"'liver' is described twice: in .*cancer\.csv:2 and in .*cancer\.csv:4"):
        catalogue.spec("liver")
    with pytest.raises(SpecError, match=r"'lung' is described twice: in .*lung\.yaml and in .*cancer\.csv:3"):
        catalogue.spec("lung")


@pytest.mark.parametrize("name", ["docker-compose.yaml", ".#heart.yaml", "heart (copy).yaml", "Heart.yaml", "1.yaml"])
def test_a_file_that_can_be_no_cohort_is_left_out_with_a_note(tmp_path, name: str) -> None:
    (tmp_path / "paired").mkdir()
    for path in (tmp_path / name, tmp_path / "paired" / name):
        path.write_text("services: {}")
    catalogue = Catalogue(folders=(tmp_path, SHIPPED))
    micro = paired_catalogue(catalogue.folders)
    assert [note.path for note in catalogue.notes] == [tmp_path / name]
    assert [note.path for note in micro.notes] == [tmp_path / "paired" / name]
    assert not any(note.broken for note in (*catalogue.notes, *micro.notes))
    assert catalogue.names() == Catalogue(folders=(SHIPPED,)).names()
    assert micro.names() == paired_catalogue((SHIPPED,)).names()


def test_a_family_without_its_table_is_noted(tmp_path, minimal) -> None:
    catalogue = _family(tmp_path, minimal, "")
    (tmp_path / "families" / "cancer.csv").unlink()
    assert "needs its table of members" in catalogue.notes[0].text
