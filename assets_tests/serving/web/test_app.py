"""Over HTTP: what is answered, how errors look, and that nothing is answered that cannot be logged."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import html
import json
import re
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from assets_tests.serving.conftest import Client
from assets_tests.worlds.ward.api_server import path_of, record
from assets_tests.worlds.ward.released import Releasable
from assets_tests.worlds.ward.trained import COHORT
from clinical_assets.records.prediction_log.segments import read_log
from clinical_assets.serving.server import ServerError, refuse_open_address
from clinical_assets.serving.web.guards import Guards


def run(client: Client, calls: Callable[[httpx.AsyncClient], Awaitable[Any]], **options: Any) -> Any:
    """Let a coroutine call an application."""

    async def opened() -> Any:
        async with client(**options) as http:
            return await calls(http)

    return asyncio.run(opened())


def posted(client: Client, what: str, body: Any, **options: Any) -> httpx.Response:
    async def call(http: httpx.AsyncClient) -> httpx.Response:
        return await http.post(path_of(what), json=body)

    found: httpx.Response = run(client, call, **options)
    return found


def problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """A refusal in the one shape that all have."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = response.json()
    assert found["type"] == f"urn:clinical-assets:problem:{code}"
    assert found["status"] == status
    assert found["instance"] == f"urn:uuid:{response.headers['x-request-id']}"
    assert {"title", "detail", "cure"} <= found.keys()
    assert "Traceback" not in response.text
    return found


def test_an_answer_holds_tier_action_reasons_warnings_and_the_model(client: Client, released: Releasable) -> None:
    answer = posted(client, "predict", {"records": [record()]}).json()
    (given,) = answer["predictions"]
    assert answer["model"]["synthetic"] is True
    assert given["tier"] in {"Low", "High"}
    shown = given["reasons"]
    total = shown["base"] + sum(each["contribution"] for each in shown["contributions"]) + shown["rest"]
    assert total == pytest.approx(shown["log_odds"])
    told = given["risk_interval"]
    assert told["low"] < given["risk"] < told["high"]
    assert told["level"] == 0.95
    assert "true risk of people with the same values" in answer["model"]["uncertainty"]
    (line,) = read_log(released.settings, COHORT)
    assert line.content is not None
    assert line.content["interval"] == {name: told[name] for name in ("low", "high", "other_tier_prob")}
    assert given["prediction"].startswith(f"{line.seq}-")
    assert (line.request, line.digest) == (answer["request_id"], answer["model"]["digest"])


def test_a_defect_is_answered_and_its_words_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def defect(scope: Scope, receive: Receive, send: Send) -> None:
        raise ValueError("patient X00001")

    async def asked() -> httpx.Response:
        transport = httpx.ASGITransport(Guards(defect, hosts=["localhost"]))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.get("/")

    response = asyncio.run(asked())
    assert response.status_code == 500
    assert response.json()["type"].endswith("internal")
    assert "ValueError" in caplog.text
    assert "X00001" not in response.text + caplog.text


def test_every_refusal_has_one_shape(client: Client) -> None:
    async def calls(http: httpx.AsyncClient) -> list[httpx.Response]:
        json_type = {"content-type": "application/json"}
        predict = path_of("predict")
        return [
            await http.get("/nothing/here"),
            await http.delete(predict),
            await http.post(predict, content=b"x"),
            await http.post(predict, content=b'{"records":', headers=json_type),
            await http.post(predict, content=b"[" * 100_000, headers=json_type),
            await http.post(predict, content=b'{"records": "' + b"x" * 3_000_000 + b'"}', headers=json_type),
            await http.post("/v1/cohorts/nobody/predict", json={"records": [record()]}),
            await http.post("/v1/cohorts/heart_disease/predict", json={"records": [{}]}),
            await http.get("/health", headers={"host": "evil.example"}),
        ]

    wanted = [
        (404, "not-found"),
        (405, "method-not-allowed"),
        (415, "not-json"),
        (400, "malformed"),
        (400, "malformed"),
        (413, "too-large"),
        (404, "unknown-cohort"),
        (503, "not-served"),
        (400, "unknown-host"),
    ]
    for response, (status, code) in zip(run(client, calls), wanted, strict=True):
        problem(response, status, code)
        assert response.headers["x-content-type-options"] == "nosniff"


