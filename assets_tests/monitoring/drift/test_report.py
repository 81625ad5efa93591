import json

import pytest

from assets_tests.worlds.tables.batches import FEATURES, records
from clinical_assets.cohorts.governance import Monitoring
from clinical_assets.monitoring.drift.drift import drift_report
from clinical_assets.monitoring.drift.report import DriftReport
from clinical_assets.monitoring.drift.section import drift_view
from clinical_assets.reporting.formats import words


def report_of(*, shift: float = 0.5, n: int = 800) -> DriftReport:
    importance = {name: float(i + 1) for i, name in enumerate(FEATURES)}
    return drift_report(
        records(2_000, seed=1),
        records(n, seed=2, shift=shift),
        features=FEATURES,
        importance=importance,
        limits=Monitoring(),
    )


@pytest.mark.parametrize("n", [800, 50, 0])
def test_a_report_comes_back_from_json_as_it_was(n: int) -> None:
    report = report_of(n=n)
    assert DriftReport.from_json(json.loads(json.dumps(report.to_json(), allow_nan=False))) == report


def test_metrics_have_bounded_names_that_do_not_change_from_batch_to_batch() -> None:
    wide = records(1_000, seed=1).with_columns(**{f"x{i}": records(1_000, seed=i)["age_years"] for i in range(40)})
    names = [*FEATURES, *(f"x{i}" for i in range(40))]
    first, second = (
        drift_report(wide, wide.sample(n, seed=1), features=names, importance=None, limits=Monitoring()).metrics()
        for n in (300, 900)
    )
    assert list(first) == list(second)
    assert len(first) <= 24
    assert all(isinstance(value, float) for value in first.values())


def test_metrics_follow_the_report_and_leave_out_what_could_not_be_had() -> None:
    drifted = report_of().metrics()
    assert drifted["drift"] == 1.0
    assert drifted["psi_max"] == max(each.distances.psi or 0.0 for each in report_of().features)
    empty = report_of(n=0).metrics()
    assert empty["records"] == 0.0
    assert "psi_max" not in empty
    # The most important features are plotted, the last ones here.
    assert next(name for name in drifted if name.startswith("psi.")) == f"psi.{FEATURES[-1]}"


def test_the_view_shows_drifted_columns_first_in_words_with_shapes_that_add_up() -> None:
    report = report_of(shift=0.9)
    view = drift_view(report, most=1)
    assert view.total == 1 + len(FEATURES)
    assert [row.is_risk for row in view.rows] == [True, False]
    assert view.rows[1].name == "lactate (mmol/L)"  # the most important of those that drift
    assert view.rows[1].badge.text == "▲ drift"
    assert {shape.name for shape in view.shapes} == {words(name) for name in ("risk", *report.drifted)}
    for shape in view.shapes:
        assert sum(bar.reference for bar in shape.bars) == pytest.approx(1.0)
        assert max(max(bar.reference_width, bar.batch_width) for bar in shape.bars) == 170
    assert all(row.badge.text == "○ insufficient" for row in drift_view(report_of(n=0)).rows)
    assert drift_view(report_of(n=0)).shapes == ()
