"""The OpenAPI document: one set of operations for each cohort that answers, with the fields of its own description.

What belongs here: describing what the routes do. What does not: doing it. The document is made when it is asked for,
because a cohort that is promoted today answers today.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from clinical_assets.serving.answers import PredictionsAnswer, RecordedAnswer
from clinical_assets.serving.follow_up import ActionsBody, OutcomesBody
from clinical_assets.serving.hospital.assessments import speaks_fhir
from clinical_assets.serving.hospital.cards import FeedbackBody, HookRequest
from clinical_assets.serving.service import PredictionService
from clinical_assets.serving.web.problems import MEDIA_TYPE, ProblemDetails

_FHIR_JSON = "application/fhir+json"
_REF = "#/components/schemas/{model}"
_PROBLEMS = {
    400: "The body is no JSON, or the host is another one.",
    401: "No valid key.",
    403: "The key lacks the right, or is not for this cohort.",
    404: "No such cohort or address.",
    405: "The address does not take this method.",
    409: "The job has no scores yet.",
    412: "Prefetch lacks a key of the service.",
    408: "The body did not come in time.",
    413: "The body is too large.",
    415: "The body is not declared as JSON.",
    422: "Values are refused; `errors` lists all of them.",
    429: "Too many requests; see Retry-After.",
    503: "No champion, or no log: nothing is answered that cannot be logged. See Retry-After.",
}


def openapi_document(service: PredictionService, *, version: str, secured: bool) -> dict[str, Any]:
    """The document for the cohorts that answer now.

    Parameters
    ----------
    service : PredictionService
        Knows them.
    version : str
        Of the package.
    secured : bool
        Whether a key is asked for.
    """
    problems = service.keeper.problems()
    cohorts = [name for name in service.keeper.cohorts() if name not in problems]
    bodies: dict[str, type[BaseModel]] = {name: service.cohort(name).model for name in cohorts}
    asked: list[type[BaseModel]] = [*bodies.values(), OutcomesBody, ActionsBody, HookRequest, FeedbackBody]
    answers: list[type[BaseModel]] = [PredictionsAnswer, RecordedAnswer, ProblemDetails]
    taken: list[tuple[type[BaseModel], JsonSchemaMode]] = [(model, "validation") for model in asked]
    given: list[tuple[type[BaseModel], JsonSchemaMode]] = [(model, "serialization") for model in answers]
    names, document = models_json_schema([*taken, *given], ref_template=_REF)
    refs = {model: schema for (model, _), schema in names.items()}
    paths: dict[str, Any] = {
        "/": {"get": _read("What this is")},
        "/health": {"get": _read("Whether the process lives")},
        "/ready": {"get": _read("Whether every cohort can answer", more={503: "A cohort cannot answer; says why."})},
        "/metrics": {"get": _read("Counts for Prometheus", media="text/plain")},
        "/docs": {"get": _read("This document as a page", media="text/html")},
        "/v1/cohorts": {"get": _read("Cohorts, and which of them can answer", problems=(401, 429))},
        "/cds-services": {"get": _read("Cohorts as CDS services (CDS Hooks 2.0)", problems=(401, 429))},
    }
    for name in cohorts:
        title = service.cohort(name).spec.title
        base = f"/v1/cohorts/{name}"
        answer = refs[PredictionsAnswer]
        paths |= {
            f"{base}/model": {"get": _read(f"The model of: {title}", problems=(401, 403, 429, 503))},
            f"{base}/stats": {"get": _read(f"Counts of: {title}", problems=(401, 403, 429))},
            f"{base}/predict": {"post": _write(f"Tier and action: {title}", refs[bodies[name]], answer)},
            f"{base}/explain": {"post": _write(f"With every feature's share: {title}", refs[bodies[name]], answer)},
            f"{base}/outcomes": {"post": _write("Late labels", refs[OutcomesBody], refs[RecordedAnswer])},
            f"{base}/actions": {"post": _write("What was shown and done", refs[ActionsBody], refs[RecordedAnswer])},
            f"{base}/jobs": {"post": _upload(f"Large files: {title}", list(service.cohort(name).spec.tables))},
            f"{base}/jobs/{{job}}": {"get": _of_job("What became of a job")},
            f"{base}/jobs/{{job}}/scores": {"get": _of_job("Scores of a job", media="text/csv", problems=(409,))},
        }
        if speaks_fhir(service.cohort(name).spec):
            card, recorded = {"type": "object"}, refs[RecordedAnswer]
            paths |= {
                f"{base}/fhir": {"post": _fhir(f"A FHIR R4 Bundle to a RiskAssessment: {title}")},
                f"/cds-services/{name}": {"post": _write(f"A card: {title}", refs[HookRequest], card, more=(412,))},
                f"/cds-services/{name}/feedback": {"post": _write("Feedback", refs[FeedbackBody], recorded)},
            }
        for path, item in paths.items():
            if path.startswith((f"{base}/", f"/cds-services/{name}")):
                for method, operation in item.items():
                    operation |= {"tags": [name], "operationId": f"{method}_{path.strip('/').replace('/', '_')}"}
    content: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "clinical_assets",
            "version": version,
            "description": "Signed clinical risk models. Every answer is on disk before it leaves.",
        },
        "paths": paths,
        "components": {"schemas": document["$defs"]},
    }
    if secured:
        content["components"]["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
        for path, item in paths.items():
            if path.startswith(("/v1/", "/cds-services")):
                for operation in item.values():
                    operation["security"] = [{"bearer": []}]
    return content


def _read(
    summary: str,
    *,
    problems: tuple[int, ...] = (),
    more: Mapping[int, str] | None = None,
    media: str = "application/json",
) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object"} if media == "application/json" else {"type": "string"}
    answered = {"200": {"description": "Answer.", "content": {media: {"schema": schema}}}}
    for status, words in (more or {}).items():
        answered[str(status)] = {"description": words, "content": {media: {"schema": schema}}}
    return {"summary": summary, "responses": answered | _refusals((400, 413, *problems))}


def _upload(summary: str, tables: list[str]) -> dict[str, Any]:
    """The files of a job: a part for each table, under the table's name."""
    parts = {name: {"type": "string", "format": "binary"} for name in tables}
    form = {"type": "object", "properties": parts, "required": tables, "additionalProperties": False}
    taken = {"content": {"application/json": {"schema": {"type": "object"}}}}
    location = {"Location": {"description": "Address of the job.", "schema": {"type": "string"}}}
    return {
        "summary": summary,
        "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": form}}},
        "responses": {
            "202": {"description": "They wait in the inbox.", "headers": location, **taken},
            **_refusals((400, 401, 403, 408, 413, 415, 422, 429, 503)),
        },
    }