def test_wrong_types_and_wrong_values_are_told_together_without_identifiers(client: Client) -> None:
    wrong = record(patient_id="secret-1", age_years=300, marker_a="high", shoe_size=43)
    missing = {name: value for name, value in record(patient_id=8).items() if name != "sex"}
    response = posted(client, "predict", {"records": [wrong, missing]})
    found = {each["pointer"]: each for each in problem(response, 422, "refused-values")["errors"]}
    assert set(found) == {
        "/records/0/age_years",
        "/records/0/marker_a",
        "/records/0/shoe_size",
        "/records/1/patient_id",
    }
    assert found["/records/0/age_years"]["permitted"] == "0 to 120 a"
    assert all(each["cure"] for each in found.values())
    assert "secret-1" not in response.text


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_what_is_no_finite_number_is_refused(client: Client, number: str) -> None:
    body = json.dumps({"records": [record(marker_a=12345)]}).replace("12345", number)

    async def call(http: httpx.AsyncClient) -> httpx.Response:
        return await http.post(path_of("predict"), content=body, headers={"content-type": "application/json"})

    found = problem(run(client, call), 422, "refused-values")
    assert [each["pointer"] for each in found["errors"]] == ["/records/0/marker_a"]


def _put_in_the_way(folder: Path) -> None:
    """A file where the folder was: whoever may do anything is stopped by this, too."""
    folder.parent.mkdir(exist_ok=True)
    while not folder.is_file():
        shutil.rmtree(folder, ignore_errors=True)
        # The server may just be making the folder again.
        with contextlib.suppress(IsADirectoryError):
            folder.write_text("in the way")


def test_without_a_log_there_is_no_answer_and_with_it_there_is_one_again(client: Client, released: Releasable) -> None:
    folder = released.settings.predictions / COHORT

    async def calls(http: httpx.AsyncClient) -> list[httpx.Response]:
        _put_in_the_way(folder)
        first = await http.post(path_of("predict"), json={"records": [record()]})
        ready = await http.get("/ready")
        folder.unlink()
        return [first, ready, await http.post(path_of("predict"), json={"records": [record()]})]

    refused, ready, answered = run(client, calls)
    problem(refused, 503, "log-unavailable")
    assert int(refused.headers["retry-after"]) > 0
    assert "risk" not in refused.text
    assert ready.status_code == 503
    assert list(ready.json()["problems"]) == [COHORT]
    assert answered.status_code == 200
    assert [line.seq for line in read_log(released.settings, COHORT)] == [1]


def test_outcomes_and_actions_are_recorded_once(client: Client, released: Releasable) -> None:
    async def calls(http: httpx.AsyncClient) -> list[httpx.Response]:
        answer = await http.post(path_of("predict"), json={"records": [record(), record(patient_id="X2")]})
        first, second = (each["prediction"] for each in answer.json()["predictions"])
        fact = {"prediction": first, "outcome": "dead", "known_at": "2026-02-01"}
        found = [await http.post(path_of("outcomes"), json={"outcomes": [fact, fact]})]
        found += await asyncio.gather(*(http.post(path_of("outcomes"), json={"outcomes": [fact]}) for _ in range(3)))
        done = {"prediction": second, "shown": True, "acted": False, "override_reason": "Palliative."}
        found += [await http.post(path_of("actions"), json={"actions": [done]}) for _ in range(2)]
        wrong = [
            {**fact, "outcome": "alive"},
            {**fact, "prediction": first[:-1] + ("0" if first[-1] != "0" else "1")},
            {**fact, "prediction": second, "outcome": "cured"},
        ]
        return [*found, await http.post(path_of("outcomes"), json={"outcomes": wrong})]

    *good, refused = run(client, calls)
    counts = [(each.json()["recorded"], each.json()["known"]) for each in good]
    assert counts == [(1, 1), (0, 1), (0, 1), (0, 1), (1, 0), (0, 1)]
    found = problem(refused, 422, "refused-values")["errors"]
    assert [(each["pointer"], each["rule"]) for each in found] == [
        ("/outcomes/0/outcome", "conflict"),
        ("/outcomes/1/prediction", "unknown"),
        ("/outcomes/2/outcome", "category"),
    ]
    kinds = [line.kind for line in read_log(released.settings, COHORT)]
    assert kinds == ["prediction", "prediction", "outcome", "action"]


