"""CDS Hooks 2.0: discovery, a card on opening a chart, and what became of it."""

from __future__ import annotations

import uuid
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets_tests.serving.conftest import Client
from assets_tests.serving.hospital.sent import Limited, bundle, condition, encounter, observation, patient
from assets_tests.serving.web.test_app import problem, run
from assets_tests.worlds.ward.api_server import path_of
from assets_tests.worlds.ward.released import Releasable
from assets_tests.worlds.ward.trained import COHORT
from clinical_assets.records.prediction_log.segments import read_log
from clinical_assets.serving.hospital.cards import card_id, prediction_of

SERVICE = f"/cds-services/{COHORT}"


def call(**changes: Any) -> dict[str, Any]:
    """A chart was opened; the EHR sends what the service's prefetch asks for."""
    return {
        "hook": "patient-view",
        "hookInstance": str(uuid.uuid4()),
        "fhirServer": "https://ehr.example/fhir",
        "context": {"userId": "Practitioner/7", "patientId": "X00001", "encounterId": "E1"},
        "prefetch": {
            "patient": patient(),
            "encounters": bundle(encounter(), kind="searchset"),
            "height_m": bundle(observation("8302-2", 170, "cm"), kind="searchset"),
            "marker_a": bundle(observation("2093-3", 3.0), kind="searchset"),
            "marker_b": None,
            "frail": bundle(condition(), kind="searchset"),
        },
        **changes,
    }


def posted(client: Client, *bodies: Any, where: str = SERVICE, **options: Any) -> list[httpx.Response]:
    async def calls(http: httpx.AsyncClient) -> list[httpx.Response]:
        return [await http.post(where, json=each) for each in bodies]

    found: list[httpx.Response] = run(client, calls, **options)
    return found


def test_a_cohort_is_a_service_whose_prefetch_asks_for_what_its_codes_name(client: Client) -> None:
    async def calls(http: httpx.AsyncClient) -> httpx.Response:
        return await http.get("/cds-services")

    (service,) = run(client, calls).json()["services"]
    assert (service["id"], service["hook"]) == (COHORT, "patient-view")
    assert set(service["prefetch"]) == set(call()["prefetch"])
    searched = service["prefetch"]["marker_a"]
    assert searched == (
        "Observation?patient={{context.patientId}}&code=http://loinc.org|2093-3,http://loinc.org|14647-2"
        "&status=final,amended,corrected&_sort=-date&_count=5"
    )
    assert service["prefetch"]["patient"] == "Patient/{{context.patientId}}"
    assert run(client, calls, door=Limited("stats")).json() == {"services": []}


def test_a_card_says_tier_action_source_and_reasons_to_override(client: Client, released: Releasable) -> None:
    (response,) = posted(client, call())
    assert response.status_code == 200, response.text
    (card,) = response.json()["cards"]
    assert len(card["summary"]) < 140
    assert "High" in card["summary"]
    assert card["indicator"] in {"info", "warning", "critical"}
    assert card["source"]["label"]
    assert all({"code", "system", "display"} <= each.keys() for each in card["overrideReasons"])
    assert card["selectionBehavior"] == "at-most-one"
    assert [each["label"] for each in card["suggestions"]] == ["Look."]
    for words in ("Risk ", "Reasons", "made up", "Made by AI", "not known; the model had to do without it"):
        assert words in card["detail"]
    (line,) = read_log(released.settings, COHORT)
    assert line.content is not None
    assert line.content["features"]["height_m"] == 1.7
    assert prediction_of(card["uuid"]).startswith(f"{line.seq}-")


def test_a_card_shows_what_the_rights_allow(client: Client) -> None:
    (response,) = posted(client, call(), door=Limited("predict"))
    (card,) = response.json()["cards"]
    assert "Risk " not in card["detail"]
    assert "Reasons" not in card["detail"]
    assert posted(client, call(), door=Limited("stats"))[0].status_code == 403


