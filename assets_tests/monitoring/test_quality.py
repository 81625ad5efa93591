"""Broken values raise an alarm; sound ones, and other patients, do not."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from assets_tests.worlds.ward.served import Row, Served, new_patients
from clinical_assets.monitoring.quality import FALSE_ALARM, QualityReport, column_questions, quality_report
from clinical_assets.monitoring.windows import newest_batches


def columns(n: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Synthetic columns of many shapes."""
    skewed = np.exp(rng.normal(1, 1, n))
    skewed[rng.random(n) < 0.2] = np.nan
    return {
        "normal": rng.normal(70, 12, n),
        "about_zero": rng.normal(0, 1, n),
        "skewed": skewed,
        "mostly_one": np.where(rng.random(n) < 0.752, 1.0, rng.choice([10.0, 11.0, 12.0, 13.0], n)),
        "count": rng.poisson(1.0, n).astype(float),
        "rare": (rng.random(n) < 0.01).astype(float),
        "coarse": np.round(rng.normal(5, 2, n)),
        "heavy": rng.standard_t(3, n),
    }


LEVEL = FALSE_ALARM / 33


def alarms(then: np.ndarray, now: np.ndarray) -> list[str]:
    return [each.kind for each in column_questions("x", then, now, level=LEVEL) if each.alarm]


def test_three_hundred_windows_of_sound_records_raise_no_alarm() -> None:
    rng = np.random.default_rng(2)
    then = columns(1_500, rng)
    raised = []
    for _ in range(300):
        now = columns(int(rng.choice([20, 60, 250])), rng)
        raised += [(name, kind) for name in then for kind in alarms(then[name], now[name])]
    assert raised == []


@pytest.fixture
def then() -> np.ndarray:
    """A glucose in mg/dL (synthetic), one in twenty missing."""
    rng = np.random.default_rng(3)
    values = rng.normal(110, 20, 1_000)
    values[rng.random(1_000) < 0.05] = np.nan
    return values


def fresh(n: int = 100) -> np.ndarray:
    return np.random.default_rng(4).normal(110, 20, n)


def test_a_stuck_sensor_is_told_by_its_one_value(then: np.ndarray) -> None:
    assert "stuck" in alarms(then, np.full(100, 118.0))


def test_another_unit_is_told_by_its_median(then: np.ndarray) -> None:
    assert "scale" in alarms(then, fresh() / 18)


def test_a_column_that_moved_is_told_by_impossible_values(then: np.ndarray) -> None:
    assert "outside" in alarms(then, np.where(np.arange(100) % 5 == 0, 900.0, fresh()))


def test_a_column_that_stays_away_is_told_by_its_missing_share(then: np.ndarray) -> None:
    assert alarms(then, np.full(100, np.nan)) == ["missing"]


@pytest.mark.parametrize("change", [10.0, 25.0, -20.0])
def test_other_patients_are_no_broken_values(then: np.ndarray, change: float) -> None:
    assert alarms(then, fresh(300) + change) == []


def test_a_few_values_are_too_few_to_be_called_stuck(then: np.ndarray) -> None:
    assert alarms(then, np.full(5, 118.0)) == []


def report(served: Served, batch: str | None = None) -> QualityReport:
    if batch is not None:
        served.score(batch)
    with served.warehouse.reader() as connection:
        window = newest_batches(connection, served.spec, bundle_digest=served.bundle.digest, at_least=1)
        assert window is not None
        found = quality_report(connection, served.spec, served.bundle, window)
    json.dumps(found.to_json(), allow_nan=False)
    assert all(np.isfinite(value) for value in found.metrics().values())
    return found


def changed(served: Served, rows: int, **values: Any) -> str:
    subjects, visits = new_patients(rows, seed=21)
    return served.receive([{**row, **values} for row in subjects], visits, name="changed")


def test_sound_records_of_the_cohort_are_sound(served: Served) -> None:
    found = report(served)
    assert (found.verdict, found.alarms, found.n) == ("sound", (), 400)


def test_a_stuck_value_in_a_batch_is_an_alarm_in_words(served: Served) -> None:
    found = report(served, changed(served, 80, marker_b=0.5))
    assert found.verdict == "alarm"
    assert any(each.startswith("marker_b: 100% of the records have the same value") for each in found.alarms)
    assert found.rows()[0]["alarm"] is True


def test_an_empty_column_is_an_alarm(served: Served) -> None:
    found = report(served, changed(served, 80, marker_b=""))
    assert any("marker_b: 100% missing" in each for each in found.alarms)


def test_a_handful_of_records_says_nothing(served: Served) -> None:
    assert report(served, changed(served, 8)).verdict == "insufficient"


def spoiled(rows: list[Row], number: int) -> list[Row]:
    return [{**row, "age_years": 999} if i < number else row for i, row in enumerate(rows)]


def test_many_refused_records_are_an_alarm(served: Served) -> None:
    subjects, visits = new_patients(90, seed=22)
    batch = served.receive(spoiled(subjects, 40), visits, name="spoiled")
    found = report(served, batch)
    assert found.verdict == "alarm"
    assert any("were refused" in each for each in found.alarms)
    assert found.findings["range"] == 40


def test_refused_rows_are_held_against_the_rows_of_all_tables(served: Served) -> None:
    subjects, visits = new_patients(60, seed=23)
    bad = [{**row, "visit_number": "x"} if i < 4 else row for i, row in enumerate(visits)]
    found = report(served, served.receive(subjects, bad, name="visits"))
    refused = next(each for each in found.questions if each.kind == "refused")
    assert refused.now == pytest.approx(4 / 180)
    assert not refused.alarm