def _of_job(summary: str, *, media: str = "application/json", problems: tuple[int, ...] = ()) -> dict[str, Any]:
    named = {"type": "string", "pattern": "^[0-9a-f]{32}$"}
    job = {"name": "job", "in": "path", "required": True, "description": "Id of a job.", "schema": named}
    return {**_read(summary, media=media, problems=(401, 403, 404, *problems, 429, 503)), "parameters": [job]}


def _fhir(summary: str) -> dict[str, Any]:
    """The FHIR endpoint: resources are described by FHIR itself; errors before the endpoint are problem details."""
    resource = {"content": {_FHIR_JSON: {"schema": {"type": "object", "required": ["resourceType"]}}}}
    refused = _refusals((400, 401, 403, 408, 413, 415, 422, 429, 503))
    for each in refused.values():
        each["content"] |= resource["content"]
    moment = {"type": "string", "format": "date-time"}
    return {
        "summary": summary,
        "parameters": [{"name": "moment", "in": "query", "description": "Of the prediction.", "schema": moment}],
        "requestBody": {"required": True, **resource},
        "responses": {"200": {"description": "A Bundle; it is on disk.", **resource}, **refused},
    }


def _write(summary: str, body: Any, answer: Any, *, more: tuple[int, ...] = ()) -> dict[str, Any]:
    return {
        "summary": summary,
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": {
            "200": {"description": "On disk.", "content": {"application/json": {"schema": answer}}},
            **_refusals((400, 401, 403, 408, *more, 413, 415, 422, 429, 503)),
        },
    }


def _refusals(statuses: tuple[int, ...]) -> dict[str, Any]:
    schema = {"$ref": _REF.format(model="ProblemDetails")}
    return {
        str(status): {"description": _PROBLEMS[status], "content": {MEDIA_TYPE: {"schema": schema}}}
        for status in statuses
    }
