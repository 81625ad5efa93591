"""Synthetic records: reproducible, labelled, and true to the model that the docstring promises."""

from __future__ import annotations

import datetime

import numpy as np
import polars as pl
import pytest

from assets_tests.sources.conftest import Load
from clinical_assets.foundation.errors import SourceError
from clinical_assets.sources.synthetic import stroke as synthetic_stroke
from clinical_assets.sources.synthetic.registry import GENERATORS, generate
from clinical_assets.sources.synthetic.tabular import coefficient
from clinical_assets.sources.synthetic.trial import EARLY_DAYS, STUDY_DAYS, VISIT_WINDOW_DAYS


def logit_fit(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Maximum-likelihood coefficients and their standard errors from the Fisher information, without the intercept."""
    from sklearn.linear_model import LogisticRegression

    scale = x.std(axis=0)
    model = LogisticRegression(C=np.inf, tol=1e-8, max_iter=1000).fit(x / scale, y)
    probability = model.predict_proba(x / scale)[:, 1]
    design = np.column_stack([x / scale, np.ones(len(y))])
    information = design.T @ (design * (probability * (1 - probability))[:, None])
    errors = np.sqrt(np.diag(np.linalg.inv(information)))[:-1]
    return model.coef_[0] / scale, errors / scale


@pytest.mark.parametrize("name", sorted(GENERATORS))
def test_the_seed_alone_decides(name: str) -> None:
    first, again, other = (generate(name, seed=seed) for seed in (1, 1, 2))
    assert first.keys() == again.keys() == other.keys()
    assert all(first[table].equals(again[table]) for table in first)
    assert not any(first[table].equals(other[table]) for table in first)


def test_a_source_is_labelled_synthetic_and_numbered(load: Load) -> None:
    loaded = load(kind="synthetic", generator="tabular_risk", seed=3, parameters={"rows": 50, "features": 4})
    assert loaded.description.startswith("SYNTHETIC")
    assert loaded.numbers == list(range(1, 51))
    frame = generate("tabular_risk", seed=3, parameters={"rows": 50, "features": 4})["records"]
    assert loaded.rows == frame.rows()
    assert loaded.files == ()


def test_a_table_of_several_is_named_by_a_parameter(load: Load) -> None:
    visits = load(kind="synthetic", generator="trial_dropout", seed=3, parameters={"table": "visits", "subjects": 20})
    assert visits.columns[:2] == ["subject_id", "visit_number"]
    for parameters, told in (({}, "needs to be told which table"), ({"table": "labs"}, "has no table 'labs'")):
        with pytest.raises(SourceError, match=told) as caught:
            load(kind="synthetic", generator="trial_dropout", seed=3, parameters=parameters)
        assert "subjects, visits, adverse_events" in str(caught.value.cure)


@pytest.mark.parametrize(
    ("name", "parameters", "told"),
    [
        ("no_such", {}, "no generator 'no_such'"),
        ("stroke", {"row": 5}, "no parameter 'row'"),
        ("stroke", {"seed": 5}, "no parameter 'seed'"),
        ("stroke", {"rows": 0}, "rows is 0"),
        ("stroke", {"rows": "many"}, "rows is 'many'"),
        ("tabular_risk", {"prevalence": 1.0}, "prevalence is 1.0"),
        ("trial_dropout", {"dropout_share": "x"}, "cannot work with"),
    ],
)
def test_wrong_names_and_values_are_refused(name: str, parameters: dict[str, object], told: str) -> None:
    with pytest.raises(SourceError, match=told) as caught:
        generate(name, seed=1, parameters=parameters)
    assert caught.value.cure


def test_the_risk_table_holds_its_true_coefficients() -> None:
    frame = generate(
        "tabular_risk",
        seed=11,
        parameters={"rows": 40_000, "features": 6, "prevalence": 0.3, "missing_share": 0.0, "site_shift": 0.7},
    )["records"]
    grade = pl.col("x3_grade").replace_strict({"none": 0, "mild": 1, "severe": 2})
    standardised = frame.select(
        pl.col("x0_number"),
        (pl.col("x1_count") - 4) / 2,
        (pl.col("x2_flag").cast(pl.Float64) - 0.3) / np.sqrt(0.21),
        (grade - 0.7) / np.sqrt(0.61),
        pl.col("x4_number"),
        (pl.col("x5_count") - 4) / 2,
        (pl.col("site") == "island").cast(pl.Float64),
    )
    x = standardised.to_numpy()
    assert np.abs(x[:, :6].mean(axis=0)).max() < 0.03
    assert np.abs(x[:, :6].std(axis=0) - 1).max() < 0.03
    estimate, error = logit_fit(x, frame["outcome"].to_numpy())
    truth = np.array([*(coefficient(place) for place in range(6)), 0.7])
    assert np.abs((estimate - truth) / error).max() < 4
    assert abs(float(frame["outcome"].mean()) - 0.3) < 0.01  # type: ignore[arg-type]


def test_missing_values_take_their_share_of_every_feature() -> None:
    frame = generate("tabular_risk", seed=5, parameters={"rows": 20_000, "missing_share": 0.1})["records"]
    shares = frame.select(pl.col("^x.*$").is_null().mean()).row(0)
    assert all(abs(share - 0.1) < 0.015 for share in shares)
    assert frame.select(pl.col("record_id", "site", "outcome").null_count()).row(0) == (0, 0, 0)


def test_the_stroke_table_has_the_files_shape_and_oddities() -> None:
    frame = generate("stroke", seed=1)["records"]
    assert frame.columns == [
        "id", "gender", "age", "hypertension", "heart_disease", "ever_married", "work_type", "Residence_type",
        "avg_glucose_level", "bmi", "smoking_status", "stroke",
    ]  # fmt: skip
    assert frame.height == 5110
    assert frame["id"].is_unique().all()
    assert 0.035 < float(frame["stroke"].mean()) < 0.065  # type: ignore[arg-type]
    assert 0.03 < (frame["bmi"] == "N/A").mean() < 0.05  # type: ignore[operator]
    assert set(frame["smoking_status"]) == {"never smoked", "formerly smoked", "smokes", "Unknown"}
    assert frame.filter(pl.col("work_type") == "children")["ever_married"].unique().to_list() == ["No"]


def test_the_stroke_table_holds_its_true_coefficients_and_a_known_difficulty() -> None:
    from sklearn.metrics import roc_auc_score

    frame = generate("stroke", seed=2, parameters={"rows": 60_000})["records"].filter(
        pl.col("smoking_status") != "Unknown"
    )
    x = frame.select(
        "age",
        "hypertension",
        "heart_disease",
        "avg_glucose_level",
        (pl.col("smoking_status") == "smokes").cast(pl.Int8),
    ).to_numpy()
    y = frame["stroke"].to_numpy()
    estimate, error = logit_fit(x, y)
    truth = np.array(
        [
            synthetic_stroke.AGE_PER_YEAR,
            synthetic_stroke.HYPERTENSION,
            synthetic_stroke.HEART_DISEASE,
            synthetic_stroke.GLUCOSE_PER_MG_DL,
            synthetic_stroke.SMOKES,
        ]
    )
    assert np.abs((estimate - truth) / error).max() < 4
    assert 0.80 < roc_auc_score(y, x @ estimate) < 0.90


def test_the_trials_tables_belong_together_and_end_when_a_subject_leaves() -> None:
    tables = generate("trial_dropout", seed=4, parameters={"subjects": 3000, "dropout_share": 0.4})
    subjects, visits, events = tables["subjects"], tables["visits"], tables["adverse_events"]
    assert subjects["subject_id"].is_unique().all()
    assert visits.select("subject_id", "visit_number").is_unique().all()
    assert events.select("subject_id", "event_number").is_unique().all()
    assert abs(float(subjects["discontinued"].mean()) - 0.4) < 0.03  # type: ignore[arg-type]
    left = subjects["dropout_day"].is_not_null().cast(pl.Int64)
    assert left.equals(subjects["discontinued"], check_names=False)
    assert (subjects["early_dropout"] + subjects["late_dropout"]).equals(subjects["discontinued"], check_names=False)
    early = subjects.filter(pl.col("early_dropout") == 1)["dropout_day"]
    assert early.max() == EARLY_DAYS
    for table, day in ((visits, "recorded_day"), (events, "start_day")):
        joined = table.join(subjects, on="subject_id", how="left", validate="m:1")
        assert joined["site_id"].null_count() == 0
        end = pl.col("dropout_day").fill_null(STUDY_DAYS + VISIT_WINDOW_DAYS)
        assert joined.filter(pl.col(day) > end).height == 0
    assert (
        visits.filter(~pl.col("is_attended"))["symptom_score"].null_count()
        == visits.filter(~pl.col("is_attended")).height
    )
    assert subjects["randomisation_date"].dtype == pl.Date
    assert subjects["randomisation_date"].min() >= datetime.date(2021, 1, 4)  # type: ignore[operator]


def test_what_is_seen_in_the_first_month_foretells_who_leaves_later() -> None:
    tables = generate("trial_dropout", seed=6, parameters={"subjects": 6000})
    stayed = tables["subjects"].filter(pl.col("early_dropout") == 0)
    early = tables["adverse_events"].filter(pl.col("start_day") <= EARLY_DAYS).group_by("subject_id").len("events")
    frame = stayed.join(early, on="subject_id", how="left").with_columns(pl.col("events").fill_null(0))
    estimate, error = logit_fit(frame.select("events", "age_years").to_numpy(), frame["late_dropout"].to_numpy())
    assert (estimate / error > 3).all()
