"""Features that know the outcome are found, named and refused; honest ones are left in peace."""

from __future__ import annotations

import datetime
import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest

from assets_tests.worlds.tables.training import Table, as_input, made_up, make_spec, make_table
from clinical_assets.modelling.leakage.leakage import Leak, LeakageFound, find_leaks, refuse_leaks
from clinical_assets.modelling.leakage.separation import chance_of_pure_level, separation
from clinical_assets.modelling.table.splits import Split, split_holdout
from clinical_assets.sources.synthetic.registry import generate


def _with(table: Table, **columns: Any) -> Table:
    frame = table.frame.with_columns(**{name: pl.Series(values) for name, values in columns.items()})
    return replace(table, frame=frame, feature_columns=(*table.feature_columns, *columns))


def _outcome(table: Table) -> np.ndarray:
    return table.frame["outcome"].to_numpy()


def _found(table: Table, **modelling: Any) -> dict[str, Leak]:
    return {leak.column: leak for leak in find_leaks(table, make_spec(**modelling))}


def _trial(*, names: tuple[str, ...], seed: int = 3, subjects: int = 600) -> Table:
    """The synthetic trial's subjects, with the columns that a forgetful description would offer as features."""
    frame = generate("trial_dropout", seed=seed, parameters={"subjects": subjects})["subjects"]
    frame = frame.rename({"subject_id": "patient_id"}).with_columns(
        outcome=pl.col("discontinued"), is_active=(pl.col("arm") == "active").cast(pl.Float64)
    )
    return Table(frame, ("patient_id",), "patient_id", names, ("sex",))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_dropout_day_and_early_and_late_dropout_are_refused_though_the_description_forgets_them(seed: int) -> None:
    names = ("age_years", "distance_km", "is_active", "dropout_day", "early_dropout", "late_dropout")
    leaks = find_leaks(_trial(names=names, seed=seed), make_spec())
    refused = {leak.column: leak for leak in leaks if leak.action == "refuse"}
    assert set(refused) == {"dropout_day", "early_dropout", "late_dropout"}
    assert refused["dropout_day"].kind == "missingness"
    assert "100.0%" in refused["dropout_day"].evidence
    assert "Together with late_dropout" in refused["early_dropout"].evidence
    with pytest.raises(LeakageFound) as caught:
        refuse_leaks(leaks, cohort="trial")
    message = str(caught.value)
    for name in refused:
        assert name in message
    assert "role `outcome`" in message
    assert {leak.column for leak in caught.value.leaks} == set(refused)
    again = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 - an error must survive the way between processes
    assert again.leaks == caught.value.leaks


def test_a_part_of_the_outcome_is_refused_alone_when_its_name_gives_it_away() -> None:
    spec = make_spec(
        columns={"dropout": {"type": "integer", "role": "target", "description": "Left early."}},
    )
    table = _trial(names=("age_years", "early_dropout"))
    leak = next(leak for leak in find_leaks(table, spec) if leak.column == "early_dropout")
    assert (leak.action, leak.kind) == ("refuse", "copy")
    assert "named after the outcome (dropout)" in leak.evidence


def test_honest_features_raise_no_alarm() -> None:
    for seed in range(15):
        table = made_up(400, 8, seed=seed, missing=0.1)
        flags = np.random.default_rng(seed).random((400, 4)) < 0.3
        table = _with(table, **{f"flag_{j}": flags[:, j].astype(float) for j in range(4)})
        assert find_leaks(table, make_spec()) == ()


def test_a_column_that_separates_is_refused_in_either_direction() -> None:
    table = made_up(300)
    y, noise = _outcome(table), np.random.default_rng(5).normal(size=300)
    found = _found(_with(table, rises=y * 8 + noise, falls=-y * 8 + noise))
    assert {found["rises"].kind, found["falls"].kind} == {"separation"}
    assert found["falls"].value == pytest.approx(1, abs=0.01)
    assert found["rises"].action == "refuse"


def test_the_limit_is_the_descriptions() -> None:
    table = made_up(300)
    y, noise = _outcome(table), np.random.default_rng(5).normal(size=300)
    table = _with(table, strong=y * 2.0 + noise)
    assert find_leaks(table, make_spec()) == ()
    assert "strong" in _found(table, separation_limit=0.85)


def test_a_column_filled_in_because_of_the_outcome_is_refused_although_its_values_say_nothing() -> None:
    table = made_up(300)
    values = np.random.default_rng(1).normal(size=300)
    for chosen in (0, 1):
        leak = _found(_with(table, cause_code=np.where(_outcome(table) == chosen, values, np.nan)))["cause_code"]
        assert (leak.kind, leak.action) == ("missingness", "refuse")


