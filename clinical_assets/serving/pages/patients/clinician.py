"""Addresses for clinicians: cohorts, the form of one, the answer, and what was done with it.

What belongs here: from a request to a screen. What does not: lists of patients (``list_routes``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.records.clock import utc_now
from clinical_assets.reporting.texts import gettext as _
from clinical_assets.reporting.texts import speaking
from clinical_assets.serving.follow_up import ActionFact
from clinical_assets.serving.pages.entrance.visitors import Visitor
from clinical_assets.serving.pages.patients.desk import desk_of
from clinical_assets.serving.pages.patients.forms import RECORD, CohortForm, FilledForm
from clinical_assets.serving.pages.patients.results import answer_to_keep, sheets_of
from clinical_assets.serving.pages.screens import SentForm, language_of, posted, shown
from clinical_assets.serving.pages.views import CohortChoice, CohortsScreen, FormScreen, ResultScreen
from clinical_assets.serving.requests.findings import RequestFinding, RequestRefused

router = APIRouter()
_LONGEST_REASON = 500


@router.get("/")
async def cohorts(request: Request) -> Response:
    """Cohorts that the reader may ask about."""
    desk = desk_of(request)
    visitor = await desk.visitor(request)
    found = await desk.cohorts(visitor)
    reviews = visitor.person is not None and request.app.state.reviews(visitor)
    return shown(
        request,
        lambda frame: CohortsScreen(
            title=_("Patients"), frame=frame, cohorts=found, reviews=reviews, recorded=desk.recorded
        ),
        visitor=visitor,
        address="/",
    )


@router.get("/cohorts/{cohort}")
async def empty_form(cohort: str, request: Request) -> Response:
    """The form of a cohort."""
    desk = desk_of(request)
    visitor = await desk.visitor(request)
    choice, spec, form = await desk.choice(visitor, cohort)
    return _form(request, visitor, choice, spec, form, FilledForm())


@router.post("/cohorts/{cohort}")
async def ask(cohort: str, request: Request) -> Response:
    """The answer, or the form with what is wrong in it."""
    desk = desk_of(request)
    visitor = await desk.visitor(request)
    choice, spec, form = await desk.choice(visitor, cohort)
    sent = await posted(request, visitor.session.id)
    filled = form.read(sent.fields)
    if sent["more"]:
        return _form(request, visitor, choice, spec, form, filled, more=sent["more"])
    try:
        answer = await desk.ask(visitor, cohort, filled.body(), request=request.scope["state"]["request_id"])
    except RequestRefused as refused:
        return _form(request, visitor, choice, spec, form, filled, findings=refused.findings)
    with speaking(language_of(request)):
        kept = answer_to_keep(
            answer,
            headings=[filled.written[f"{RECORD}.{spec.subject_of(spec.subject_table)}"]],
            entered=[form.entered(filled)],
            at=utc_now(),
            by=visitor.name,
        )
    return _result(request, visitor, choice, spec, kept)


@router.post("/cohorts/{cohort}/action")
async def act(cohort: str, request: Request) -> Response:
    """Put on record what was done with an answer."""
    desk = desk_of(request)
    visitor = await desk.visitor(request)
    choice, spec, _form_of = await desk.choice(visitor, cohort)
    sent = await posted(request, visitor.session.id)
    kept = desk.tokens.unseal(sent["sealed"], _about(visitor, cohort))
    fact, problem = _fact(sent, kept["answer"]["predictions"][0]["prediction"], language=language_of(request))
    if fact is None:
        return _result(request, visitor, choice, spec, kept, problem=problem, status=422)
    new = await desk.act(visitor, cohort, fact, request=request.scope["state"]["request_id"])
    with speaking(language_of(request)):
        done = _("Recorded.") if new else _("This was on record already.")
    return _result(request, visitor, choice, spec, kept, done=done)


@router.get("/cohorts/{cohort}/action")
async def no_answer(cohort: str, request: Request) -> Response:
    """Where a language was chosen beside an answer: the answer is not kept by the server."""
    return await empty_form(cohort, request)


def _fact(sent: SentForm, prediction: str, *, language: str) -> tuple[ActionFact | None, str | None]:
    reason = sent["reason"].strip()
    with speaking(language):
        if sent["acted"] not in ("yes", "no"):
            return None, _("Choose one of both.")
        if sent["acted"] == "no" and not reason:
            return None, _("Say in a few words why not.")
        if len(reason) > _LONGEST_REASON:
            return None, _("The reason is longer than 500 characters.")
    acted = sent["acted"] == "yes"
    return ActionFact(prediction=prediction, shown=True, acted=acted, override_reason=reason or None), None


def _about(visitor: Visitor, cohort: str) -> str:
    """Whose an answer is: a person's, for the whole of a session."""
    return f"{visitor.session.id} {cohort}"


def _form(
    request: Request,
    visitor: Visitor,
    choice: CohortChoice,
    spec: CohortSpec,
    form: CohortForm,
    filled: FilledForm,
    *,
    findings: tuple[RequestFinding, ...] = (),
    more: str | None = None,
) -> Response:
    with speaking(language_of(request)):
        listed, by_name = form.problems(findings)
        sections = form.sections(filled, by_name, more=more)
    return shown(
        request,
        lambda frame: FormScreen(
            title=(_("Error: %(title)s") % {"title": spec.title}) if listed else spec.title,
            synthetic=spec.synthetic,
            frame=frame,
            cohort=choice,
            moment=spec.prediction.moment,
            sections=sections,
            problems=listed,
            recorded=desk_of(request).recorded,
        ),
        visitor=visitor,
        address=f"/cohorts/{spec.name}",
        status=422 if findings else 200,
    )


def _result(
    request: Request,
    visitor: Visitor,
    choice: CohortChoice,
    spec: CohortSpec,
    kept: Mapping[str, Any],
    *,
    done: str | None = None,
    problem: str | None = None,
    status: int = 200,
) -> Response:
    desk = desk_of(request)
    with speaking(language_of(request)):
        (sheet,) = sheets_of(spec, kept, recorded=desk.recorded)
    return shown(
        request,
        lambda frame: ResultScreen(
            title=spec.title,
            synthetic=kept["answer"]["model"]["synthetic"],
            frame=frame,
            cohort=choice,
            sheet=sheet,
            sealed=desk.tokens.seal(dict(kept), _about(visitor, spec.name)),
            done=done,
            problem=problem,
            recorded=desk.recorded,
        ),
        visitor=visitor,
        address=f"/cohorts/{spec.name}",
        status=status,
    )
