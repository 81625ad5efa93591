"""Addresses for a list of patients: hand it in, sort it, take it away as a file, print a sheet each.

What belongs here: from a request to a screen. What does not: reading and writing lists (``lists``).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.datastructures import UploadFile

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.records.clock import utc_now
from clinical_assets.reporting.formats import words
from clinical_assets.reporting.texts import gettext as _
from clinical_assets.reporting.texts import speaking
from clinical_assets.serving.pages.entrance.visitors import Visitor, no_access
from clinical_assets.serving.pages.patients.desk import desk_of
from clinical_assets.serving.pages.patients.forms import CohortForm
from clinical_assets.serving.pages.patients.lists import (
    as_csv,
    columns_of,
    header_of,
    problems_of,
    read_list,
    sorted_rows,
)
from clinical_assets.serving.pages.patients.results import answer_to_keep, sheets_of
from clinical_assets.serving.pages.screens import language_of, posted, refuse_foreign, shown
from clinical_assets.serving.pages.views import CohortChoice, FieldProblem, ListScreen, SheetsScreen, UploadScreen
from clinical_assets.serving.requests.findings import RequestRefused
from clinical_assets.serving.requests.record_models import MAX_RECORDS

router = APIRouter()
LIST = "/cohorts/{cohort}/list"
_SHOWN_PROBLEMS = 100


@router.get(LIST)
async def empty(cohort: str, request: Request) -> Response:
    """Where a list is handed in."""
    visitor, choice, spec, form = await _asked(cohort, request)
    return _upload(request, visitor, choice, spec, form)


@router.get("/cohorts/{cohort}/list/{table}.csv")
async def header(cohort: str, table: str, request: Request) -> Response:
    """A file with the header alone, to fill in."""
    _visitor, _choice, _spec, form = await _asked(cohort, request)
    if table not in form.columns:
        raise no_access()
    out = io.StringIO()
    csv.writer(out).writerow(header_of(form, table))
    return _file(f"{cohort}-{table}.csv", out.getvalue().encode("utf-8-sig"))


@router.post(LIST)
async def hand_in(cohort: str, request: Request) -> Response:
    """Answers about everybody of a list, or about nobody and what is wrong."""
    visitor, choice, spec, form = await _asked(cohort, request)
    refuse_foreign(request)
    desk = desk_of(request)
    async with request.form(max_files=len(form.columns), max_fields=10) as sent:
        desk.tokens.require_form(str(sent.get("form", "")), visitor.session.id)
        files = {
            name: await each.read() for name in form.columns if isinstance(each := sent.get(f"file.{name}"), UploadFile)
        }
    with speaking(language_of(request)):
        read = read_list(form, files)
    if read.problems:
        return _upload(request, visitor, choice, spec, form, problems=tuple(read.problems))
    try:
        answer = await desk.ask(visitor, cohort, read.body(), request=request.scope["state"]["request_id"])
    except RequestRefused as refused:
        with speaking(language_of(request)):
            problems = problems_of(form, read, refused.findings)
        return _upload(request, visitor, choice, spec, form, problems=problems)
    kept = answer_to_keep(answer, headings=read.headings, entered=read.entered, at=utc_now(), by=visitor.name)
    return _list(request, visitor, choice, kept, order="")


@router.post("/cohorts/{cohort}/list/view")
async def view(cohort: str, request: Request) -> Response:
    """The same answers sorted, as a file, or as sheets to print."""
    visitor, choice, spec, _form = await _asked(cohort, request)
    desk = desk_of(request)
    sent = await posted(request, visitor.session.id)
    kept = desk.tokens.unseal(sent["sealed"], _about(visitor, cohort))
    order = sent["sort"] or sent["order"]
    if sent["as"] == "file":
        return _file(f"{cohort}.csv", as_csv(kept, order))
    if sent["as"] == "sheets":
        with speaking(language_of(request)):
            sheets = sheets_of(spec, kept, recorded=desk.recorded)
        places = [place for place, _row in sorted_rows(kept, order)]
        return shown(
            request,
            lambda frame: SheetsScreen(
                title=spec.title,
                synthetic=kept["answer"]["model"]["synthetic"],
                frame=frame,
                cohort=choice,
                sheets=tuple(sheets[place] for place in places),
            ),
            visitor=visitor,
            address=f"/cohorts/{cohort}/list",
        )
    return _list(request, visitor, choice, kept, order=order)


@router.get("/cohorts/{cohort}/list/view")
async def no_list(cohort: str, request: Request) -> Response:
    """Where a language was chosen beside a list: the server keeps none."""
    return await empty(cohort, request)


async def _asked(cohort: str, request: Request) -> tuple[Visitor, CohortChoice, CohortSpec, CohortForm]:
    desk = desk_of(request)
    visitor = await desk.visitor(request)
    choice, spec, form = await desk.choice(visitor, cohort)
    return visitor, choice, spec, form


def _about(visitor: Visitor, cohort: str) -> str:
    return f"{visitor.session.id} {cohort} list"


def _upload(
    request: Request,
    visitor: Visitor,
    choice: CohortChoice,
    spec: CohortSpec,
    form: CohortForm,
    *,
    problems: tuple[FieldProblem, ...] = (),
) -> Response:
    with speaking(language_of(request)):
        columns = columns_of(form)
        title = _("A list of patients: %(title)s") % {"title": spec.title}
        if problems:
            title = _("Error: %(title)s") % {"title": title}
    return shown(
        request,
        lambda frame: UploadScreen(
            title=title,
            synthetic=spec.synthetic,
            frame=frame,
            cohort=choice,
            tables=tuple((name, words(name), spec.tables[name].description) for name in form.columns),
            columns=columns,
            problems=problems[:_SHOWN_PROBLEMS],
            most=MAX_RECORDS,
            recorded=desk_of(request).recorded,
        ),
        visitor=visitor,
        address=f"/cohorts/{spec.name}/list",
        status=422 if problems else 200,
    )


def _list(request: Request, visitor: Visitor, choice: CohortChoice, kept: Mapping[str, Any], *, order: str) -> Response:
    desk = desk_of(request)
    with speaking(language_of(request)):
        heads = (
            ("", "#"),
            ("who", _("Patient")),
            ("tier", _("Tier")),
            ("risk", _("Risk")),
            ("action", _("Recommended")),
            ("warnings", _("Warnings")),
        )
        rows = tuple(row for _place, row in sorted_rows(kept, order))
    return shown(
        request,
        lambda frame: ListScreen(
            title=choice.title,
            synthetic=kept["answer"]["model"]["synthetic"],
            frame=frame,
            cohort=choice,
            columns=tuple((name, label, _direction(name, order)) for name, label in heads),
            rows=rows,
            alerts=sum(row.is_alert for row in rows),
            order=order,
            sealed=desk.tokens.seal(dict(kept), _about(visitor, choice.name)),
            recorded=desk.recorded,
        ),
        visitor=visitor,
        address=f"/cohorts/{choice.name}/list",
    )


def _direction(name: str, order: str) -> str:
    """How a table is sorted by a column, in the words of ARIA."""
    if not name or order.removeprefix("-") != name:
        return ""
    return "descending" if order.startswith("-") else "ascending"


def _file(name: str, content: bytes) -> Response:
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return Response(content, media_type="text/csv; charset=utf-8", headers=headers)