def test_what_cannot_be_a_call_is_refused(client: Client, released: Releasable) -> None:
    lacking = call()
    del lacking["prefetch"]["marker_a"]
    other = call(context={"patientId": "X2"})
    stranger = call()
    stranger["prefetch"]["marker_a"] = bundle(observation("2093-3", 1, subject={"reference": "Patient/X2"}))
    foreign = call()
    foreign["prefetch"]["marker_a"] = observation("2093-3", 1, "mmol/L")
    nothing = call()
    nothing["prefetch"]["marker_a"] = 7
    wanted = [
        (lacking, 412, "prefetch-missing"),
        (call(prefetch=None), 412, "prefetch-missing"),
        (call(hook="order-sign"), 400, "another-hook"),
        (call(hookInstance="1"), 422, "refused-values"),
        (other, 422, "refused-values"),
        (stranger, 422, "refused-values"),
        (foreign, 422, "refused-values"),
        (nothing, 422, "refused-values"),
        ([], 422, "refused-values"),
    ]
    for response, (_, status, code) in zip(posted(client, *(each for each, _, _ in wanted)), wanted, strict=True):
        problem(response, status, code)
    assert not list(read_log(released.settings, COHORT))
    problem(posted(client, call(), where="/cds-services/nobody")[0], 404, "unknown-cohort")
    problem(posted(client, call(), where="/cds-services/heart_disease")[0], 503, "not-served")


def test_feedback_becomes_actions_once(client: Client, released: Releasable) -> None:
    first, second = (each.json()["cards"][0]["uuid"] for each in posted(client, call(), call()))
    override = {"reason": {"code": "patient-declined", "system": "urn:x"}, "userComment": "Wants to think."}
    stamp = "2026-11-20T10:05:00Z"
    body = {
        "feedback": [
            {"card": first, "outcome": "accepted", "acceptedSuggestions": [{"id": "s"}], "outcomeTimestamp": stamp},
            {"card": second, "outcome": "overridden", "overrideReason": override, "outcomeTimestamp": stamp},
        ]
    }
    answers = posted(client, body, body, where=f"{SERVICE}/feedback")
    assert [(each.json()["recorded"], each.json()["known"]) for each in answers] == [(2, 0), (0, 2)]
    done = [line.content for line in read_log(released.settings, COHORT) if line.kind == "action"]
    assert [(each["shown"], each["acted"], each["override_reason"]) for each in done if each is not None] == [
        (True, True, None),
        (True, False, "The patient declined: Wants to think."),
    ]
    strange = {"feedback": [{"card": str(uuid.uuid4()), "outcome": "accepted"}]}
    mistyped = {"feedback": [{"card": first[:-4] + "fffc", "outcome": "accepted"}]}
    for wrong in posted(client, strange, mistyped, {"feedback": []}, where=f"{SERVICE}/feedback"):
        problem(wrong, 422, "refused-values")
    (refused,) = posted(client, strange, where=f"{SERVICE}/feedback")
    assert refused.json()["errors"][0]["pointer"] == "/feedback/0/card"
    assert posted(client, body, where=f"{SERVICE}/feedback", door=Limited("predict"))[0].status_code == 403


def test_a_card_of_another_cohort_is_none_of_this_one(client: Client) -> None:
    (response,) = posted(client, {"feedback": [{"card": card_id(f"1-{7:016x}"), "outcome": "accepted"}]},
                         where=f"{SERVICE}/feedback")  # fmt: skip
    problem(response, 422, "refused-values")


@given(number=st.integers(1, 2**48 - 1), hashed=st.integers(0, 2**64 - 1))
def test_a_card_names_its_prediction(number: int, hashed: int) -> None:
    name = f"{number}-{hashed:016x}"
    found = uuid.UUID(card_id(name))
    assert (found.version, found.variant) == (8, uuid.RFC_4122)
    assert prediction_of(str(found)) == name


@given(value=st.uuids())
def test_any_other_uuid_names_no_prediction(value: uuid.UUID) -> None:
    named = prediction_of(str(value))
    assert named == f"1-{0:016x}" or card_id(named) == str(value)


def test_a_log_that_is_too_long_has_no_cards() -> None:
    with pytest.raises(ValueError, match="2\\*\\*48"):
        card_id(f"{2**48}-{0:016x}")


def test_the_document_describes_what_hospitals_ask(client: Client) -> None:
    async def calls(http: httpx.AsyncClient) -> dict[str, Any]:
        found: dict[str, Any] = (await http.get("/openapi.json")).json()
        return found

    paths = run(client, calls)["paths"]
    assert {"/cds-services", SERVICE, f"{SERVICE}/feedback", path_of("fhir")} <= paths.keys()
    assert "412" in paths[SERVICE]["post"]["responses"]
    assert "application/fhir+json" in paths[path_of("fhir")]["post"]["responses"]["422"]["content"]
