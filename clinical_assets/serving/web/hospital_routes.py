"""What hospitals ask: ``/v1/cohorts/{cohort}/fhir``, and CDS Hooks at ``/cds-services``.

What belongs here: from a request to a call and from its result to JSON. What does not: FHIR and cards (``hospital``).

The FHIR endpoint answers errors as OperationOutcome, which FHIR asks of a server; CDS Hooks leaves the body of an error
open, so that there they are the problem details of all other addresses.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic_core import from_json, to_json

from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.serving.access.callers import Caller
from clinical_assets.serving.answers import RecordedAnswer
from clinical_assets.serving.follow_up import ActionsBody
from clinical_assets.serving.hospital.assessments import Asked, Assessed, Assessments, NoCodes
from clinical_assets.serving.hospital.cards import HOOK, FeedbackBody, HookRequest, actions_of, card_of, service_of
from clinical_assets.serving.hospital.operation_outcome import operation_outcome
from clinical_assets.serving.hospital.risk_assessment import assessment_bundle
from clinical_assets.serving.hospital.sent_records import SentRecord, bundle_entries, sent_record
from clinical_assets.serving.requests.findings import RequestFinding, RequestRefused
from clinical_assets.serving.requests.reading import MOST_FINDINGS, MalformedRequest, read_body
from clinical_assets.serving.web import routes
from clinical_assets.serving.web.problems import Problem, logged_problem

FHIR_JSON = "application/fhir+json"
router = APIRouter()


@router.post(routes.COHORT_PATH + "/fhir", summary="A FHIR R4 Bundle about a person to a RiskAssessment")
async def fhir(cohort: str, request: Request) -> Response:
    """The risk of a person as RiskAssessment with Device and Provenance; `moment` by default is now."""
    received = time.perf_counter()
    try:
        caller = await routes.allowed_caller(request, cohort, "predict")
        now = dt.datetime.now(dt.UTC)
        moment = _moment(request.query_params.get("moment"), now)
        _assessments(request).reader(cohort)
        # Before anything is read: nobody answers, however right the Bundle is.
        routes.service_of(request).keeper.current(cohort)
        sent = sent_record(bundle_entries(_json(await routes.json_body(request, also=FHIR_JSON))))
        found = await _assessed(request, caller, cohort, sent, received=received, moment=moment, now=now)
    except ClinicalAssetsError as error:
        return _outcome(error, routes.request_id(request))
    spec = routes.service_of(request).cohort(cohort).spec
    content = assessment_bundle(found.answer, spec=spec, read=found.read, patient=found.patient, recorded=now)
    return Response(to_json(content), media_type=FHIR_JSON)


@router.get("/cds-services", summary="Cohorts as CDS services (CDS Hooks 2.0)")
async def cds_services(request: Request) -> Response:
    """Cohorts that answer, that speak FHIR, and that the caller may ask about."""
    service, caller = routes.service_of(request), await routes.caller_of(request)
    problems = service.keeper.problems()
    listed = []
    for name in service.keeper.cohorts():
        if name in problems or not caller.may_see(name) or "predict" not in caller.rights:
            continue
        try:
            reader = _assessments(request).reader(name)
        except NoCodes:
            continue
        listed.append(service_of(service.cohort(name).spec, reader.coded))
    return routes.json_response({"services": listed})


@router.post("/cds-services/{cohort}", summary="A card about the patient that is looked at (patient-view)")
async def cds_card(cohort: str, request: Request) -> Response:
    """One card with tier, action, reasons to override it."""
    received = time.perf_counter()
    caller = await routes.allowed_caller(request, cohort, "predict")
    coded = _assessments(request).reader(cohort).coded
    service = routes.service_of(request)
    service.keeper.current(cohort)
    asked, findings = read_body(HookRequest, await routes.json_body(request))
    if asked is None:
        raise RequestRefused(findings)
    assert isinstance(asked, HookRequest)
    if asked.hook != HOOK:
        raise Problem(400, "another-hook", "This service has another hook.", cure=f"Call it at {HOOK}.")
    wanted = service_of(service.cohort(cohort).spec, coded)["prefetch"]
    absent = sorted(set(wanted) - set(asked.prefetch or {}))
    if absent:
        cure = "Send every key of the service's prefetch; null where the server has nothing."
        raise Problem(412, "prefetch-missing", f"Prefetch lacks {', '.join(absent)}.", cure=cure)
    sent = sent_record(_prefetched(asked.prefetch or {}))
    if sent.patient.resource.id != asked.context.patientId:
        cure = "Send the Patient that context.patientId names."
        finding = RequestFinding(f"{sent.patient.pointer}/id", "patient", "is not the patient of the context", cure)
        raise RequestRefused([finding])
    now = dt.datetime.now(dt.UTC)
    encounter = asked.context.encounterId
    found = await _assessed(request, caller, cohort, sent, received=received, moment=now, now=now, encounter=encounter)
    card = card_of(found.answer, spec=service.cohort(cohort).spec, read=found.read)
    return routes.json_response({"cards": [card]})


@router.post("/cds-services/{cohort}/feedback", summary="What became of cards")
async def cds_feedback(cohort: str, request: Request) -> Response:
    """Accepted or overridden, and why: entered as actions, once."""
    caller = await routes.allowed_caller(request, cohort, "actions")
    service = routes.service_of(request)
    service.cohort(cohort)
    body, findings = read_body(FeedbackBody, await routes.json_body(request))
    if body is None:
        raise RequestRefused(findings)
    assert isinstance(body, FeedbackBody)
    actions = ActionsBody(actions=actions_of(body.feedback))
    identity = routes.request_id(request)
    try:
        new, known = await service.record(cohort, actions, request=identity, key=caller.key)
    except RequestRefused as refused:
        raise RequestRefused([_about_card(each) for each in refused.findings]) from None
    return routes.model_response(RecordedAnswer(request_id=identity, recorded=new, known=known))


async def _assessed(
    request: Request,
    caller: Caller,
    cohort: str,
    sent: SentRecord,
    *,
    received: float,
    moment: dt.datetime,
    now: dt.datetime,
    encounter: str | None = None,
) -> Assessed:
    asked = Asked(
        request=routes.request_id(request),
        key=caller.key,
        rights=caller.rights,
        received=received,
        moment=moment,
        now=now,
        encounter=encounter,
    )
    found = await _assessments(request).assess(cohort, sent, asked)
    statistics = routes.service_of(request).statistics
    statistics.predicted(cohort, found.logged, seconds=time.perf_counter() - received)
    return found


def _prefetched(prefetch: Mapping[str, Any]) -> list[tuple[str, str | None, Mapping[str, Any]]]:
    found: list[tuple[str, str | None, Mapping[str, Any]]] = []
    for key, content in prefetch.items():
        pointer = f"/prefetch/{key.replace('~', '~0').replace('/', '~1')}"
        if isinstance(content, dict) and content.get("resourceType") == "Bundle":
            found += bundle_entries(content, pointer)
        elif isinstance(content, dict):
            found.append((pointer, None, content))
        elif content is not None:
            cure = "Send a resource, a Bundle or null."
            raise RequestRefused([RequestFinding(pointer, "type", "is no resource", cure)])
    return found


def _moment(text: str | None, now: dt.datetime) -> dt.datetime:
    if text is None:
        return now
    cure = "Send it as 2026-01-31T08:30:00Z, not later than now; without it, the moment is now."
    try:
        # A query turns + into a blank.
        moment = dt.datetime.fromisoformat(text.replace(" ", "+"))
    except ValueError:
        raise RequestRefused([RequestFinding("/moment", "time", "moment is no date with time", cure)]) from None
    if moment.tzinfo is None or moment > now:
        words = "moment has no offset" if moment.tzinfo is None else "moment lies in the future"
        raise RequestRefused([RequestFinding("/moment", "time", words, cure)])
    return moment.astimezone(dt.UTC)


def _json(body: bytes) -> Any:
    try:
        return from_json(body, allow_inf_nan=False)
    except ValueError:
        raise MalformedRequest("The body is no JSON.", cure="Send a FHIR R4 Bundle as JSON.") from None


def _outcome(error: ClinicalAssetsError, identity: str) -> Response:
    problem = logged_problem(error, request_id=identity)
    findings = error.findings[:MOST_FINDINGS] if isinstance(error, RequestRefused) else ()
    content = operation_outcome(
        problem.code, problem.message, str(problem.cure or ""), request_id=identity, findings=findings
    )
    return Response(to_json(content), problem.status, headers=problem.headers, media_type=FHIR_JSON)


def _about_card(finding: RequestFinding) -> RequestFinding:
    """A finding about an action, in the words of feedback."""
    _, _, place, *_ = finding.pointer.split("/")
    cure = "Send the uuid of a card of this service."
    return RequestFinding(f"/feedback/{place}/card", finding.rule, "is no card of this cohort", cure)


def _assessments(request: Request) -> Assessments:
    found: Assessments = request.app.state.assessments
    return found
