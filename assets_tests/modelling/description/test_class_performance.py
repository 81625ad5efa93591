"""Each class is judged against the rest, and the decisions among all by what they cost."""

from __future__ import annotations

import json

import numpy as np
import pytest

from assets_tests.worlds.tables.training import make_spec
from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.modelling.description import class_tables
from clinical_assets.modelling.description.class_performance import class_performance
from clinical_assets.modelling.description.training_results import StoredClassPerformance
from clinical_assets.statistics.calibration.calibration import calibration_slope
from clinical_assets.statistics.decisions.class_costs import cheapest_class, equal_costs
from clinical_assets.statistics.discrimination.multiclass import one_vs_rest_auroc

COSTS = [[0, 1, 2], [9, 0, 1], [20, 5, 0]]
LABELS = ("none", "compensated", "severe")


def spec_with(costs: list[list[float]] | None) -> CohortSpec:
    plain = make_spec(classes=LABELS).model_dump(mode="json", by_alias=True)
    if costs is not None:
        plain["decisions"]["class_costs"] = {"matrix": costs, "rationale": "For a test."}
    return CohortSpec.model_validate(plain)


@pytest.fixture(scope="module")
def rows() -> tuple[np.ndarray, np.ndarray]:
    """Classes drawn from the probabilities themselves: calibrated, the middle class never the likeliest."""
    rng = np.random.default_rng(5)
    latent = rng.normal(size=900)
    severe = 1 / (1 + np.exp(3 - 2 * latent))
    middle = 0.35 * (1 - severe) * np.exp(-np.abs(latent - 1))
    p = np.column_stack([1 - severe - middle, middle, severe])
    return np.array([rng.choice(3, p=row) for row in p]), p


def test_figures_are_those_of_the_statistics_for_each_class_against_the_rest(
    rows: tuple[np.ndarray, np.ndarray],
) -> None:
    y, p = rows
    found = class_performance(y, p, p.argmax(axis=1), spec_with(None))
    for number, (row, area) in enumerate(zip(found["classes"], one_vs_rest_auroc(y, p), strict=True)):
        own = (y == number).astype(int)
        assert row["metrics"]["auroc"]["value"] == pytest.approx(area.value)
        assert row["metrics"]["calibration_slope"]["value"] == pytest.approx(calibration_slope(own, p[:, number]).value)
        assert row["n"] == own.sum()
    json.dumps(found, allow_nan=False)


def test_each_level_or_a_graver_one_is_judged_by_the_sum_of_their_probabilities(
    rows: tuple[np.ndarray, np.ndarray],
) -> None:
    y, p = rows
    found = class_performance(y, p, p.argmax(axis=1), spec_with(None))
    assert [row["class"] for row in found["cuts"]] == ["at least compensated", "at least severe"]
    for level, row in enumerate(found["cuts"], start=1):
        risk = p[:, level:].sum(axis=1)
        assert row["n"] == (y >= level).sum()
        slope = calibration_slope((y >= level).astype(int), risk).value
        assert row["metrics"]["calibration_slope"]["value"] == pytest.approx(slope)
    stored = StoredClassPerformance.model_validate(found)
    assert [row["level"] for row in class_tables.cut_rows(stored)] == ["at least compensated", "at least severe"]


def test_a_class_without_a_decision_says_never_and_has_no_precision(rows: tuple[np.ndarray, np.ndarray]) -> None:
    y, p = rows
    found = class_performance(y, p, cheapest_class(p, equal_costs(3)), spec_with(None))
    stored = StoredClassPerformance.of(found, where="performance by class")
    assert found["rule"] == "likeliest class"
    assert found["classes"][1]["decided"] == 0
    assert set(found["classes"][1]["insufficient"]) == {"precision"}
    shown = class_tables.class_rows(stored)[1]
    assert (shown["decided"], shown["precision"]) == ("never", "insufficient")
    assert any("Never decided on the holdout: compensated" in line for line in class_tables.decision_lines(stored))
    assert class_tables.cost_rows(stored) == []


def test_costs_make_the_class_decided_and_the_mean_cost_lower(rows: tuple[np.ndarray, np.ndarray]) -> None:
    y, p = rows
    decided = cheapest_class(p, COSTS)
    found = class_performance(y, p, decided, spec_with(COSTS))
    assert found["classes"][1]["decided"] > 0
    assert found["mean_cost"]["value"] == pytest.approx(np.asarray(COSTS)[y, decided].mean())
    assert found["mean_cost"]["ci_high"] < found["likeliest"]["ci_low"]
    assert found["mean_cost"]["value"] < found["constant"]["value"]
    stored = StoredClassPerformance.of(found, where="performance by class")
    assert class_tables.cost_rows(stored)[2] == {
        "true class": "severe",
        "decided: none": "20",
        "decided: compensated": "5",
        "decided: severe": "0",
    }
    assert (
        sum(int(cell.split()[0]) for cell in list(class_tables.confusion_rows(stored)[0].values())[1:])
        == (y == 0).sum()
    )


def test_people_with_several_rows_are_resampled_as_people(rows: tuple[np.ndarray, np.ndarray]) -> None:
    y, p = rows
    twice, groups = (np.concatenate([y, y]), np.concatenate([p, p])), np.tile(np.arange(y.size), 2)
    once = class_performance(y, p, cheapest_class(p, COSTS), spec_with(COSTS))
    found = class_performance(*twice, cheapest_class(twice[1], COSTS), spec_with(COSTS), groups=groups)
    for one, two in zip(once["classes"], found["classes"], strict=True):
        before, after = one["metrics"]["recall"], two["metrics"]["recall"]
        assert after["value"] == pytest.approx(before["value"])
        assert after["ci_high"] - after["ci_low"] == pytest.approx(before["ci_high"] - before["ci_low"], rel=0.3)


def test_two_classes_and_older_trainings_have_no_such_part() -> None:
    assert class_tables.class_rows(None) == class_tables.confusion_rows(None) == class_tables.decision_lines(None) == []
