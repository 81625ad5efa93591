"""Forms of the cohorts that the package ships: what is filled in is what the API would have been sent."""

from __future__ import annotations

from typing import Any

import pytest

from assets_tests.worlds.tables.shipped import representatives
from clinical_assets.cohorts.registry import SHIPPED, Catalogue
from clinical_assets.cohorts.tables import Column
from clinical_assets.reporting.pages import render_screen
from clinical_assets.reporting.texts import languages, speaking
from clinical_assets.serving.pages.patients.desk import choice_of
from clinical_assets.serving.pages.patients.forms import CohortForm, FilledForm, typed
from clinical_assets.serving.pages.patients.results import value_shown
from clinical_assets.serving.pages.views import FormScreen, Frame
from clinical_assets.serving.requests.record_models import predict_model, request_spec

CATALOGUE = Catalogue(folders=(SHIPPED,))
NAMES = representatives()


def form_of(name: str) -> tuple[CohortForm, Any]:
    spec = request_spec(CATALOGUE.spec(name))
    model = predict_model(spec)
    return CohortForm(spec, model), model


@pytest.mark.parametrize("name", NAMES)
def test_a_form_is_small_and_has_every_column_that_must_be_given(name: str) -> None:
    form, _ = form_of(name)
    spec = CATALOGUE.spec(name)
    for language in languages():
        with speaking(language):
            screen = FormScreen(
                title=spec.title,
                synthetic=spec.synthetic,
                frame=Frame("/", "/pages", "A Person", (), (), "token"),
                cohort=choice_of(spec, None),
                moment=spec.prediction.moment,
                sections=form.sections(FilledForm(), {}),
                problems=(),
                recorded=True,
            )
            page = render_screen(screen)
        assert len(page.encode("utf-8")) < 30_000
        for column in form.columns[spec.subject_table]:
            assert f'name="record.{column}"' in page
    for column, described in form.spec.subjects.columns.items():
        assert form.needs(spec.subject_table, column) or described.nullable


@pytest.mark.parametrize("name", NAMES)
def test_what_is_filled_in_is_what_a_program_would_send(name: str) -> None:
    form, model = form_of(name)
    subject_table = form.spec.subject_table
    record: dict[str, Any] = {column: example(each) for column, each in form.columns[subject_table].items()}
    posted = {f"record.{column}": written(value) for column, value in record.items()}
    for table in form.nested:
        row = {column: example(each) for column, each in form.columns[table].items()}
        record[table] = [row]
        posted |= {f"{table}.1.{column}": written(value) for column, value in row.items()} | {f"rows.{table}": "2"}
    filled = form.read(posted)
    assert filled.record == record
    assert model.model_validate_json(filled.body())


def test_a_number_with_a_comma_is_refused_and_not_read_as_another_one() -> None:
    number = Column(type="number", description="Size.")
    whole = Column(type="integer", description="Age.")
    for text in ("1,234", "1.234,5", "1 234", "0x10", "nan", "inf", "1_000", "١٢", "1e999"):
        assert typed(text, number) == text
        assert typed(text, whole) == text
    assert typed("1.5", whole) == "1.5"
    assert typed("1,5", number, decimal_comma=True) == 1.5
    assert typed("1.234,5", number, decimal_comma=True) == "1.234,5"


def example(column: Column) -> Any:
    if column.categories:
        code = next(iter(column.categories))
        return int(code) if column.type == "integer" else code
    low, high = column.range or (0, 1)
    middle = ((low or 0) + (high if high is not None else (low or 0) + 1)) / 2
    values = {"integer": int(middle), "number": middle, "boolean": True, "date": "2026-01-31"}
    return values.get(column.type, "2026-01-31T08:30" if column.type == "datetime" else "a")


def written(value: Any) -> str:
    return "true" if value is True else str(value)


@pytest.mark.parametrize(
    ("feature", "value", "shown"),
    [("is_diabetic", 1.0, "yes"), ("is_male", 0, "no"), ("visits_count", 1.0, "1"), ("is_male", None, "not known")],
)
def test_a_flag_among_the_reasons_is_yes_or_no_and_a_number_stays_one(
    feature: str, value: float | None, shown: str
) -> None:
    assert value_shown({"feature": feature, "value": value}) == shown
