"""A Bundle over HTTP: the same answer as for the record, in resources that FHIR's own models and value sets accept."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from fhirpathpy import evaluate as fhirpath
from fhirpathpy.models import models

from assets_tests.serving.conftest import Client
from assets_tests.serving.hospital.sent import NOW, Limited, bundle, condition, encounter, observation, patient, usual
from assets_tests.serving.web.test_app import run
from assets_tests.worlds.ward.api_server import path_of, record
from assets_tests.worlds.ward.released import Releasable
from assets_tests.worlds.ward.trained import COHORT
from clinical_assets.records.prediction_log.segments import read_log

#: Value sets of R4 with a required binding in what is answered.
_REQUIRED = {
    "RiskAssessment.status": {
        "registered",
        "preliminary",
        "final",
        "amended",
        "corrected",
        "cancelled",
        "entered-in-error",
        "unknown",
    },
    "Device.status": {"active", "inactive", "entered-in-error", "unknown"},
    "Device.deviceName.type": {
        "udi-label-name",
        "user-friendly-name",
        "patient-reported-name",
        "manufacturer-name",
        "model-name",
        "other",
    },
    "Provenance.entity.role": {"derivation", "revision", "quotation", "source", "removal"},
    "OperationOutcome.issue.severity": {"fatal", "error", "warning", "information"},
}
_ISSUE_TYPES = {
    "invalid", "structure", "required", "value", "invariant", "security", "login", "unknown", "expired", "forbidden",
    "suppressed", "processing", "not-supported", "duplicate", "multiple-matches", "not-found", "deleted", "too-long",
    "code-invalid", "extension", "too-costly", "business-rule", "conflict", "transient", "lock-error", "no-store",
    "exception", "timeout", "incomplete", "throttled", "informational",
}  # fmt: skip


def evaluate(content: dict[str, Any], path: str) -> list[Any]:
    """FHIRPath over a resource of R4."""
    return list(fhirpath(content, path, {}, models["r4"]))


def all_sent(client: Client, contents: list[Any], *, moment: str = NOW, **options: Any) -> list[httpx.Response]:
    """Answers to several bodies, plain values or bytes."""

    async def calls(http: httpx.AsyncClient) -> list[httpx.Response]:
        headers = {"content-type": "application/fhir+json"}
        bodies = [each if isinstance(each, bytes) else json.dumps(each).encode() for each in contents]
        where = path_of("fhir")
        return [await http.post(where, content=each, params={"moment": moment}, headers=headers) for each in bodies]

    found: list[httpx.Response] = run(client, calls, **options)
    assert {each.headers["content-type"] for each in found} == {"application/fhir+json"}
    return found


def sent(client: Client, content: Any, *, moment: str = NOW, **options: Any) -> httpx.Response:
    return all_sent(client, [content], moment=moment, **options)[0]


def resource(answer: dict[str, Any], kind: str) -> dict[str, Any]:
    (found,) = [each["resource"] for each in answer["entry"] if each["resource"]["resourceType"] == kind]
    return dict(found)


def outcome(response: httpx.Response, status: int) -> list[dict[str, Any]]:
    """The issues of a refusal, after its form was looked at."""
    assert response.status_code == status, response.text
    content = response.json()
    conforms(content)
    assert {each["code"] for each in content["issue"]} <= _ISSUE_TYPES
    return list(content["issue"])


def conforms(content: dict[str, Any]) -> None:
    """Read by FHIR's models (R4B, which differs from R4 in none of these), and by the value sets themselves."""
    from fhir.resources.R4B import get_fhir_model_class

    get_fhir_model_class(content["resourceType"]).model_validate(content)
    for path, allowed in _REQUIRED.items():
        if path.startswith(content["resourceType"] + "."):
            values = evaluate(content, path)
            assert values
            assert set(values) <= allowed