def test_the_document_describes_the_cohort_that_answers(client: Client) -> None:
    async def calls(http: httpx.AsyncClient) -> list[Any]:
        places = ("/openapi.json", "/v1/cohorts", "/health", "/ready", "/", path_of("model"))
        return [(await http.get(each)).json() for each in places]

    document, cohorts, health, ready, root, model = run(client, calls)
    body = document["components"]["schemas"][f"{COHORT}_record"]
    age = body["properties"]["age_years"]
    assert (age["minimum"], age["maximum"], age["x-unit"]) == (0, 120, "a")
    assert body["properties"]["sex"]["enum"] == ["f", "m", None]
    assert "died" not in body["properties"]
    assert body["required"] == ["patient_id"]
    assert path_of("predict") in document["paths"]
    assert {each["cohort"]: each["ready"] for each in cohorts["cohorts"]}[COHORT] is True
    assert (health["status"], ready["ready"], root["openapi"]) == ("alive", True, "/openapi.json")
    assert model["signatures"][0]["printed_name"] == "Bob Brook"


def test_the_page_of_the_document_names_everything_and_a_browser_loads_nothing_for_it(client: Client) -> None:
    async def calls(http: httpx.AsyncClient) -> list[httpx.Response]:
        return [await http.get(each) for each in ("/docs", "/openapi.json")]

    page, document = run(client, calls)
    assert page.headers["content-type"].startswith("text/html")
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "frame-ancestors 'none'" in policy
    style = page.text.split("<style>")[1].split("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in policy
    told = document.json()
    for path, item in told["paths"].items():
        for method in item:
            assert f"<code>{method.upper()} {path}</code>" in page.text
    anchors = re.findall(r' id="([^"]+)"', page.text)
    assert len(anchors) == len(set(anchors))
    links = set(re.findall(r'(?:href|src)="([^"]+)"', page.text))
    assert links <= {"/openapi.json", *(f"#{each}" for each in anchors)}
    assert {f"#{name}" for name in (f"{COHORT}_predict", f"{COHORT}_record", "PredictionsAnswer")} <= links
    assert "<script" not in page.text
    # What is shown as an example is accepted.
    shown = html.unescape(page.text.split(f"<code>POST {path_of('predict')}</code>")[1].split("<pre><code>")[1])
    assert posted(client, "predict", json.loads(shown.split("</code>")[0])).status_code == 200


def test_counts_are_those_of_the_answers(client: Client) -> None:
    async def calls(http: httpx.AsyncClient) -> list[httpx.Response]:
        for number in range(3):
            await http.post(path_of("predict"), json={"records": [record(patient_id=f"P{number}")] * 1})
        await http.post(path_of("predict"), json={"records": []})
        await http.get("/made/up/secret-3")
        return [await http.get(path_of("stats")), await http.get("/metrics")]

    stats, metrics = run(client, calls)
    (model,) = stats.json()["models"]
    assert (model["records"], sum(model["tiers"].values())) == (3, 3)
    assert model["latency_ms"]["p50"] > 0
    route = f'cohort="{COHORT}",route="/v1/cohorts/{{cohort}}/predict"'
    assert f'clinical_assets_api_requests_total{{{route},status="200"}} 3.0' in metrics.text
    assert f'clinical_assets_api_requests_total{{{route},status="422"}} 1.0' in metrics.text
    assert "secret-3" not in metrics.text


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.7", "ward.example", "::"])
def test_an_address_that_others_reach_needs_a_login(host: str) -> None:
    with pytest.raises(ServerError, match="no login"):
        refuse_open_address(host, door=None)
    for own in ("127.0.0.1", "localhost", "::1"):
        refuse_open_address(own, door=None)
