"""What can be asked: the routes below ``/v1/cohorts``.

What belongs here: from a request to a call and from its result to JSON. What does not: errors (``problems``).
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel
from pydantic_core import to_json

from clinical_assets.serving.access.callers import AccessRefused, Caller, Right
from clinical_assets.serving.answers import RecordedAnswer
from clinical_assets.serving.follow_up import ActionsBody, OutcomesBody
from clinical_assets.serving.requests.findings import RequestRefused
from clinical_assets.serving.requests.reading import read_body
from clinical_assets.serving.service import PredictionService
from clinical_assets.serving.web.asking import answered
from clinical_assets.serving.web.problems import Problem

COHORT_PATH = "/v1/cohorts/{cohort}"
#: Names the arm that answered, while an experiment goes on; a mesh may route later requests by it.
ARM_HEADER = "X-Experiment-Arm"
router = APIRouter()


@router.get("/v1/cohorts", summary="Cohorts, and which of them can answer")
async def list_cohorts(request: Request) -> Response:
    """Cohorts that the caller may ask about."""
    service, caller = service_of(request), await caller_of(request)
    problems = await asyncio.to_thread(service.problems)
    listed = []
    for name in service.described():
        if caller.may_see(name):
            ready = name in service.keeper.cohorts() and name not in problems
            listed.append({"cohort": name, "ready": ready})
    return json_response({"cohorts": listed})


@router.get(COHORT_PATH + "/model", summary="The model that answers: card, threshold, who approved it when")
async def model(cohort: str, request: Request) -> Response:
    """Everything that must be known of a model before its answers are used."""
    await allowed_caller(request, cohort, "predict")
    return json_response(await asyncio.to_thread(service_of(request).about, cohort))


@router.post(COHORT_PATH + "/predict", summary="Risk tier and action of one or several records")
async def predict(cohort: str, request: Request) -> Response:
    """Class, tier, action and warnings; risk and reasons with their rights."""
    return await _predict(cohort, request, "predict")


@router.post(COHORT_PATH + "/explain", summary="The same with the contribution of every feature")
async def explain(cohort: str, request: Request) -> Response:
    """As `predict`, with every feature's share of the log-odds."""
    return await _predict(cohort, request, "explain")


@router.post(COHORT_PATH + "/outcomes", summary="Late labels of predictions")
async def outcomes(cohort: str, request: Request) -> Response:
    """What became of people; the same outcome twice changes nothing."""
    return await _record(cohort, request, "outcomes", OutcomesBody)


@router.post(COHORT_PATH + "/actions", summary="What was shown, and what was done")
async def actions(cohort: str, request: Request) -> Response:
    """Whether a score was seen and acted upon; the same twice changes nothing."""
    return await _record(cohort, request, "actions", ActionsBody)


@router.get(COHORT_PATH + "/stats", summary="Counts since the process began")
async def stats(cohort: str, request: Request) -> Response:
    """Answers by tier, share of alerts, mean risk and latency, for each model that answered."""
    await allowed_caller(request, cohort, "stats")
    service = service_of(request)
    service.cohort(cohort)
    return json_response({"cohort": cohort, "models": service.statistics.of(cohort)})


async def _predict(cohort: str, request: Request, asked: Literal["predict", "explain"]) -> Response:
    received = time.perf_counter()
    caller = await allowed_caller(request, cohort, "predict")
    if asked == "explain":
        require_right(request, caller, "reasons", cohort)
    service = service_of(request)
    service.cohort(cohort)
    answer = await answered(
        service,
        caller,
        cohort,
        await json_body(request),
        request=request_id(request),
        asked=asked,
        received=received,
    )
    response = model_response(answer)
    if arms := sorted({each.arm for each in answer.predictions if each.arm is not None}):
        response.headers[ARM_HEADER] = ", ".join(arms)
    return response


async def _record(
    cohort: str, request: Request, right: Right, kind: type[OutcomesBody] | type[ActionsBody]
) -> Response:
    caller = await allowed_caller(request, cohort, right)
    service = service_of(request)
    service.cohort(cohort)
    body, findings = read_body(kind, await json_body(request))
    if body is None:
        raise RequestRefused(findings)
    assert isinstance(body, OutcomesBody | ActionsBody)
    new, known = await service.record(cohort, body, request=request_id(request), key=caller.key)
    return model_response(RecordedAnswer(request_id=request_id(request), recorded=new, known=known))


async def json_body(request: Request, *, also: str = "application/json") -> bytes:
    """The body of a request that is declared as JSON, or as `also`."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in ("application/json", also):
        raise Problem(415, "not-json", "The body is not declared as JSON.", cure=f"Send Content-Type: {also}.")
    return await request.body()


async def allowed_caller(request: Request, cohort: str, right: Right) -> Caller:
    """Who asks, refused without the right for the cohort."""
    caller = await caller_of(request)
    # A caller without the right does not learn which cohorts there are.
    require_right(request, caller, right, cohort)
    return caller


def require_right(request: Request, caller: Caller, right: Right, cohort: str) -> None:
    """Refuse a caller without the right, and count it."""
    try:
        caller.require(right, cohort)
    except AccessRefused as error:
        request.app.state.door.refused(error)
        raise


async def caller_of(request: Request) -> Caller:
    """Who asks."""
    found: Caller = await request.app.state.door.caller(request.scope)
    return found


def service_of(request: Request) -> PredictionService:
    """What answers."""
    found: PredictionService = request.app.state.service
    return found


def request_id(request: Request) -> str:
    """Id of the request."""
    return str(request.scope["state"]["request_id"])


def json_response(content: dict[str, Any], status: int = 200) -> Response:
    """Plain values as JSON."""
    return Response(to_json(content), status, media_type="application/json")


def model_response(content: BaseModel) -> Response:
    """A model as JSON, without fields that were not given."""
    return Response(content.model_dump_json(exclude_unset=True), media_type="application/json")