def test_a_bundle_is_answered_as_the_record_that_it_says(client: Client, released: Releasable) -> None:
    response = sent(client, bundle(*usual()))
    assert response.status_code == 200, response.text
    answer = response.json()

    async def call(http: httpx.AsyncClient) -> httpx.Response:
        return await http.post(path_of("predict"), json={"records": [record(visits=[])]})

    plain = run(client, call).json()["predictions"][0]
    assessment = resource(answer, "RiskAssessment")
    (prediction,) = assessment["prediction"]
    assert prediction["probabilityDecimal"] == 100 * plain["risk"]
    assert prediction["qualitativeRisk"]["text"] == plain["tier"]
    assert assessment["mitigation"] == plain["action"]
    first, second = read_log(released.settings, COHORT)
    assert first.content is not None
    assert second.content is not None
    assert first.content["features"] == second.content["features"]
    assert assessment["identifier"][0]["value"].startswith(f"{first.seq}-")
    assert answer["identifier"]["value"] == f"urn:uuid:{first.request}"


def test_resources_of_an_answer_conform_and_are_tagged_as_made_by_ai(client: Client) -> None:
    answer = sent(client, bundle(*usual())).json()
    conforms(answer)
    for entry in answer["entry"]:
        conforms(entry["resource"])
        assert [each["code"] for each in entry["resource"]["meta"]["security"]] == ["AIAST"]
    addresses = {each["resource"]["resourceType"]: each["fullUrl"] for each in answer["entry"]}
    assessment, provenance = resource(answer, "RiskAssessment"), resource(answer, "Provenance")
    assert evaluate(assessment, "RiskAssessment.performer.reference") == [addresses["Device"]]
    assert evaluate(assessment, "RiskAssessment.subject.reference") == ["Patient/X00001"]
    assert evaluate(assessment, "RiskAssessment.occurrence") == [NOW.replace("Z", ".000Z")]
    assert evaluate(provenance, "Provenance.target.reference") == [addresses["RiskAssessment"]]
    assert evaluate(provenance, "Provenance.agent.who.reference") == [addresses["Device"]]
    digest = resource(answer, "Device")["identifier"][0]["value"]
    assert digest in evaluate(provenance, "Provenance.entity.what.identifier.value")
    # ras-2 of R4
    assert evaluate(assessment, "RiskAssessment.prediction.all(probability <= 100)") == [True]


def test_the_interval_of_a_risk_is_a_note_for_those_who_see_the_risk(client: Client) -> None:
    def notes(*rights: str) -> str:
        answer = sent(client, bundle(*usual()), door=Limited(*rights)).json()
        return " ".join(each["text"] for each in resource(answer, "RiskAssessment").get("note", ()))

    assert "95 % interval of the risk" in notes("predict", "probability")
    assert "interval" not in notes("predict")


def test_probability_and_reasons_need_their_rights(client: Client) -> None:
    answer = sent(client, bundle(*usual()), door=Limited("predict")).json()
    (prediction,) = resource(answer, "RiskAssessment")["prediction"]
    assert set(prediction) == {"outcome", "qualitativeRisk"}
    (issue,) = outcome(sent(client, bundle(*usual()), door=Limited("stats")), 403)
    assert issue["code"] == "forbidden"


def test_everything_that_is_wrong_is_told_at_once_where_it_stands(client: Client, released: Releasable) -> None:
    wrong = bundle(
        patient(birthDate="1850-01-01", id="secret-7"),
        observation("8302-2", 170, "mg", subject={"reference": "Patient/secret-7"}),
        observation("2093-3", 5.2, "mmol/L", subject={"reference": "Patient/secret-7"}),
    )
    response = sent(client, wrong)
    found = {each["expression"][0]: each["details"]["text"] for each in outcome(response, 422)}
    assert set(found) == {
        "Bundle.entry[1].resource.valueQuantity.code",
        "Bundle.entry[2].resource.valueQuantity.code",
    }
    assert "Send the quantity in mg/dL" in found["Bundle.entry[2].resource.valueQuantity.code"]
    (issue,) = outcome(sent(client, bundle(wrong["entry"][0]["resource"])), 422)
    assert issue["expression"] == ["Bundle.entry[0].resource.birthDate"]
    assert "0 to 120 a" in issue["diagnostics"]
    assert "secret-7" not in response.text + issue["diagnostics"]
    assert not list(read_log(released.settings, COHORT))


