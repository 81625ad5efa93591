"""The data quality gate passes sound data, fails on each planted fault, and says when it cannot tell."""

from __future__ import annotations

import copy
import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from assets_tests.worlds.ward.trained import DESCRIPTION, Trained, made_records, take_in, train, write_records
from clinical_assets.foundation.errors import InsufficientData
from clinical_assets.governance.gates.data_quality import gate as data_quality
from clinical_assets.governance.verdicts.verdict import Verdict, summary
from clinical_assets.statistics.calibration.label_noise import confident_learning, label_noise


def _judged(trained: Trained, **arguments: Any) -> dict[str, Verdict]:
    return {verdict.criterion: verdict for verdict in data_quality.evaluate(trained.candidate(), **arguments)}


def _spoil(trained: Trained, *statements: str) -> None:
    with trained.candidate().warehouse.writer() as connection:
        for statement in statements:
            connection.execute(statement)


def test_sound_data_pass_twice_with_the_same_verdicts(trained: Trained) -> None:
    once, again = data_quality.evaluate(trained.candidate()), data_quality.evaluate(trained.candidate())
    assert once == again
    assert summary(once) == "pass"
    assert {verdict.n for verdict in once if verdict.criterion.startswith("missing_share")} == {900}


@pytest.mark.parametrize(
    ("criterion", "statement"),
    [
        ("schema", "ALTER TABLE validated.subjects DROP COLUMN marker_a"),
        ("schema", "ALTER TABLE validated.subjects ALTER COLUMN age_years TYPE VARCHAR"),
        ("schema", "DROP TABLE validated.visits"),
        ("keys_unique", "INSERT INTO validated.visits SELECT * FROM validated.visits LIMIT 1"),
        ("references", "UPDATE validated.visits SET patient_id = 'nobody' WHERE _row = 1"),
        ("ranges", "UPDATE validated.subjects SET age_years = 150 WHERE _row = 1"),
        ("ranges", "UPDATE validated.subjects SET sex = 'x' WHERE _row = 1"),
        ("no_record_lost", "DELETE FROM validated.visits WHERE _row = 1"),
        ("implausible_values[subjects.age_years]", "UPDATE validated.subjects SET age_years = 3 WHERE _row < 90"),
        ("unit_mixups[subjects.height_m]", "UPDATE validated.subjects SET height_m = height_m * 100 WHERE _row < 90"),
        ("missing_share[marker_b]", "UPDATE model.features SET marker_b = NULL WHERE patient_id < 'W00500'"),
        ("data_unchanged", "UPDATE model.features SET marker_b = marker_b + 1e-9 WHERE patient_id = 'W00007'"),
        ("classes_known", "UPDATE model.outcomes SET outcome = 2 WHERE patient_id = 'W00007'"),
        (
            "leakage",
            "UPDATE model.features SET marker_b = o.outcome FROM model.outcomes AS o "
            "WHERE features.patient_id = o.patient_id",
        ),
    ],
)
def test_each_fault_in_a_table_fails_its_criterion(trained: Trained, criterion: str, statement: str) -> None:
    _spoil(trained, statement)
    if criterion == "classes_known":
        # The search for leaks refuses classes that are not described, so only this criterion is looked at.
        from clinical_assets.governance.gates.data_quality.feature_checks import class_counts
        from clinical_assets.warehouse.features.feature_table import load_feature_table

        candidate = trained.candidate()
        found = class_counts(load_feature_table(candidate.warehouse, candidate.spec), candidate.spec)
        verdict = next(each for each in found if each.criterion == criterion)
    else:
        verdict = _judged(trained)[criterion]
    assert verdict.verdict == "fail"
    assert verdict.value is None or verdict.value > 0


def test_refused_records_and_copies_are_held_against_the_stricter_limit(trained: Trained) -> None:
    subjects, visits = made_records()
    for row in subjects[:20]:
        row["age_years"] = 999
    visits += visits[:100]
    folder = trained.settings.catalogue[0]
    write_records(folder, "subjects", subjects)
    write_records(folder, "visits", visits)
    trained.describe(limits={"refused_share": 0.01})
    tables = copy.deepcopy(DESCRIPTION["tables"])
    tables["visits"]["refused_limit"] = 0.2
    trained.describe(tables=tables)
    take_in(trained.settings)
    found = _judged(trained)
    share = found["refused_share[subjects]"]
    assert (share.verdict, share.value, share.n, share.events) == ("fail", 20 / 900, 900, 20)
    assert share.ci_low is not None
    assert share.ci_high is not None
    assert share.ci_low < 20 / 900 < share.ci_high
    assert found["duplicates[visits]"].verdict == "fail"
    assert found["duplicates[visits]"].events == 100
    assert found["duplicates[subjects]"].verdict == "pass"


