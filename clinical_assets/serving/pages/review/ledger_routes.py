"""The audit ledger as a timeline, and whether it is whole.

What belongs here: these addresses. What does not: reading and checking the chain (``records.ledger``).
"""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request
from fastapi.responses import Response

from clinical_assets.records.ledger.ledger import ACTIONS, Ledger
from clinical_assets.records.ledger.verification import ChainReport
from clinical_assets.reporting.formats import brief
from clinical_assets.reporting.texts import gettext as _
from clinical_assets.reporting.texts import speaking
from clinical_assets.reporting.views import Badge
from clinical_assets.serving.pages.entrance.visitors import Visitor, no_access
from clinical_assets.serving.pages.patients.desk import desk_of
from clinical_assets.serving.pages.review.views import LedgerRow, LedgerScreen
from clinical_assets.serving.pages.screens import address_with, language_of, posted, shown

router = APIRouter()
_SHOWN, _LOOKED_AT = 25, 500
_LONGEST = 240


@router.get("/ledger")
async def timeline(request: Request, cohort: str = "", action: str = "", before: int | None = None) -> Response:
    """The newest entries, or those before one."""
    visitor = await desk_of(request).visitor(request)
    return await _timeline(request, visitor, cohort=cohort, action=action, before=before)


@router.post("/ledger")
async def verify(request: Request) -> Response:
    """Read every entry, seal and anchor."""
    visitor = await desk_of(request).visitor(request)
    form = await posted(request, visitor.session.id)
    _cohorts(request, visitor)
    report = await asyncio.to_thread(_ledger(request).verify, every_seal=True)
    return await _timeline(request, visitor, cohort=form["cohort"], action=form["action"], report=report)


async def _timeline(
    request: Request,
    visitor: Visitor,
    *,
    cohort: str,
    action: str,
    before: int | None = None,
    report: ChainReport | None = None,
) -> Response:
    cohorts = _cohorts(request, visitor)

    def busiest() -> str:
        return next((each.cohort for each in _ledger(request).newest(_LOOKED_AT) if each.cohort in cohorts), cohorts[0])

    # Who does not administer reads what is about a cohort of theirs, at first the one of the newest entry.
    chosen = cohort if cohort in cohorts else ("" if visitor.administers else await asyncio.to_thread(busiest))
    kind = action if action in ACTIONS else ""

    def read() -> tuple[LedgerRow, ...]:
        found = _ledger(request).newest(_SHOWN, cohort=chosen or None, action=kind or None, before=before)  # type: ignore[arg-type]
        return tuple(
            LedgerRow(
                seq=each.seq,
                at=each.at[:19].replace("T", " "),
                actor=each.actor,
                action=each.action,
                cohort=each.cohort or "",
                digest=brief(each.digest) if each.digest else "",
                what=each.in_short()[:_LONGEST],
            )
            for each in found
        )

    rows = await asyncio.to_thread(read)
    older = None
    if len(rows) == _SHOWN and rows[-1].seq > 1:
        older = address_with("/ledger", cohort=chosen or None, action=kind or None, before=rows[-1].seq)
    with speaking(language_of(request)):
        verified = None if report is None else _verified(report)
    return shown(
        request,
        lambda frame: LedgerScreen(
            title=_("Audit ledger"),
            frame=frame,
            rows=rows,
            older=older,
            verified=verified,
            actions=ACTIONS,
            cohorts=tuple(cohorts),
            all_cohorts=visitor.administers,
            cohort=chosen,
            action=kind,
        ),
        visitor=visitor,
        address="/ledger",
    )


def _verified(report: ChainReport) -> tuple[Badge, str]:
    if not report.intact:
        return Badge("red", _("✗ not intact")), report.problem or ""
    shown_numbers = {"entries": report.entries, "anchored": report.anchored}
    words = _("%(entries)s entries, anchored up to %(anchored)s.") % shown_numbers
    return Badge("green", _("✓ intact")), f"{words} {report.note or ''}".strip()


def _cohorts(request: Request, visitor: Visitor) -> list[str]:
    """Cohorts whose entries this person may read."""
    found = [spec.name for spec in request.app.state.described() if visitor.may_review(spec)]
    if not found and not visitor.administers:
        raise no_access()
    return found


def _ledger(request: Request) -> Ledger:
    found: Ledger = desk_of(request).service.workspace.ledger
    return found
