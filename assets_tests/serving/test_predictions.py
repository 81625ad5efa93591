"""The API says of every record what the batch and the training said of it, and says nothing that is not on disk."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from assets_tests.worlds.ward.api_server import record
from assets_tests.worlds.ward.released import Releasable
from assets_tests.worlds.ward.served import Served, new_patients
from assets_tests.worlds.ward.trained import COHORT
from clinical_assets.modelling.bundle.batch_scoring import score_batch
from clinical_assets.modelling.bundle.record_scoring import TableRows
from clinical_assets.records.keys.pseudonyms import Pseudonyms
from clinical_assets.records.prediction_log.segments import read_log
from clinical_assets.serving.predictions import CohortPredictions, PredictionRequest
from clinical_assets.serving.requests.findings import RequestRefused
from clinical_assets.serving.scoring.champion_scorer import UnitScore
from clinical_assets.serving.service import PredictionService
from clinical_assets.warehouse.store.warehouse import Warehouse


def asked(records: Sequence[dict[str, Any]]) -> PredictionRequest:
    return PredictionRequest("r", "local", "predict", records, time.perf_counter())


def as_sent(warehouse: Warehouse, schema: str) -> list[dict[str, Any]]:
    """Records of the warehouse as a caller would send them."""
    subjects = warehouse.query(f"SELECT * FROM {schema}.subjects ORDER BY patient_id")
    visits = warehouse.query(f"SELECT patient_id, visit_number FROM {schema}.visits")
    nested: dict[str, list[dict[str, Any]]] = {}
    for row in visits.iter_rows(named=True):
        nested.setdefault(row["patient_id"], []).append({"visit_number": row["visit_number"]})
    kept = [name for name in subjects.columns if name not in {"_row", "died", "batch"}]
    return [{**row, "visits": nested.get(row["patient_id"], [])} for row in subjects.select(kept).iter_rows(named=True)]


def scored(predictions: CohortPredictions, requests: Sequence[Sequence[dict[str, Any]]]) -> dict[str, tuple[Any, ...]]:
    """Risk, its interval, alert and tier of each patient, from requests that were gathered into one batch."""
    found = {}
    for result in predictions.score([asked(each) for each in requests]):
        if isinstance(result, Exception):
            raise result
        for key, score in zip(result.checked.keys, result.scores, strict=True):
            found[key[0]] = (score.risk, *_bounds(score), score.is_alert, score.tier)
    return found


def _bounds(score: UnitScore) -> tuple[float, float, float]:
    assert score.interval is not None
    return score.interval.low, score.interval.high, score.interval.other_tier_prob


def test_api_batch_and_training_agree_on_every_row_alone_and_in_any_company(
    service: PredictionService, released: Releasable, tmp_path: Path
) -> None:
    predictions, warehouse = service.cohort(COHORT).predictions, Warehouse(COHORT, released.settings)
    bundle = service.keeper.current(COHORT).bundle
    served = Served(released.trained, tmp_path / "sent")
    batch = served.receive(*new_patients(60, seed=8))
    score_batch(warehouse, served.spec, bundle, batch)
    kept = warehouse.query(
        "SELECT patient_id, risk, risk_low, risk_high, other_tier_prob, is_alert, tier FROM monitoring.scored_records"
    )
    by_batch = {row[0]: row[1:] for row in kept.iter_rows()}

    received = as_sent(warehouse, "received_valid")
    assert len(received) == 60
    alone: dict[str, tuple[Any, ...]] = {}
    for each in received:
        alone |= scored(predictions, [[each]])
    assert alone == by_batch
    assert scored(predictions, [received]) == by_batch
    assert scored(predictions, [received[i : i + 7] for i in range(0, 60, 7)]) == by_batch

    # And what the training kept of its holdout, for the model that was trained on these records.
    trained = as_sent(warehouse, "validated")
    newest = warehouse.query(
        f"SELECT patient_id, risk FROM {_reference(bundle.digest)} WHERE part = 'holdout' ORDER BY patient_id"
    )
    again = scored(predictions, [trained])
    assert len(trained) == 300
    assert newest.height > 40
    assert newest["risk"].to_list() == [again[name][0] for name in newest["patient_id"]]


def _reference(digest: str) -> str:
    return f'reference."{digest.removeprefix("sha256:")[:16]}"'


def test_reasons_base_and_rest_add_up_to_the_served_log_odds(service: PredictionService) -> None:
    (result,) = service.cohort(COHORT).predictions.score([asked([record(), record(patient_id="X2", marker_a=-3.5)])])
    assert not isinstance(result, Exception)
    for score in result.scores:
        assert score.reasons.log_odds == pytest.approx(math.log(score.risk / (1 - score.risk)), abs=1e-9)
        for shown in (score.reasons, score.reasons.largest(2)):
            total = shown.base + math.fsum(each.contribution for each in shown.named) + shown.rest
            assert total == pytest.approx(shown.log_odds, abs=1e-12)
        shares = [abs(each.contribution) for each in score.reasons.named]
        assert shares == sorted(shares, reverse=True)
        marker = next(each for each in score.reasons.named if each.feature == "marker_a")
        assert (marker.label, marker.unit, marker.value) == ("A marker", "mg/dL", score.features["marker_a"])
        assert marker.direction == ("raises" if marker.contribution > 0 else "lowers")


def test_warnings_tell_of_what_training_did_not_see_and_of_what_was_missing(service: PredictionService) -> None:
    odd = record(age_years=110, marker_b=None)
    (result,) = service.cohort(COHORT).predictions.score([asked([odd])])
    assert not isinstance(result, Exception)
    found = {(each.code, each.field) for each in (*result.checked.warnings[0], *result.scores[0].warnings)}
    assert found == {
        ("implausible", "age_years"),
        ("outside_training_range", "age_years"),
        ("missing_value", "marker_b"),
    }


def test_a_record_that_lacks_more_than_training_rows_did_carries_a_warning_in_words(service: PredictionService) -> None:
    bundle = service.keeper.current(COHORT).bundle
    assert bundle.description.reference is not None
    usual = bundle.description.reference.usually_missing()
    empty, full = {"patient_id": "X9", "visits": [{"visit_number": 1}]}, record()
    (result,) = service.cohort(COHORT).predictions.score([asked([empty, full])])
    assert not isinstance(result, Exception)
    little, much = result.scores
    lacking = [name for name, value in little.features.items() if value is None]
    assert len(lacking) > usual >= sum(value is None for value in much.features.values())
    first = little.warnings[0]
    assert first.code == "mostly_missing"
    assert first.detail.startswith(
        f"{len(lacking)} of {len(little.features)} values that the model reads are not known"
    )
    assert "A marker" in first.detail
    assert "mostly_missing" not in {each.code for each in much.warnings}


def test_everything_wrong_is_found_at_once_and_in_its_own_request(service: PredictionService) -> None:
    wrong = [record(patient_id="secret-7", age_years=300, sex="q"), record(patient_id="secret-7", visits=[{}, {}])]
    first, second = service.cohort(COHORT).predictions.score([asked(wrong), asked([record()])])
    assert isinstance(first, RequestRefused)
    assert not isinstance(second, Exception)
    found = {each.pointer: each for each in first.findings}
    assert set(found) == {
        "/records/0/age_years",
        "/records/0/sex",
        "/records/1/patient_id",
        "/records/1/visits/0/visit_number",
        "/records/1/visits/1/visit_number",
    }
    age = found["/records/0/age_years"]
    assert (age.rule, age.value, age.permitted) == ("range", "300", "0 to 120 a")
    assert "secret-7" not in repr(first.findings)


def test_the_same_patient_in_two_requests_at_once_gets_two_answers_of_their_own(service: PredictionService) -> None:
    predictions = service.cohort(COHORT).predictions
    first, second = predictions.score([asked([record(marker_a=-2.0)]), asked([record(marker_a=2.0)])])
    assert not isinstance(first, Exception)
    assert not isinstance(second, Exception)
    assert first.scores[0].features["marker_a"] == -2.0
    assert second.scores[0].features["marker_a"] == 2.0
    assert first.scores[0].risk < second.scores[0].risk


def test_an_erased_subject_is_refused_from_the_next_answer_on(service: PredictionService, released: Releasable) -> None:
    predictions = service.cohort(COHORT).predictions
    (before,) = predictions.score([asked([record()])])
    assert not isinstance(before, Exception)
    Pseudonyms(released.settings, COHORT).erase("X00001")
    (after,) = predictions.score([asked([record()])])
    assert isinstance(after, RequestRefused)
    assert [each.rule for each in after.findings] == ["erased"]


def test_an_answer_is_in_the_log_when_it_is_given_and_names_nobody(
    service: PredictionService, released: Releasable
) -> None:
    predictions = service.cohort(COHORT).predictions

    async def ask() -> list[Any]:
        each = [predictions.answer(asked([record(patient_id=f"P-{number}")])) for number in range(20)]
        return list(await asyncio.gather(*each))

    answers = asyncio.run(ask())
    lines = {f"{line.seq}": line for line in read_log(released.settings, COHORT)}
    assert len(lines) == 20
    for answer in answers:
        (unit,) = answer.units
        line = lines[unit.receipt.name.split("-")[0]]
        assert line.content is not None
        assert (line.digest, line.content["risk"]) == (answer.served.bundle.digest, unit.score.risk)
        assert line.content["features"] == dict(unit.score.features)
    assert len({line.content["subject"] for line in lines.values() if line.content}) == 20
    text = b"".join(path.read_bytes() for path in (released.settings.predictions / COHORT).glob("*.jsonl"))
    assert b"P-1" not in text


def test_frames_of_one_statement_hold_the_rows_of_all_requests(service: PredictionService) -> None:
    """Concurrent requests share one statement: what was gathered is scored in one call."""
    predictions = service.cohort(COHORT).predictions
    scorer, calls = service.keeper.current(COHORT).scorer, []
    own = scorer.score

    def counted(records: dict[str, TableRows]) -> Any:
        calls.append(len(records["subjects"].rows))
        return own(records)

    scorer.score = counted  # type: ignore[method-assign,assignment]
    predictions.score([asked([record(patient_id=f"P{number}")]) for number in range(9)])
    assert calls == [9]