def test_a_class_below_the_minimum_fails(trained: Trained) -> None:
    trained.describe(limits={"minimum_events": 400})
    found = _judged(trained)
    assert (found["class_count[dead]"].verdict, found["class_count[alive]"].verdict) == ("fail", "pass")


def test_age_is_counted_from_the_oldest_table_and_judged_only_against_a_limit(trained: Trained) -> None:
    later = dt.datetime.now(dt.UTC) + dt.timedelta(days=40)
    free = _judged(trained, now=later)["freshness"]
    assert (free.verdict, free.value, free.limit) == ("pass", 40.0, None)
    assert "No limit is set" in free.reason
    trained.describe(limits={"data_age_days": 30})
    assert _judged(trained, now=later)["freshness"].verdict == "fail"
    assert _judged(trained)["freshness"].verdict == "pass"
    _spoil(trained, "DELETE FROM meta.ingestions WHERE table_name = 'visits'")
    assert _judged(trained)["freshness"].verdict == "insufficient"


@pytest.mark.parametrize(("action", "verdict"), [("refuse", "fail"), ("ask", "insufficient"), ("warn", "pass")])
def test_a_leak_that_the_training_reported_counts_a_question_waits_and_a_suspicion_is_listed(
    trained: Trained, action: str, verdict: str
) -> None:
    path = trained.training.report / "results.json"
    results = json.loads(path.read_text(encoding="utf-8"))
    results["leakage"] = [
        {"column": "marker_b", "kind": "copy", "evidence": "seen", "value": 1.0, "action": action, "cure": "Drop it."}
    ]
    path.write_text(json.dumps(results), encoding="utf-8")
    found = _judged(trained)["leakage"]
    assert found.verdict == verdict
    place = {"refuse": "refused", "ask": "asked", "warn": "warned"}[action]
    assert [row["column"] for row in found.evidence[place]] == ["marker_b"]


def _cohort(n: int, *, flipped: float, strength: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels and out-of-fold risks of a logistic model fitted to labels of which a share is wrong."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_predict

    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 4))
    odds = -0.8 + strength * (X @ np.array([0.8, -0.6, 0.4, 0.3]))
    y = (rng.random(n) < 1 / (1 + np.exp(-odds))).astype(np.int64)
    y = np.where(rng.random(n) < flipped, 1 - y, y)
    return y, cross_val_predict(LogisticRegression(), X, y, cv=5, method="predict_proba")[:, 1]


def test_overlap_of_the_classes_is_not_taken_for_wrong_labels() -> None:
    y, risk = _cohort(3000, flipped=0.0, strength=0.9, seed=1)
    found = label_noise(y, risk)
    assert found.ci_low == 0
    assert found.ci_high < 0.1
    called, by_chance = confident_learning(y, risk, seed=1)
    # The count of confident disagreements is as high as it is where no label is wrong: it says nothing.
    assert called > 0.1
    assert abs(called - by_chance) < 0.03


@pytest.mark.parametrize("flipped", [0.05, 0.15])
def test_the_interval_covers_the_share_of_flipped_labels(flipped: float) -> None:
    inside = []
    for seed in range(5):
        y, risk = _cohort(3000, flipped=flipped, strength=2.5, seed=seed)
        found = label_noise(y, risk)
        inside.append(found.ci_low <= flipped <= found.ci_high)
    assert sum(inside) >= 4


def test_labels_that_the_risks_do_not_rank_cannot_be_judged() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(InsufficientData):
        label_noise(rng.integers(0, 2, 500), rng.uniform(0.4, 0.6, 500))
    with pytest.raises(InsufficientData):
        label_noise(np.r_[np.ones(5, int), np.zeros(500, int)], rng.uniform(0.4, 0.6, 505))


def _flip(share: float) -> Callable[[list[dict[str, Any]], list[dict[str, Any]]], None]:
    def change(subjects: list[dict[str, Any]], _: list[dict[str, Any]]) -> None:
        rng = np.random.default_rng(9)
        for row in subjects:
            odds = 6 * (float(row["marker_b"]) + 0.2)
            row["died"] = "yes" if (rng.random() < 1 / (1 + np.exp(odds))) != (rng.random() < share) else "no"

    return change


def test_a_cohort_with_many_wrong_labels_fails(tmp_path: Path) -> None:
    spoilt = train(tmp_path, change=_flip(0.25))
    found = _judged(spoilt)["label_noise"]
    assert found.verdict == "fail"
    assert found.ci_low is not None
    assert found.ci_low > 0.1