_NOT_TO_BE_USED: list[tuple[list[dict[str, Any]], str | None, str]] = [
    ([observation("2093-3", 1)], "Bundle.entry", "value"),
    ([patient(), patient(id="X2")], "Bundle.entry[1].resource", "value"),
    ([patient(), observation("2093-3", 1, subject={"reference": "Patient/X2"})], None, "value"),
    ([patient(), {**observation("2093-3", 1), "subject": None}], None, "value"),
    ([patient(), observation("2093-3", 1, status="nonsense")], "Bundle.entry[1].resource.status", "code-invalid"),
    ([patient(gender="divers")], "Bundle.entry[0].resource.gender", "code-invalid"),
    ([patient(gender="other")], "Bundle.entry[0].resource.gender", "code-invalid"),
    ([patient(), condition(modifierExtension=[{"url": "urn:not"}])], None, "extension"),
    ([patient(), encounter(serviceProvider={"display": "west"})], None, "code-invalid"),
    ([patient(birthDate="1972-13-04")], "Bundle.entry[0].resource.birthDate", "value"),
    ([patient(), observation("2093-3", 1, effectiveDateTime="yesterday")], None, "value"),
    ([patient(), observation("2093-3", 1, valueQuantity={"value": 1, "unit": "mg/dL"})], None, "value"),
    ([patient(), observation("2093-3", 1), observation("2093-3", 2)], None, "multiple-matches"),
    ([{**patient(), "id": None}], "Bundle.entry", "required"),
]


def test_what_must_not_be_used_is_refused(client: Client) -> None:
    answers = all_sent(client, [bundle(*resources) for resources, _, _ in _NOT_TO_BE_USED])
    for response, (_, expression, code) in zip(answers, _NOT_TO_BE_USED, strict=True):
        (issue,) = outcome(response, 422)
        assert issue["code"] == code, response.text
        assert expression in (None, issue["expression"][0])


_NO_BUNDLES: list[tuple[Any, int, str]] = [
    (b"{", 400, "structure"),
    (b"[" * 100_000, 400, "structure"),
    (b'{"resourceType": "Bundle", "type": "collection", "entry": [{"resource": {"x": NaN}}]}', 400, "structure"),
    ([], 422, "value"),
    ({"resourceType": "Patient"}, 422, "code-invalid"),
    ({"resourceType": "Bundle", "type": "heap"}, 422, "code-invalid"),
    ({"resourceType": "Bundle", "type": "collection", "entry": [{"resource": 7}]}, 422, "value"),
    ({"resourceType": "Bundle", "type": "collection", "entry": [{"resource": {"resourceType": []}}]}, 422, "value"),
    (bundle({"resourceType": "Patient", "identifier": 7, "id": 3}), 422, "value"),
    (bundle(*[patient()] * 2001), 422, "too-long"),
]


def test_what_is_no_bundle_is_refused_without_a_failure(client: Client) -> None:
    answers = all_sent(client, [content for content, _, _ in _NO_BUNDLES])
    for response, (_, status, code) in zip(answers, _NO_BUNDLES, strict=True):
        assert code in {each["code"] for each in outcome(response, status)}


def test_a_moment_that_is_none_or_to_come_is_refused(client: Client) -> None:
    for moment in ("2999-01-01T00:00:00Z", "2026-11-20T10:00:00", "soon"):
        (issue,) = outcome(sent(client, bundle(*usual()), moment=moment), 422)
        assert "moment" in issue["details"]["text"].lower()


def test_a_cohort_without_codes_says_so(released: Releasable, request: pytest.FixtureRequest) -> None:
    tables = released.trained.catalogue.spec(COHORT).model_dump(mode="json", by_alias=True)["tables"]
    for column in tables["subjects"]["columns"].values():
        column.pop("code", None)
    released.trained.describe(tables=tables)
    client: Client = request.getfixturevalue("client")
    (issue,) = outcome(sent(client, bundle(*usual())), 404)
    assert issue["code"] == "not-supported"
