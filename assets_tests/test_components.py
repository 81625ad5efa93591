"""Cohorts and families declared as Dagster components."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import jsonschema
import pytest
import yaml
from dagster.components import ScaffoldRequest
from dagster.components.core.component_tree import ComponentTree

from clinical_assets.cohorts.registry import SHIPPED, Catalogue
from clinical_assets.components import (
    ClinicalPlatform,
    Cohort,
    CohortAttributes,
    CohortFamily,
    CohortScaffolder,
    FamilyScaffolder,
)
from clinical_assets.definitions import load
from clinical_assets.foundation.errors import SpecError
from clinical_assets.foundation.settings import Settings

TYPES = {Cohort: CohortScaffolder, CohortFamily: FamilyScaffolder}


def scaffold(kind: type[Cohort | CohortFamily], folder: Path) -> Path:
    """What `dg scaffold defs` makes, in its folder."""
    request = ScaffoldRequest(
        type_name=f"clinical_assets.components.{kind.__name__}",
        target_path=folder,
        scaffold_format="yaml",
        project_root=None,
        append=False,
        params=None,
    )
    TYPES[kind]().scaffold(request)
    return folder / "defs.yaml"


def listed(folder: Path) -> Catalogue:
    """The catalogue of an installation whose team has one folder."""
    return Catalogue.from_settings(replace(Settings.from_environment(), catalogue=(folder,)))


def declared(tmp_path: Path, text: str | dict[str, Any], *, name: str = "ward") -> Catalogue:
    """A catalogue of one folder that holds one component."""
    (tmp_path / name).mkdir()
    written = text if isinstance(text, str) else yaml.safe_dump(text, sort_keys=False)
    (tmp_path / name / "defs.yaml").write_text(written, encoding="utf-8")
    return listed(tmp_path)


def built(folder: Path) -> dict[str, dg.AssetSpec]:
    """Assets of the component in a folder, by the last part of their key."""
    assets = ComponentTree.for_test().load_context
    definitions = Cohort(folder).build_defs(assets)
    return {spec.key.path[-1]: spec for spec in definitions.resolve_all_asset_specs()}


def test_what_is_scaffolded_is_a_right_cohort_named_like_its_folder(tmp_path: Path) -> None:
    path = scaffold(Cohort, tmp_path / "ward" / "readmission")
    catalogue = listed(tmp_path)
    assert catalogue.entry("readmission").path == path
    assert catalogue.spec("readmission").name == "readmission"
    assert path.parent in catalogue.sql_folders
    assert "defs" not in catalogue.names()


def test_a_scaffolded_family_has_the_members_of_its_table(tmp_path: Path) -> None:
    scaffold(CohortFamily, tmp_path / "sites")
    catalogue = listed(tmp_path)
    assert catalogue.members("sites") == ("sites_north", "sites_south")
    assert catalogue.spec("sites_south").title == "Readmission at South Hospital"
    assert catalogue.spec("sites_south").family == "sites"
    assert catalogue.entry("sites_south").place.endswith("sites.csv:3")


@pytest.mark.parametrize("cohort", ["heart_failure_mortality", "stroke"])
def test_a_description_means_the_same_in_a_component_as_in_a_file(tmp_path: Path, cohort: str) -> None:
    written = yaml.safe_load((SHIPPED / f"{cohort}.yaml").read_text(encoding="utf-8"))
    component = {"type": "clinical_assets.components.Cohort", "attributes": written}
    assert declared(tmp_path, component, name=cohort).spec(cohort) == Catalogue((SHIPPED,)).spec(cohort)


def test_a_wrong_key_is_named_with_its_line_in_the_file(tmp_path: Path) -> None:
    text = scaffold(Cohort, tmp_path / "made" / "ward").read_text(encoding="utf-8").replace("moment:", "momnt:")
    line = next(number for number, each in enumerate(text.splitlines(), 1) if "momnt" in each)
    with pytest.raises(SpecError, match=rf"defs\.yaml:{line}: prediction\.momnt: unknown key"):
        declared(tmp_path / "made" / "ward", text, name="other").spec("other")


def test_a_folder_and_a_name_that_differ_are_refused(tmp_path: Path) -> None:
    text = scaffold(Cohort, tmp_path / "made" / "ward").read_text(encoding="utf-8")
    catalogue = declared(tmp_path / "made" / "ward", text.replace("attributes:", "attributes:\n  name: ward"), name="b")
    with pytest.raises(SpecError, match="Rename the folder to ward or the cohort to b"):
        catalogue.spec("b")


@pytest.mark.parametrize("text", ["type: dagster.DefsFolderComponent\n", "attributes: {}\n", "a: [\n", ""])
def test_components_of_others_are_no_cohorts(tmp_path: Path, text: str) -> None:
    assert declared(tmp_path, text).names() == Catalogue((SHIPPED,)).names()


def test_the_asset_of_a_cohort_says_what_it_predicts_and_who_answers_for_it(tmp_path: Path) -> None:
    scaffold(Cohort, tmp_path / "ward")
    documented = built(tmp_path / "ward")["ward"]
    assert "Unplanned readmission within 30 days" in str(documented.description)
    assert documented.owners == ["team:quality-of-care"]
    assert documented.metadata["icd10"] == "I50.9"


def test_a_broken_description_says_so_in_its_asset_and_stops_nothing(tmp_path: Path) -> None:
    path = scaffold(Cohort, tmp_path / "ward")
    path.write_text(path.read_text(encoding="utf-8").replace("moment:", "momnt:"), encoding="utf-8")
    assert "Did you mean `moment`?" in str(built(tmp_path / "ward")["ward"].description)


def test_the_schema_takes_what_is_scaffolded_and_refuses_an_unknown_key(tmp_path: Path) -> None:
    attributes = yaml.safe_load(scaffold(Cohort, tmp_path / "ward").read_text(encoding="utf-8"))["attributes"]
    schema = CohortAttributes.model_json_schema()
    jsonschema.validate(attributes, schema)
    with pytest.raises(jsonschema.ValidationError, match="momnt"):
        jsonschema.validate({**attributes, "momnt": 1}, schema)


def test_a_project_of_its_own_takes_in_every_asset_and_check_of_the_platform() -> None:
    taken = ClinicalPlatform().build_defs(ComponentTree.for_test().load_context)
    ours = load()
    assert taken.resolve_asset_graph().get_all_asset_keys() == ours.resolve_asset_graph().get_all_asset_keys()
    assert taken.resolve_asset_graph().asset_check_keys == ours.resolve_asset_graph().asset_check_keys
    assert {job.name for job in taken.resolve_all_job_defs()} == {job.name for job in ours.resolve_all_job_defs()}
    # One tree of components per code location: Dagster refuses to merge two.
    dg.Definitions.merge(dg.Definitions(component_tree=ours.component_tree), taken)
