"""Descriptions are read strictly, and refusals name file, line, key and cure."""

from __future__ import annotations

import string
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from assets_tests.worlds import descriptions
from clinical_assets.cohorts.loading import json_schema, load_spec
from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.errors import SpecError
from clinical_assets.modelling.search.kinds import KINDS

Write = Callable[..., Path]


def _refusal(path: Path) -> str:
    with pytest.raises(SpecError) as caught:
        load_spec(path)
    return str(caught.value)


def test_a_right_description_is_read(write_yaml: Write, minimal: dict[str, Any]) -> None:
    spec = load_spec(write_yaml(minimal))
    assert spec.key == ("patient_id",)
    assert spec.protected == ("sex",)
    assert spec.decisions.costs.threshold == pytest.approx(0.2)


def test_an_unknown_key_is_refused_with_its_line_and_a_near_name(tmp_path: Path, write_yaml: Write, minimal) -> None:
    minimal["tables"]["subjects"]["columns"]["age_years"]["nulable"] = False
    path = write_yaml(minimal)
    message = _refusal(path)
    line = next(i for i, text in enumerate(path.read_text().splitlines(), 1) if "nulable" in text)
    assert f"small_cohort.yaml:{line}: tables.subjects.columns.age_years.nulable: unknown key" in message
    assert "Did you mean `nullable`?" in message


def test_every_problem_is_told_at_once(write_yaml: Write, minimal) -> None:
    minimal["tables"]["subjects"]["columns"]["age_years"]["range"] = [120, 0]
    minimal["decisions"]["costs"]["false_negative"] = -1
    del minimal["owner"]
    message = _refusal(write_yaml(minimal))
    assert "3 problems" in message
    assert "smallest value 120 above its largest 0" in message
    assert "owner: missing key" in message


def test_many_missing_keys_are_one_skeleton_that_makes_a_right_description(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("name: mine\nsubjct: patient_id\n", encoding="utf-8")
    message = _refusal(path)
    assert "13 keys are missing" in message
    assert "mine.yaml:2: subjct: unknown key. Did you mean `subject`?" in message
    head, _, rest = message.partition("own words:\n")
    assert "missing key" not in head
    skeleton = "".join(f"{line[4:]}\n" for line in rest.splitlines() if line.startswith("    "))
    # Put into the file as it is shown, it is a description that loads.
    path.write_text(f"name: mine\n{skeleton}", encoding="utf-8")
    assert load_spec(path).name == "mine"


def test_a_key_that_stands_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "twice.yaml"
    path.write_text("name: twice\ntitle: a\nname: twice\n")
    assert "twice.yaml:3: key 'name' stands twice in one mapping (first on line 1)" in _refusal(path)


def test_a_word_that_yaml_reads_as_a_boolean_is_explained(tmp_path: Path, write_yaml: Write, minimal) -> None:
    path = write_yaml(minimal)
    path.write_text(path.read_text().replace("title: A small cohort for tests", "title: no"))
    assert "put it in quotes" in _refusal(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [("", "empty"), ("a: [1, 2", "not valid YAML"), ("- a\n- b\n", "mapping"), ("a: b: c", "not valid YAML")],
)
def test_what_is_no_description_is_refused_with_file_and_line(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(content)
    message = _refusal(path)
    assert "broken.yaml" in message
    assert said in message


def test_a_file_named_otherwise_than_its_cohort_is_refused(write_yaml: Write, minimal, tmp_path: Path) -> None:
    path = write_yaml(minimal)
    assert "Rename the file to small_cohort.yaml" in _refusal(path.rename(tmp_path / "other.yaml"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d.update(subject_table="visits"), "subject_table 'visits' is not among tables"),
        (lambda d: d["tables"]["subjects"].update(key=["nobody"]), "key names column 'nobody'"),
        (
            lambda d: d["tables"]["subjects"]["columns"]["patient_id"].update(role=["identifier", "feature"]),
            "an identifier cannot be a feature",
        ),
        (
            lambda d: d["tables"]["subjects"]["columns"]["died"].update(role=["target", "feature"]),
            "known too late",
        ),
        (lambda d: d["data"].update(kind="real"), None),
        (lambda d: d["decisions"]["tiers"][0].update(lower=0.1), "must start at 0"),
        (lambda d: d["prediction"].update(index_date="subjects.sex"), "is not a described date"),
    ],
)
def test_what_does_not_fit_together_is_refused(write_yaml: Write, minimal, change, said: str | None) -> None:
    change(minimal)
    path = write_yaml(minimal)
    if said is None:
        load_spec(path)
    else:
        assert said in _refusal(path)


def test_an_event_table_must_say_when_its_rows_became_known(write_yaml: Write, minimal) -> None:
    minimal["tables"]["subjects"]["columns"]["admitted_date"] = {
        "type": "date",
        "role": "date",
        "description": "Admission.",
    }
    minimal["prediction"]["index_date"] = "subjects.admitted_date"
    minimal["tables"]["visits"] = {
        "description": "One row per visit.",
        "source": {"kind": "file", "path": "visits.csv"},
        "key": ["patient_id", "visit_date"],
        "columns": {
            "patient_id": {"type": "string", "role": "identifier", "description": "Patient."},
            "visit_date": {"type": "date", "role": "date", "description": "Visit."},
        },
    }
    assert "features could see the future" in _refusal(write_yaml(minimal))
    minimal["tables"]["visits"]["recorded"] = "visit_date"
    load_spec(write_yaml(minimal))


_texts = st.text(alphabet=string.ascii_letters + " :#'\"äß-{}[]&*!|>%@", min_size=1, max_size=30).filter(str.strip)


@hypothesis_settings(max_examples=60)
@given(
    title=_texts,
    unit=st.none() | _texts,
    low=st.none() | st.floats(-1e6, 0),
    high=st.none() | st.floats(1, 1e6),
    categories=st.dictionaries(_texts, _texts, min_size=1, max_size=4),
    missing=st.lists(st.one_of(st.integers(-9, 9), _texts), max_size=3),
    cost=st.floats(0.01, 1e6),
)
def test_a_description_written_and_read_again_is_the_same(
    tmp_path: Path, title, unit, low, high, categories, missing, cost
) -> None:
    value = descriptions.minimal(title=title)
    columns = value["tables"]["subjects"]["columns"]
    columns["age_years"] |= {"unit": unit, "range": [low, high], "missing": missing}
    columns["sex"] |= {"categories": categories}
    value["decisions"]["costs"]["false_negative"] = cost
    spec = CohortSpec.model_validate(value)
    path = tmp_path / "small_cohort.yaml"
    content = spec.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    path.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=110), encoding="utf-8")
    assert load_spec(path) == spec


