"""Every error in one shape: problem details (RFC 9457), without a stack and without a value that names a person.

What belongs here: from an error to its answer. What does not: raising errors.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field
from pydantic_core import to_json
from starlette.exceptions import HTTPException

from clinical_assets.foundation.errors import ClinicalAssetsError, WarehouseError
from clinical_assets.records.errors import RecordsError
from clinical_assets.records.keys.pseudonyms import PseudonymError
from clinical_assets.records.keys.subject_keys import SubjectKeyError
from clinical_assets.records.prediction_log.lines import LogDamaged
from clinical_assets.records.prediction_log.writer import LogUnavailable
from clinical_assets.serving.access.callers import AccessRefused
from clinical_assets.serving.access.key_door import KeysUnavailable
from clinical_assets.serving.access.rates import TooManyRequests
from clinical_assets.serving.access.tokens import IssuerError
from clinical_assets.serving.hospital.assessments import NoCodes
from clinical_assets.serving.requests.findings import RequestRefused
from clinical_assets.serving.requests.jobs import JobsWaiting, UnknownJob
from clinical_assets.serving.requests.reading import MOST_FINDINGS, MalformedRequest
from clinical_assets.serving.scoring.champions import NotServed
from clinical_assets.serving.service import UnknownCohort

MEDIA_TYPE = "application/problem+json"
#: Seconds after which a caller may ask again, where the server cannot answer now.
RETRY_AFTER_S = 5
_TYPE = "urn:clinical-assets:problem:"
_log = logging.getLogger(__name__)


class ProblemFinding(BaseModel):
    """One thing that is wrong with a request."""

    pointer: str = Field(description="JSON pointer into the request (RFC 6901).")
    rule: str
    detail: str
    cure: str
    value: str | None = None
    permitted: str | None = None


class ProblemDetails(BaseModel):
    """An error (RFC 9457)."""

    type: str = Field(description="urn:clinical-assets:problem:<code>; docs/serving.md explains each.")
    title: str
    status: int
    detail: str
    cure: str | None = None
    instance: str = Field(description="urn:uuid: and the id of the request.")
    errors: list[ProblemFinding] | None = None


class Problem(ClinicalAssetsError):
    """An error of the application itself, with its status and code."""

    def __init__(
        self, status: int, code: str, message: str, *, cure: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message, cure=cure)
        self.status, self.code, self.headers = status, code, dict(headers or {})

    def __reduce__(self) -> tuple[object, ...]:
        return (_problem_again, (self.status, self.code, self.message, self.cure, self.headers))


_LATER = "Ask again later; the operator finds the reason in the server's log."
_RETRY = {"Retry-After": str(RETRY_AFTER_S)}
_UNAVAILABLE = (SubjectKeyError, RecordsError, KeysUnavailable, IssuerError)
_KNOWN: tuple[tuple[tuple[type[Exception], ...], int, str, str | None, Mapping[str, str]], ...] = (
    ((RequestRefused, PseudonymError), 422, "refused-values", None, {}),
    ((MalformedRequest,), 400, "malformed", None, {}),
    ((AccessRefused,), 401, "unauthorised", None, {"WWW-Authenticate": "Bearer"}),
    ((UnknownCohort,), 404, "unknown-cohort", None, {}),
    ((NoCodes,), 404, "no-codes", None, {}),
    ((UnknownJob,), 404, "unknown-job", None, {}),
    ((JobsWaiting,), 503, "jobs-waiting", None, _RETRY),
    ((WarehouseError,), 503, "warehouse-busy", "The records are being written now.", _RETRY),
    ((NotServed,), 503, "not-served", None, _RETRY),
    ((LogUnavailable, LogDamaged), 503, "log-unavailable", "No answer, because none can be logged now.", _RETRY),
    (_UNAVAILABLE, 503, "records-unavailable", "Keys or records do not answer now.", _RETRY),
)


def _problem_again(status: int, code: str, message: str, cure: str, headers: Mapping[str, str]) -> Problem:
    return Problem(status, code, message, cure=cure, headers=headers)


def problem_of(error: Exception) -> Problem:
    """What a caller is told of an error."""
    match error:
        case Problem():
            return error
        case HTTPException():
            return _of_framework(error)
        case AccessRefused(known=True):
            return Problem(403, "forbidden", error.message, cure=str(error.cure))
        case TooManyRequests():
            wait = {"Retry-After": str(error.retry_after_s)}
            return Problem(429, "too-many-requests", error.message, cure=str(error.cure), headers=wait)
    for kinds, status, code, words, headers in _KNOWN:
        if isinstance(error, kinds):
            # Words of its own: the error's are for the operator, whose log has them.
            told = (words, _LATER) if words else (getattr(error, "message", ""), str(getattr(error, "cure", "")))
            return Problem(status, code, told[0], cure=told[1], headers=headers)
    cure = "Give the operator the request's id: the server's log names the kind of error."
    return Problem(500, "internal", "The server failed; nothing was answered.", cure=cure)


def logged_problem(error: Exception, *, request_id: str) -> Problem:
    """What a caller is told of an error, after what is the server's own fault was logged; no value is."""
    problem = problem_of(error)
    if problem.status >= 500:
        where = _place(error)
        _log.error("request %s: %d %s (%s%s)", request_id, problem.status, problem.code, type(error).__name__, where)
        if isinstance(error, (LogUnavailable, LogDamaged, *_UNAVAILABLE)):
            _log.error("request %s: %s", request_id, error.message)
    return problem


def problem_response(error: Exception, *, request_id: str) -> Response:
    """The answer to an error; what is the server's own fault is logged by its kind and place, without values."""
    problem = logged_problem(error, request_id=request_id)
    findings: Sequence[Any] = error.findings if isinstance(error, RequestRefused) else ()
    content = ProblemDetails(
        type=_TYPE + problem.code,
        title=HTTPStatus(problem.status).phrase,
        status=problem.status,
        detail=problem.message,
        cure=problem.cure,
        instance=f"urn:uuid:{request_id}",
        errors=[ProblemFinding(**each.to_json()) for each in findings[:MOST_FINDINGS]] or None,
    )
    return Response(to_json(content, exclude_none=True), problem.status, headers=problem.headers, media_type=MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Let every error of an application be answered in this shape."""

    async def answer(request: Request, error: Exception) -> Response:
        return problem_response(error, request_id=str(request.scope["state"]["request_id"]))

    # Of a defect Starlette's own layer would answer, and raise it again for the server to print: ``guards`` answers it.
    for kind in (ClinicalAssetsError, HTTPException):
        app.add_exception_handler(kind, answer)


def _of_framework(error: HTTPException) -> Problem:
    codes = {404: "not-found", 405: "method-not-allowed"}
    words = {404: "There is nothing at this address.", 405: "This address does not take this method."}
    cure = "See /openapi.json for what there is."
    status = error.status_code
    headers = dict(error.headers or {})
    return Problem(status, codes.get(status, "refused"), words.get(status, "Refused."), cure=cure, headers=headers)


def _place(error: Exception) -> str:
    """Module and line in which an unexpected error arose; its own words may repeat a value."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else f" at {trace.tb_frame.f_globals.get('__name__')}:{trace.tb_lineno}"