def test_a_recoded_copy_of_the_classes_is_refused_whatever_the_order_of_its_codes() -> None:
    rng = np.random.default_rng(2)
    y = rng.integers(0, 4, 400)
    table = make_table(rng.normal(size=(400, 2)), y)
    found = {
        leak.column: leak
        for leak in find_leaks(
            _with(table, code=np.array([7.0, 1.0, 9.0, 3.0])[y]), make_spec(classes=("a", "b", "c", "d"))
        )
    }
    assert found["code"].kind in ("copy", "separation")
    assert found["code"].action == "refuse"


def test_a_code_that_determines_the_outcome_without_ranking_it_is_refused() -> None:
    table = made_up(300)
    rng = np.random.default_rng(3)
    code = np.where(_outcome(table) == 1, 2.0, rng.choice([1.0, 3.0], 300))
    leak = _found(_with(table, code=code))["code"]
    assert (leak.kind, leak.action) == ("copy", "refuse")
    assert leak.value == 1


def test_a_sign_that_only_one_class_shows_is_reported_and_not_refused() -> None:
    table = made_up(400)
    sign = (_outcome(table) == 1) & (np.random.default_rng(4).random(400) < 0.3)
    leak = _found(_with(table, sign=sign.astype(float)))["sign"]
    assert (leak.kind, leak.action) == ("one_sided", "warn")


def test_a_name_after_the_outcome_asks_for_an_answer() -> None:
    spec = make_spec()
    table = _with(made_up(200), years_since_died=np.random.default_rng(0).normal(size=200))
    (leak,) = find_leaks(table, spec)
    assert (leak.kind, leak.action) == ("named_after_outcome", "ask")
    assert "known_before" in leak.cure
    refuse_leaks((leak,), cohort="trial")  # a question alone lets the training go on
    declared = find_leaks(table, make_spec(known_before={"years_since_died": "asked at admission"}))
    assert [leak.action for leak in declared] == ["warn"]


def test_a_declared_column_is_a_warning_that_carries_the_reason() -> None:
    table = made_up(300)
    table = _with(table, strong=_outcome(table) * 9.0 + np.random.default_rng(5).normal(size=300))
    leak = _found(table, known_before={"strong": "measured at admission"})["strong"]
    assert leak.action == "warn"
    assert "measured at admission" in leak.evidence


def test_a_few_rows_are_only_warned_about() -> None:
    y = np.repeat([0, 1], [20, 6])
    table = _with(make_table(np.random.default_rng(0).normal(size=(26, 1)), y), perfect=y.astype(float))
    leak = _found(table)["perfect"]
    assert leak.action == "warn"
    assert "chance" in leak.evidence


def test_the_holdout_is_not_looked_at() -> None:
    table = made_up(400)
    held = split_holdout(table.frame, subject="patient_id", share=0.25).holdout
    noise = np.random.default_rng(6).normal(size=400)
    table = _with(table, strong=np.where(held, _outcome(table) * 20, 0) + noise)
    assert find_leaks(table, make_spec()) == ()


ROLES = {
    "cause_of_death": {"type": "integer", "role": "outcome", "description": "Known at death."},
    "hospital_number": {"type": "integer", "role": "identifier", "description": "Number."},
}


def test_roles_refuse_and_cannot_be_declared_away() -> None:
    rng = np.random.default_rng(0)
    table = _with(made_up(200), cause_of_death=rng.normal(size=200), hospital_number=rng.normal(size=200))
    spec = make_spec(columns=ROLES, known_before={"cause_of_death": "no", "hospital_number": "no"})
    found = {leak.column: leak for leak in find_leaks(table, spec)}
    assert (found["cause_of_death"].kind, found["cause_of_death"].action) == ("known_too_late", "refuse")
    assert (found["hospital_number"].kind, found["hospital_number"].action) == ("identifier", "refuse")


def test_lineage_finds_the_role_behind_another_name() -> None:
    table = _with(made_up(200), score=np.random.default_rng(0).normal(size=200))
    lineage = {"score": (("subjects", "age_years"), ("subjects", "cause_of_death"))}
    (leak,) = find_leaks(table, make_spec(columns=ROLES), lineage=lineage)
    assert (leak.column, leak.kind) == ("score", "known_too_late")
    assert "subjects.cause_of_death" in leak.evidence


def test_an_identifier_beside_other_columns_only_groups_them() -> None:
    table = _with(made_up(200), gap_days=np.random.default_rng(0).normal(size=200))
    beside = {"gap_days": (("subjects", "age_years"), ("subjects", "patient_id"))}
    assert find_leaks(table, make_spec(), lineage=beside) == ()
    (leak,) = find_leaks(table, make_spec(), lineage={"gap_days": (("subjects", "patient_id"),)})
    assert (leak.kind, leak.action) == ("identifier", "refuse")


