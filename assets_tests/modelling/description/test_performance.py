"""Rates at several thresholds agree with the measures at the one in use; ages fall into thirds, nobody is lost."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from assets_tests.worlds.tables.training import make_spec
from assets_tests.worlds.ward.trained import Trained
from clinical_assets.modelling.description.performance import age_bands, rates_by_threshold, thresholds_of


def test_the_rates_at_the_threshold_in_use_are_those_of_the_report(trained_ward: Trained) -> None:
    results = trained_ward.training.results.plain()
    row = next(each for each in results["rates"] if each["role"] == "in use")
    assert row["threshold"] == pytest.approx(results["threshold"]["value"])
    for name in ("sensitivity", "specificity", "ppv", "alert_rate"):
        assert row[name]["value"] == pytest.approx(results["metrics"][name]["value"])
    sensitivities = [each["sensitivity"]["value"] for each in results["rates"]]
    assert sensitivities == sorted(sensitivities, reverse=True)


def test_no_threshold_lies_beyond_one_and_tiers_are_among_them() -> None:
    spec = make_spec(costs={"false_negative": 1})
    found = thresholds_of(spec)
    assert [threshold for threshold, _ in found] == [0.125, 0.25, 0.5]
    assert found[-1] == (0.5, "in use")


def test_a_class_that_is_missing_gives_no_rates() -> None:
    assert rates_by_threshold(np.zeros(9, dtype=np.int64), np.full(9, 0.2), make_spec()) == []


def test_subjects_with_several_rows_widen_the_intervals() -> None:
    rng = np.random.default_rng(3)
    risk = np.repeat(rng.uniform(0.02, 0.9, 60), 6)
    event = np.repeat((rng.random(60) < risk[::6]).astype(np.int64), 6)
    alone = rates_by_threshold(event, risk, make_spec())
    together = rates_by_threshold(event, risk, make_spec(), groups=np.repeat(np.arange(60), 6))

    def width(rows: list[dict[str, object]]) -> float:
        found = next(row for row in rows if row["role"] == "in use")["alert_rate"]
        return float(found["ci_high"] - found["ci_low"])  # type: ignore[index]

    assert width(together) > 1.5 * width(alone)


def test_age_falls_into_thirds_of_the_training_rows_and_unknown_stays_a_group() -> None:
    train = pl.DataFrame({"bmi": [1.0] * 90, "age_years": [float(age) for age in range(10, 100)]})
    rows = pl.DataFrame({"bmi": [1.0] * 4, "age_years": [10.0, 40.0, 99.0, None]})
    found = age_bands(rows, train=train, feature_columns=("bmi", "age_years"))
    assert found is not None
    assert found.to_list() == ["under 40", "40 to under 70", "70 and over", "unknown"]
    assert age_bands(rows, train=train, feature_columns=("bmi",)) is None
