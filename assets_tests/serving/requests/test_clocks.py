"""A time in a request is on the clock that training had, however it is written."""

from __future__ import annotations

import datetime as dt
import json

import pytest

from assets_tests.worlds.descriptions import minimal
from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.serving.requests.record_models import predict_model, request_spec


@pytest.mark.parametrize(("zone", "hour"), [(None, 9), ("Europe/Berlin", 11)])
def test_an_offset_is_turned_and_a_bare_time_stays(zone: str | None, hour: int) -> None:
    values = minimal()
    values["tables"]["subjects"]["columns"]["taken"] = {"type": "datetime", "role": "date", "description": "When."}
    spec = request_spec(CohortSpec.model_validate({**values, "timezone": zone}))
    record = dict.fromkeys(spec.subjects.columns) | {"patient_id": "p1", "sex": "F", "age_years": 50}
    read = []
    for text in ("2024-06-01T11:00:00+02:00", "2024-06-01T10:00:00"):
        found = predict_model(spec).model_validate_json(json.dumps({"records": [{**record, "taken": text}]}))
        read.append(found.model_dump(by_alias=True)["records"][0]["taken"])
    assert read == [dt.datetime(2024, 6, 1, hour), dt.datetime(2024, 6, 1, 10)]