def test_a_strong_measurement_near_the_limit_is_reported_and_a_near_copy_refused() -> None:
    from sklearn.datasets import load_breast_cancer

    X, y = load_breast_cancer(return_X_y=True)
    table = make_table(X, 1 - y)
    reported = {leak.column: leak.action for leak in find_leaks(table, make_spec(separation_limit=0.97))}
    assert set(reported.values()) == {"warn"}
    assert find_leaks(table, make_spec(separation_limit=0.99)) == ()
    copy = _outcome(table) + np.random.default_rng(0).normal(size=569) * 0.2
    assert _found(_with(table, copy=copy))["copy"].action == "refuse"


def test_a_column_that_counts_like_the_key_is_an_identifier() -> None:
    table = made_up(300)
    numbers = np.arange(300)
    frame = table.frame.with_columns(patient_id=pl.Series(numbers))
    table = replace(table, frame=frame)
    found = _found(_with(table, admission_number=numbers * 7.0 + 1000))
    assert (found["admission_number"].kind, found["admission_number"].action) == ("identifier", "refuse")
    shuffled = np.random.default_rng(0).permutation(numbers).astype(float)
    assert _found(_with(table, admission_number=shuffled))["admission_number"].action == "warn"


DATES = {
    "admitted_date": {"type": "date", "role": "date", "description": "Admission."},
    "discharge_date": {"type": "date", "role": "date", "description": "Discharge."},
    "relapse_day": {"type": "integer", "description": "Day of relapse."},
    "illness_days": {"type": "integer", "description": "Days ill before admission."},
}
PREDICTION = {"index_date": "subjects.admitted_date", "landmark_days": 2}


def test_a_date_after_the_prediction_is_refused() -> None:
    table = _with(made_up(200), stay=np.random.default_rng(0).normal(size=200))
    spec = make_spec(columns=DATES, prediction=PREDICTION)
    admitted = pl.Series([datetime.date(2024, 1, 1)] * 4)
    days = pl.Series([0, 2, 3, None])
    raw = pl.DataFrame({"admitted_date": admitted}).with_columns(
        discharge_date=pl.col("admitted_date") + pl.duration(days=days)
    )
    lineage = {"stay": (("subjects", "discharge_date"),)}
    (leak,) = find_leaks(table, spec, raw_frame=raw, lineage=lineage)
    assert (leak.kind, leak.action, leak.value) == ("after_prediction", "refuse", 1)
    assert find_leaks(table, spec, raw_frame=raw[:2], lineage=lineage) == ()


def test_a_day_number_after_the_prediction_is_refused_and_a_duration_is_reported() -> None:
    rng = np.random.default_rng(0)
    table = _with(made_up(200), relapse_day=rng.integers(0, 90, 200) * 1.0, illness_days=rng.integers(0, 90, 200) * 1.0)
    found = {leak.column: leak for leak in find_leaks(table, make_spec(columns=DATES, prediction=PREDICTION))}
    assert (found["relapse_day"].kind, found["relapse_day"].action) == ("after_prediction", "refuse")
    assert found["illness_days"].action == "warn"


def test_equal_records_across_the_split_are_counted() -> None:
    table = made_up(200, missing=0.2)
    copy = table.frame.with_columns(patient_id=pl.col("patient_id") + "b")
    doubled = replace(table, frame=pl.concat([table.frame, copy]))
    found = _found(doubled)
    names = doubled.frame.sort("patient_id")["patient_id"]
    held = split_holdout(doubled.frame.sort("patient_id"), subject="patient_id", share=0.25).holdout
    where = dict(zip(names, held, strict=True))
    across = sum(where[name] and not where[_twin(name)] for name in names)
    assert found["all features"].value == across > 0
    assert found["all features"].action == "warn"


def _twin(name: str) -> str:
    return name[:-1] if name.endswith("b") else f"{name}b"


def test_a_subject_on_both_sides_is_refused() -> None:
    table = make_table(np.random.default_rng(0).normal(size=(80, 2)), np.arange(80) % 2, subjects=np.arange(80) // 2)
    half = np.arange(80) % 2 == 0
    leaks = find_leaks(table, make_spec(), split=Split(train=half, holdout=~half))
    assert [(leak.kind, leak.action) for leak in leaks] == [("duplicate", "refuse")]
    assert leaks[0].value == 40


def test_the_separation_of_known_values_is_the_auroc_of_scikit_learn() -> None:
    from sklearn.metrics import roc_auc_score

    data = as_input(made_up(200, missing=0.3))
    for column in data.X.T:
        known = ~np.isnan(column)
        expected = roc_auc_score(data.y[known], column[known])
        found = separation(column, data.y, n_classes=2)
        assert found is not None
        assert found.auroc == pytest.approx(max(expected, 1 - expected))
        assert found.n == known.sum()


def test_the_chance_of_a_pure_level_is_hypergeometric() -> None:
    from scipy.stats import hypergeom

    for size in (1, 5, 30, 41):
        expected = hypergeom(100, 40, size).pmf(size)
        assert chance_of_pure_level(size, n=100, of_class=40) == pytest.approx(expected, rel=1e-9, abs=1e-300)
