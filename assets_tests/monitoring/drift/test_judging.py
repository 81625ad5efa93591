"""Where drift begins: every limit from both sides, on measured columns, and the words that follow from it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest

from clinical_assets.cohorts.governance import Monitoring
from clinical_assets.monitoring.drift import drift
from clinical_assets.monitoring.drift.columns import DriftError
from clinical_assets.monitoring.drift.drift import drift_report
from clinical_assets.monitoring.drift.features import Distances
from clinical_assets.monitoring.drift.report import FeatureDrift

LIMITS = Monitoring(minimum_n=100, psi_limit=0.2, ks_limit=0.1, missing_change_limit=0.05, false_alarm_rate=0.01)
CALM = Distances(
    name="x",
    kind="numeric",
    n_reference=1_000,
    n_batch=200,
    present_reference=900,
    present_batch=180,
    missing_reference=0.1,
    missing_batch=0.1,
    missing_p=0.5,
    psi=0.01,
    psi_noise=0.05,
    total_variation=0.25,
    gap=0.01,
    p=0.5,
)


def judged(
    measured: Distances, *, p: float | None = 0.5, missing_p: float | None = 0.5, enough: bool = True
) -> FeatureDrift:
    return drift._judge(measured, LIMITS, enough=enough, importance=0.5, p=p, missing_p=missing_p)


@pytest.mark.parametrize(
    ("changes", "p", "missing_p", "reasons"),
    [
        ({}, 0.01, 0.01, ()),
        ({"gap": 0.1}, 0.01, 0.5, ("Kolmogorov-Smirnov distance 0.100 reaches the limit 0.1",)),
        ({"gap": 0.1, "kind": "category"}, 0.01, 0.5, ("total variation 0.100 reaches the limit 0.1",)),
        ({"gap": 0.1}, 0.0101, 0.5, ()),
        ({"gap": 0.0999}, 0.01, 0.5, ()),
        ({"gap": None}, 0.01, 0.5, ()),
        ({"gap": 0.9}, 0.5, 0.001, ()),  # a change of the missing shares says nothing of the values' distance
        ({"psi": 0.2}, 0.01, 0.5, ("PSI 0.200 reaches the limit 0.2",)),
        ({"psi": 0.2}, 0.5, 0.01, ("PSI 0.200 reaches the limit 0.2",)),
        ({"psi": 0.2}, 0.0101, 0.0101, ()),
        ({"psi": 0.1999}, 0.01, 0.01, ()),
        ({"psi": 0.25, "psi_noise": 0.3}, 0.01, 0.5, ()),
        ({"psi": 0.3, "psi_noise": 0.3}, 0.01, 0.5, ("PSI 0.300 reaches the limit 0.3",)),
        ({"psi": 0.2, "psi_noise": None}, 0.01, 0.5, ("PSI 0.200 reaches the limit 0.2",)),
        ({"psi": None}, 0.01, 0.01, ()),
        ({"missing_batch": 0.25}, 0.5, 0.01, ("missing share went from 10.0% to 25.0%, the limit is 5.0%",)),
        ({"missing_reference": 0.25}, 0.5, 0.01, ("missing share went from 25.0% to 10.0%, the limit is 5.0%",)),
        ({"missing_batch": 0.149}, 0.5, 0.01, ()),
        ({"missing_batch": 0.25}, 0.5, 0.0101, ()),
        ({"missing_batch": 0.25}, 0.01, 0.5, ()),
        ({"missing_batch": None}, 0.5, 0.01, ()),
        ({"missing_reference": None}, 0.5, 0.01, ()),
    ],
)
def test_a_column_drifts_where_a_test_is_significant_and_what_it_stands_for_is_large(
    changes: dict[str, Any], p: float, missing_p: float, reasons: tuple[str, ...]
) -> None:
    found = judged(replace(CALM, **changes), p=p, missing_p=missing_p)
    assert found.reasons == reasons
    assert found.verdict == ("drift" if reasons else "stable")
    assert (found.p_adjusted, found.missing_p_adjusted, found.importance) == (p, missing_p, 0.5)


def test_a_column_without_a_test_of_its_values_is_insufficient_and_says_what_is_lacking() -> None:
    few = judged(CALM, p=None)
    assert few.verdict == "insufficient"
    assert few.reasons == ("900 values in the reference and 180 in the batch, at least 50 needed in both",)
    small = judged(CALM, p=None, enough=False)
    assert small.reasons == ("1,000 records in the reference and 200 in the batch, at least 100 needed in both",)
    # What went missing can be drift although the values cannot be judged.
    gone = judged(replace(CALM, missing_batch=0.9), p=None, missing_p=0.001)
    assert gone.verdict == "drift"


def test_only_tests_that_can_be_carried_out_are_of_the_family() -> None:
    measured = [
        CALM,
        replace(CALM, p=None),
        replace(CALM, present_batch=50, p=0.1),
        replace(CALM, present_batch=49),
        replace(CALM, present_reference=49),
        replace(CALM, missing_p=None),
        replace(CALM, missing_reference=0.0, missing_batch=0.0),
        replace(CALM, missing_reference=0.0, missing_p=0.2),
        replace(CALM, missing_batch=0.0, missing_p=0.3),
    ]
    assert drift._family(measured, LIMITS) == {
        (0, "values"): 0.5,
        (0, "missing"): 0.5,
        (1, "missing"): 0.5,
        (2, "values"): 0.1,
        (2, "missing"): 0.5,
        (3, "missing"): 0.5,
        (4, "missing"): 0.5,
        (5, "values"): 0.5,
        (6, "values"): 0.5,
        (7, "values"): 0.5,
        (7, "missing"): 0.2,
        (8, "values"): 0.5,
        (8, "missing"): 0.3,
    }


@pytest.mark.parametrize(("least", "needed"), [(1, 1), (2, 1), (3, 2), (100, 50), (101, 51)])
def test_half_the_least_number_of_records_is_rounded_up(least: int, needed: int) -> None:
    assert drift._values_needed(LIMITS.model_copy(update={"minimum_n": least})) == needed


def _drifted(name: str, importance: float | None, distance: float | None, verdict: Any = "drift") -> FeatureDrift:
    return FeatureDrift(replace(CALM, name=name, total_variation=distance), verdict, importance=importance)


def test_a_carriers_share_is_importance_times_distance_and_only_what_drifted_carries() -> None:
    found = drift._carriers(
        [_drifted("a", 0.1, 0.5), _drifted("b", 0.3, 0.5), _drifted("c", 0.6, 1.0, "stable"), _drifted("d", 0.2, None)]
    )
    assert [(each.name, each.importance, each.total_variation) for each in found] == [
        ("b", 0.3, 0.5),
        ("a", 0.1, 0.5),
        ("d", 0.2, 0.0),
    ]
    assert [each.share for each in found] == pytest.approx([0.75, 0.25, 0.0])
    equal = drift._carriers([_drifted("a", None, 0.1), _drifted("b", None, 0.3)])
    assert [(each.name, each.share) for each in equal] == [("b", pytest.approx(0.75)), ("a", pytest.approx(0.25))]
    assert [each.share for each in drift._carriers([_drifted("a", 0.0, 0.5)])] == [0.0]
    assert drift._carriers([]) == ()


def test_shares_of_importance_add_up_and_what_is_no_importance_is_refused() -> None:
    assert drift._shares(["a", "b"], {"a": 1.0, "b": 3.0, "c": 9.0}) == {"a": 0.25, "b": 0.75}
    assert drift._shares(["a"], {"a": 0.0}) is None
    assert drift._shares(["a"], None) is None
    for wrong in (-0.1, float("inf"), float("nan")):
        with pytest.raises(DriftError, match="'b' has no importance"):
            drift._shares(["a", "b"], {"a": 1.0, "b": wrong})


@pytest.mark.parametrize(
    ("verdicts", "overall"),
    [
        (["stable", "drift", "insufficient"], "drift"),
        (["insufficient", "stable"], "stable"),
        (["insufficient"], "insufficient"),
    ],
)
def test_one_drifted_column_is_drift_and_one_that_could_be_judged_is_an_answer(
    verdicts: list[Any], overall: str
) -> None:
    assert drift._overall([_drifted("x", None, 0.1, each) for each in verdicts]) == overall


def test_a_report_says_in_words_what_its_figures_say() -> None:
    rng = np.random.default_rng(3)
    names = ["a", "b", "c", "d", "e"]
    reference = pl.DataFrame({name: rng.normal(size=1_000) for name in [*names, "risk"]})
    here = pl.DataFrame({name: rng.normal(size=400) for name in [*names, "risk"]})

    def summary(moved: list[str], *, limits: Monitoring = LIMITS, n: int = 400, **changes: Any) -> str:
        batch = here.head(n).with_columns(pl.col(name) + 2 for name in moved)
        return drift_report(reference, batch, features=names, importance=None, limits=limits, **changes).summary

    wide = LIMITS.model_copy(update={"ks_limit": 0.2})
    assert summary([], limits=wide) == "None of 5 features drifts. The predicted risk is stable."
    assert summary(["b"], limits=wide) == "1 of 5 features drifts: b. The predicted risk is stable."
    assert summary(["b"], limits=wide, risk=None) == "1 of 5 features drifts: b."
    told = summary(["a", "b", "c", "e", "risk"], limits=wide)
    assert told.startswith("4 of 5 features drift: ")
    assert " and 1 more. The predicted risk drifts." in told
    assert " and " not in summary(["a", "b", "c"], limits=wide)
    assert summary([], n=99) == (
        "99 records against 1,000 of the reference: fewer than 100 in one of them, so drift cannot be told from chance."
    )
    narrow = summary([], limits=LIMITS.model_copy(update={"ks_limit": 0.01}))
    assert "With 400 records only a Kolmogorov-Smirnov distance of at least 0." in narrow
    assert narrow.endswith("counts, above the limit 0.01.")
    empty = here.with_columns(pl.lit(None, dtype=pl.Float64).alias(name) for name in [*names, "risk"])
    nothing = drift_report(
        reference.with_columns(pl.lit(None, dtype=pl.Float64).alias(name) for name in [*names, "risk"]),
        empty,
        features=names,
        importance=None,
        limits=LIMITS,
    )
    assert nothing.summary == "No column has 50 values in both samples: drift cannot be judged."
    one = drift_report(
        reference.with_columns(a=pl.lit(None, dtype=pl.Float64)),
        here.with_columns(a=pl.lit(None, dtype=pl.Float64)),
        features=names,
        importance=None,
        limits=wide,
    )
    assert one.summary.endswith(" 1 feature has too few values to be judged.")
    assert one.limits == {
        "minimum_n": 100.0,
        "psi_limit": 0.2,
        "ks_limit": 0.2,
        "missing_change_limit": 0.05,
        "false_alarm_rate": 0.01,
    }
    assert (one.n_reference, one.n_batch, one.importance_drifted) == (1_000, 400, None)
