"""One call from table to evidence: repeatable, blind to the holdout until the end, and clear when it cannot be done."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import brier_score_loss, roc_auc_score

from assets_tests.worlds.tables.training import Table, made_up, make_spec, make_table
from clinical_assets.foundation.canonical import plain
from clinical_assets.foundation.errors import ClinicalAssetsError, InsufficientData
from clinical_assets.modelling.evaluation.result import TrainingResult
from clinical_assets.modelling.evaluation.training import train_cohort
from clinical_assets.modelling.leakage.leakage import LeakageFound
from clinical_assets.modelling.search.search import FINAL
from clinical_assets.modelling.table.splits import split_holdout
from clinical_assets.statistics.calibration.logistic import expit

NAMES = ("logistic_ridge", "lightgbm")


@cache
def _result() -> TrainingResult:
    return train_cohort(made_up(400), make_spec(candidates=NAMES, trials=3))


def test_two_runs_agree_in_every_byte_whatever_the_workers_and_the_order_of_rows() -> None:
    table, spec = made_up(400), make_spec(candidates=NAMES, trials=3)
    first = _result()
    shuffled = replace(table, frame=table.frame.sample(fraction=1, shuffle=True, seed=4))
    for other in (train_cohort(table, spec, workers=1), train_cohort(shuffled, spec, workers=2)):
        assert other.digest == first.digest
        assert other.holdout_scores.equals(first.holdout_scores)
        assert other.out_of_fold.equals(first.out_of_fold)
    assert train_cohort(table, make_spec(candidates=NAMES, trials=3, seed=12)).digest != first.digest


def test_times_are_not_content() -> None:
    first = _result()
    slower = replace(first, profile={"nested search": 99.0}, trials=first.trials.with_columns(seconds=pl.lit(5.0)))
    assert slower.digest == first.digest
    other = first.trials.with_columns(inner_score=pl.col("inner_score") + 1e-12)
    assert replace(first, trials=other).digest != first.digest


def test_the_result_holds_what_the_json_promises() -> None:
    result = _result()
    content = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert content["n"] == 400
    assert content["train"]["n"] + content["holdout"]["n"] == 400
    assert content["events"] == result.total.events == sum(result.total.by_class[1:])
    assert [candidate["name"] for candidate in content["candidates"]] == list(NAMES)
    assert content["selected"] in NAMES
    for name in ("auroc", "brier", "calibration_slope", "calibration_intercept", "ici", "net_benefit"):
        assert {"value", "ci_low", "ci_high", "n", "events"} <= set(content["metrics"][name])
    assert content["threshold"]["value"] == 0.2
    assert content["synthetic"] is True
    assert len(content["business_table"]) == 4
    assert isinstance(content["leakage"], list)
    assert isinstance(content["warnings"], list)


def test_scores_lie_beside_their_rows() -> None:
    result = _result()
    inside, outside = result.out_of_fold, result.holdout_scores
    assert inside.columns == ["patient_id", "outcome", "outer_fold", "raw_risk", "risk"]
    assert outside.columns == ["patient_id", "outcome", "raw_risk", "risk"]
    assert set(inside["patient_id"]) | set(outside["patient_id"]) == set(made_up(400).frame["patient_id"])
    table = made_up(400).frame.join(outside.select("patient_id", "risk"), on="patient_id")
    np.testing.assert_array_equal(result.model.predict_proba(table), table["risk"].to_numpy())


def test_every_trial_of_the_folds_and_of_the_final_search_is_kept() -> None:
    trials = _result().trials
    nested_part = trials.filter(pl.col("outer_fold") != FINAL)
    assert nested_part.height == 2 * 3 * 3
    final = trials.filter(pl.col("outer_fold") == FINAL)
    assert final["candidate"].unique().to_list() == [_result().selected]
    assert final.height == 3


def test_nothing_is_decided_by_the_holdout() -> None:
    table = made_up(400)
    held = split_holdout(table.frame, subject="patient_id", share=0.25).holdout
    y = table.frame["outcome"].to_numpy()
    flipped = table.frame.with_columns(outcome=pl.Series(np.where(held, 1 - y, y)))
    first, other = _result(), train_cohort(replace(table, frame=flipped), make_spec(candidates=NAMES, trials=3))
    assert other.selection == first.selection
    assert other.candidates == first.candidates
    assert other.out_of_fold.equals(first.out_of_fold)
    assert other.holdout_scores["risk"].equals(first.holdout_scores["risk"])
    assert other.threshold.curve.optimum_threshold == first.threshold.curve.optimum_threshold
    assert other.metrics["auroc"].value == pytest.approx(1 - first.metrics["auroc"].value)


def test_new_patients_leave_the_old_ones_on_their_side() -> None:
    small = _result()
    large = train_cohort(made_up(600), make_spec(trials=1))
    old = set(small.out_of_fold["patient_id"])
    assert old <= set(large.out_of_fold["patient_id"])


def test_leaks_stop_the_training_before_any_fit() -> None:
    table = made_up(300)
    frame = table.frame.with_columns(discharge_code=pl.col("outcome") * 3.0)
    leaky = replace(table, frame=frame, feature_columns=(*table.feature_columns, "discharge_code"))
    told: list[Any] = []
    with pytest.raises(LeakageFound, match="discharge_code"):
        train_cohort(leaky, make_spec(), progress=lambda *what: told.append(what))
    assert told == []
    declared = make_spec(known_before={"discharge_code": "a test", "x99": "a typing error"}, trials=1)
    result = train_cohort(leaky, declared)
    assert [leak.action for leak in result.leakage if leak.column == "discharge_code"] == ["warn"]
    assert "known_before_unknown" in [finding.code for finding in result.warnings]


def test_several_rows_a_subject_stay_together_everywhere() -> None:
    rng = np.random.default_rng(0)
    subjects = rng.integers(0, 150, 450)
    X = rng.normal(size=(450, 3)) + rng.normal(size=(150, 1))[subjects]
    y = (rng.random(450) < 1 / (1 + np.exp(-X[:, 0]))).astype(int)
    result = train_cohort(make_table(X, y, subjects=subjects), make_spec(trials=1))
    assert not set(result.out_of_fold["patient_id"]) & set(result.holdout_scores["patient_id"])
    assert result.out_of_fold.group_by("patient_id").agg(pl.col("outer_fold").n_unique())["outer_fold"].max() == 1
    assert "group" in result.metrics["auroc"].method
    assert result.out_of_fold.columns[:2] == ["patient_id", "visit"]
    # The sample is as large as its people, not as its rows.
    people = result.out_of_fold.group_by("patient_id").agg(pl.col("outcome").max())
    assert (result.sample_size.n, result.sample_size.events) == (people.height, int(people["outcome"].sum()))
    assert people.height < result.train.n


@pytest.mark.parametrize("name", ["logistic_ridge", "xgboost"])
def test_ordered_classes_are_trained_judged_and_decided_on(name: str) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 4))
    y = np.digitize(X[:, 0] - X[:, 1] + rng.normal(size=400), [-0.5, 1.2])
    spec = make_spec(candidates=(name,), classes=("none", "mild", "severe"), action_from=2, trials=1)
    result = train_cohort(make_table(X, y), spec)
    assert {"macro_auroc", "quadratic_kappa", "ranked_probability_score", "auroc_class_2"} <= set(result.metrics)
    assert result.events == (y == 2).sum()
    probabilities = result.holdout_scores.select("probability_0", "probability_1", "probability_2")
    np.testing.assert_allclose(probabilities.to_numpy().sum(axis=1), 1)
    np.testing.assert_allclose(result.holdout_scores["risk"], probabilities["probability_2"], atol=1e-12)
    assert result.metrics["macro_auroc"].ci_low > 0.5
    json.dumps(result.to_json(), allow_nan=False)


def test_groups_are_reported_and_left_out_in_turn() -> None:
    columns = {"hospital": {"type": "string", "role": "protected", "description": "Hospital."}}
    spec = make_spec(columns=columns, split_by="hospital", trials=1)
    table = made_up(500)
    hospital = np.random.default_rng(0).choice(["a", "b", "tiny"], 500, p=[0.55, 0.43, 0.02])
    table = replace(table, frame=table.frame.with_columns(hospital=pl.Series(hospital)), protected=("sex", "hospital"))
    result = train_cohort(table, spec)
    rows = {(row.sample, row.attribute, row.group): row for row in result.subgroups}
    assert {sample for sample, _, _ in rows} == {"holdout", "out_of_fold", "left_out", "left_out_recalibrated"}
    assert rows["left_out", "hospital", "a"].status == "ok"
    assert rows["left_out", "hospital", "a"].metrics["auroc"].value > 0.6
    assert rows["left_out", "hospital", "tiny"].status == "insufficient"
    assert ("left_out_recalibrated", "hospital", "tiny") not in rows
    assert rows["out_of_fold", "sex", "f"].n + rows["out_of_fold", "sex", "m"].n == result.train.n


def test_a_hospital_with_more_events_is_recalibrated_by_its_own_other_half() -> None:
    random = np.random.default_rng(5)
    X = random.normal(size=(700, 4))
    hospital = random.choice(["a", "b", "c"], 700)
    y = (random.random(700) < expit(1.5 * X[:, 0] - 1 + 2 * (hospital == "c"))).astype(np.int64)
    columns = {"hospital": {"type": "string", "role": "protected", "description": "Hospital."}}
    table = make_table(X, y)
    frame = table.frame.with_columns(hospital=pl.Series(hospital))
    table = replace(table, frame=frame, protected=(*table.protected, "hospital"))
    result = train_cohort(table, make_spec(columns=columns, split_by="hospital", trials=1))
    rows = {row.sample: row for row in result.subgroups if row.group == "c"}
    before, after = rows["left_out"], rows["left_out_recalibrated"]
    assert (before.n, before.events) == (after.n, after.events)
    assert before.metrics["observed_expected_ratio"].ci_low > 1.2
    assert after.metrics["observed_expected_ratio"].value == pytest.approx(1, abs=0.03)
    assert abs(after.metrics["calibration_intercept"].value) < 0.1
    assert after.metrics["brier"].value < before.metrics["brier"].value - 0.02
    # A map of the other half keeps the ranks of each half.
    assert after.metrics["auroc"].value == pytest.approx(before.metrics["auroc"].value, abs=0.02)


def test_noise_is_called_noise() -> None:
    rng = np.random.default_rng(1)
    table = make_table(rng.normal(size=(300, 4)), rng.integers(0, 2, 300))
    result = train_cohort(table, make_spec(candidates=NAMES, trials=2))
    codes = {finding.code for finding in result.warnings}
    assert "no_discrimination" in codes
    assert codes & {"no_net_benefit", "net_benefit_uncertain"}
    auroc = result.metrics["auroc"]
    assert auroc.ci_low < 0.5 < auroc.ci_high
    assert np.ptp(result.holdout_scores["risk"].to_numpy()) < 0.4


def test_columns_without_values_or_variation_are_named_and_harmless() -> None:
    table = made_up(300)
    frame = table.frame.with_columns(
        never=pl.lit(None, dtype=pl.Float64), always=pl.lit(1.0), long=2.0**27 + pl.int_range(pl.len()) % 50
    )
    table = replace(table, frame=frame, feature_columns=(*table.feature_columns, "never", "always", "long"))
    for name in ("logistic_ridge", "lightgbm"):
        result = train_cohort(table, make_spec(candidates=(name,), trials=1))
        told = {finding.code: finding.message for finding in result.warnings}
        assert "never has no value" in told["empty_columns"]
        assert "always has one value" in told["constant_columns"]
        # Only trees read single precision; fractions of seven digits do not merge there.
        assert ("single_precision" in told) == (name == "lightgbm")
        if "single_precision" in told:
            assert "merge: long (of 50 values 4 are left)." in told["single_precision"]
        assert result.metrics["auroc"].value > 0.6


def test_people_who_stand_under_two_identifiers_count_once_and_stand_on_one_side() -> None:
    table, spec = made_up(240), make_spec(candidates=("logistic_ridge",), trials=1)
    twins = table.frame.with_columns(patient_id=pl.lit("q") + pl.col("patient_id"))
    doubled = train_cohort(replace(table, frame=pl.concat([table.frame, twins])), spec)
    told = {finding.code: finding.message for finding in doubled.warnings}
    assert told["twins"].startswith("480 of 480 rows have a twin under another identifier: 480 equal it")
    assert "240 groups are left" in told["twins"]
    once = train_cohort(table, spec)
    assert "twins" not in {finding.code for finding in once.warnings}
    people = {name.removeprefix("q") for name in doubled.holdout_scores["patient_id"]}
    assert people == set(once.holdout_scores["patient_id"])
    # Neither interval nor sample size believes in twice as many patients.
    assert doubled.sample_size.n == once.sample_size.n
    apart = doubled.metrics["auroc"].ci_high - doubled.metrics["auroc"].ci_low
    assert apart == pytest.approx(once.metrics["auroc"].ci_high - once.metrics["auroc"].ci_low, rel=0.35)


def test_flags_of_missing_values_are_parameters_of_the_sample_size() -> None:
    table = made_up(300)
    first, *others = table.feature_columns
    filled = table.frame.with_columns(pl.col(table.feature_columns).fill_null(0.0).fill_nan(0.0))
    gaps = pl.when(pl.int_range(pl.len()) % 4 > 0).then(pl.col(first))
    spec = make_spec(candidates=("logistic_ridge",), trials=1)
    whole = train_cohort(replace(table, frame=filled), spec).sample_size
    flagged = train_cohort(replace(table, frame=filled.with_columns(gaps.alias(first))), spec).sample_size
    assert (whole.n_parameters, flagged.n_parameters) == (1 + len(others), 2 + len(others))
    assert f"{flagged.n_parameters} fitted parameters" in flagged.statement


def _awkward(n: int, events: int) -> Table:
    rng = np.random.default_rng(0)
    y = np.zeros(n, dtype=int)
    y[rng.choice(n, events, replace=False)] = 1
    return make_table(rng.normal(size=(n, 3)), y)


@pytest.mark.parametrize(("n", "events"), [(12, 3), (12, 1), (40, 2), (2, 1), (3, 1)])
def test_a_cohort_too_small_for_its_folds_says_so(n: int, events: int) -> None:
    with pytest.raises(InsufficientData) as caught:
        train_cohort(_awkward(n, events), make_spec(outer=5, inner=3))
    assert caught.value.cure


def test_a_small_cohort_with_few_folds_is_trained_with_warnings() -> None:
    result = train_cohort(_awkward(40, 18), make_spec(outer=2, inner=2, trials=1))
    codes = {finding.code for finding in result.warnings}
    assert {"few_events", "sample_size"} <= codes
    assert "NOT met" in result.sample_size.statement
    json.dumps(result.to_json(), allow_nan=False)


def test_twelve_rows_give_a_result_that_says_how_little_it_is() -> None:
    result = train_cohort(_awkward(12, 5), make_spec(outer=2, inner=2, trials=1))
    codes = {finding.code for finding in result.warnings}
    assert {"few_events", "sample_size", "insufficient"} <= codes
    assert "auroc" in result.insufficient
    assert {row.status for row in result.subgroups} == {"insufficient"}
    json.dumps(result.to_json(), allow_nan=False)


def test_one_class_alone_is_refused_by_label() -> None:
    table = make_table(np.random.default_rng(0).normal(size=(50, 2)), np.zeros(50))
    with pytest.raises(InsufficientData, match="class 'yes' does not occur"):
        train_cohort(table, make_spec())


def test_infinite_features_are_refused_by_name() -> None:
    table = made_up(100)
    frame = table.frame.with_columns(x1=pl.when(pl.col("outcome") == 1).then(float("inf")).otherwise("x1"))
    with pytest.raises(ClinicalAssetsError, match="'x1' is infinite"):
        train_cohort(replace(table, frame=frame), make_spec())


def test_a_holdout_without_events_gives_reasons_instead_of_numbers() -> None:
    table = made_up(200)
    held = split_holdout(table.frame, subject="patient_id", share=0.25).holdout
    frame = table.frame.filter(pl.Series(~held | (table.frame["outcome"].to_numpy() == 0)))
    result = train_cohort(replace(table, frame=frame), make_spec(trials=1))
    assert "auroc" not in result.metrics
    assert "auroc" in result.insufficient
    assert "insufficient" in {finding.code for finding in result.warnings}
    assert result.candidates[0].metrics["auroc"].value > 0.5
    json.dumps(result.to_json(), allow_nan=False)


def test_plain_values_are_json_and_infinity_is_null() -> None:
    assert plain({"a": (np.float64(1.5), float("inf"), np.int64(2)), "b": [np.bool_(True), None]}) == {
        "a": [1.5, None, 2],
        "b": [True, None],
    }


def test_the_figures_of_a_candidate_that_lost_can_be_computed_from_its_scores() -> None:
    names = ("logistic_ridge", "naive_bayes", "lightgbm")
    result = train_cohort(made_up(240), make_spec(candidates=names, trials=1), workers=1)
    scores = result.candidate_scores
    assert scores["candidate"].unique(maintain_order=True).to_list() == list(names)
    for candidate in result.candidates:
        own = scores.filter(pl.col("candidate") == candidate.name)
        assert own.height == result.train.n
        metrics = candidate.metrics
        assert roc_auc_score(own["outcome"], own["risk"]) == pytest.approx(metrics["auroc"].value)
        assert brier_score_loss(own["outcome"], own["risk"]) == pytest.approx(metrics["brier"].value)
    winner = scores.filter(pl.col("candidate") == result.selected).drop("candidate")
    assert winner.equals(result.out_of_fold)
