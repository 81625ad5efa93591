"""An outcome written as a time to an event is the outcome at a horizon; what is wrong with it is said by its line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from clinical_assets.cohorts.decisions import FIXED_HORIZON, TimeToEvent
from clinical_assets.cohorts.loading import load_spec
from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.errors import SpecError

WRITTEN = {"time": "months", "unit": "months", "event": "status", "event_values": ["ill"], "competing": ["dead"]}
VARS = {
    "time_column": "months",
    "time_unit": "months",
    "event_column": "status",
    "event_values": ["ill"],
    "competing_values": ["dead"],
}


def test_it_is_short_for_the_outcome_model_and_its_variables(minimal: dict[str, Any]) -> None:
    short = CohortSpec.model_validate({**minimal, "outcome": {**WRITTEN, "horizon_days": 90}, "vars": {"k": 1}})
    prediction = {**minimal["prediction"], "horizon_days": 90}
    long = CohortSpec.model_validate(
        {**minimal, "outcome": FIXED_HORIZON, "vars": {**VARS, "k": 1}, "prediction": prediction}
    )
    assert short == long
    assert short.canonical() == long.canonical()
    assert short.time_to_event == TimeToEvent.model_validate({**WRITTEN, "horizon_days": 90})
    assert CohortSpec.model_validate(short.canonical()) == short


def test_an_outcome_of_another_kind_is_no_time_to_an_event(minimal: dict[str, Any]) -> None:
    assert CohortSpec.model_validate(minimal).time_to_event is None


@pytest.mark.parametrize(
    ("outcome", "rest", "words"),
    [
        ({"competing": ["dead"]}, {}, "need event_values"),
        ({"event_values": ["ill"], "competing": ["ill"]}, {}, "'ill' is both"),
        ({}, {"vars": {"time_column": "months"}}, "remove time_column from `vars`"),
        ({}, {"prediction": {"moment": "Now.", "horizon_days": 30}}, "90 days by `outcome`, 30 by `prediction`"),
    ],
)
def test_what_contradicts_itself_is_refused(
    minimal: dict[str, Any], outcome: dict[str, Any], rest: dict[str, Any], words: str
) -> None:
    written = {"time": "months", "event": "is_ill", "horizon_days": 90, **outcome}
    with pytest.raises(ValidationError, match=words):
        CohortSpec.model_validate({**minimal, "outcome": written, **rest})


def test_a_misspelt_key_is_named_with_its_line(minimal: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "small_cohort.yaml"
    written = {"time": "months", "event": "is_ill", "horizont_days": 90}
    path.write_text(yaml.safe_dump({"outcome": written, **{k: v for k, v in minimal.items() if k != "outcome"}}))
    line = 1 + next(i for i, text in enumerate(path.read_text().splitlines()) if "horizont_days" in text)
    with pytest.raises(SpecError, match=rf"small_cohort\.yaml:{line}: outcome\.horizont_days: unknown key"):
        load_spec(path)