def test_the_schema_for_editors_accepts_every_shipped_description() -> None:
    import jsonschema
    import yaml

    from clinical_assets.cohorts.registry import SHIPPED

    validator = jsonschema.Draft202012Validator(json_schema(list(KINDS)))
    for path in SHIPPED.glob("*.yaml"):
        problems = [
            f"{path.name}: {error.json_path}: {error.message}"
            for error in validator.iter_errors(yaml.safe_load(path.read_text(encoding="utf-8")))
        ]
        assert not problems


def test_the_committed_schema_is_the_one_that_the_models_make() -> None:
    import json

    from clinical_assets.cohorts.registry import SHIPPED

    committed = json.loads((SHIPPED / "cohort.schema.json").read_text(encoding="utf-8"))
    assert committed == json_schema(list(KINDS)), (
        "write it again: clinical-assets cohorts schema clinical_assets/cohorts/catalogue/cohort.schema.json"
    )


def _with_column(minimal: dict[str, Any], **column: Any) -> dict[str, Any]:
    minimal["tables"]["subjects"]["columns"]["answer"] = {"type": "string", "description": "A.", **column}
    return minimal


@pytest.mark.parametrize("given", ["[NO, YES]", "{NO: none, YES: some}", "[M, ~]"])
def test_codes_that_yaml_takes_for_something_else_are_refused_with_the_cure(
    write_yaml: Write, minimal: dict[str, Any], given: str
) -> None:
    message = _refusal(write_yaml(_with_column(minimal, categories=yaml.safe_load(given))))
    assert "columns.answer: categories hold " in message
    assert "put such a code in quotes" in message


def test_missing_codes_that_yaml_takes_for_booleans_are_refused(write_yaml: Write, minimal: dict[str, Any]) -> None:
    assert "missing holds true or false" in _refusal(write_yaml(_with_column(minimal, missing=[False])))


def test_codes_may_be_numbers_and_texts_are_compared_as_letters(write_yaml: Write, minimal: dict[str, Any]) -> None:
    apart = unicodedata.normalize("NFD", "männlich")
    values = _with_column(minimal, categories={1: apart, 2: "weiblich"}, missing=[apart])
    column = load_spec(write_yaml(values)).subjects.columns["answer"]
    assert column.categories == {"1": "männlich", "2": "weiblich"}
    assert column.missing == ("männlich",)


def test_an_empty_list_of_codes_says_that_one_is_needed(write_yaml: Write, minimal: dict[str, Any]) -> None:
    minimal["disease"]["icd10"] = []
    assert "disease.icd10" in (message := _refusal(write_yaml(minimal)))
    assert "too few. Give at least 1." in message


def test_a_unit_with_brackets_between_braces_is_explained(write_yaml: Write, minimal: dict[str, Any]) -> None:
    path = write_yaml(minimal)
    path.write_text(path.read_text() + "x: {type: number, unit: m[IU]/L, description: D.}\n")
    assert "Put a unit with brackets in quotes between braces, such as unit: 'm[IU]/L'." in _refusal(path)
    path.write_text("name: small_cohort\n\ttitle: x\n")
    assert "YAML takes no tabs" in _refusal(path)


@pytest.mark.parametrize("zone", ["Berlin", "CET+1", "europe/berlin"])
def test_a_zone_that_does_not_exist_is_refused(write_yaml: Write, minimal: dict[str, Any], zone: str) -> None:
    assert "not a zone of the tz database" in _refusal(write_yaml({**minimal, "timezone": zone}))


def test_a_description_without_a_zone_keeps_its_plain_form(write_yaml: Write, minimal: dict[str, Any]) -> None:
    plain = load_spec(write_yaml(minimal)).canonical()
    assert "timezone" not in plain
    zoned = CohortSpec.model_validate({**minimal, "timezone": "Europe/Berlin"}).canonical()
    assert zoned == {**plain, "timezone": "Europe/Berlin"}


def test_a_list_with_a_wrong_item_is_not_called_short_too(write_yaml: Write, minimal: dict[str, Any]) -> None:
    minimal["target"]["classes"] = [False, "died"]
    with pytest.raises(SpecError, match="1 problem in this") as refused:
        load_spec(write_yaml(minimal))
    assert "target.classes.0" in str(refused.value)
    minimal["target"]["classes"] = ["died"]
    with pytest.raises(SpecError, match=r"target\.classes: too few\. Give at least 2"):
        load_spec(write_yaml(minimal))
