"""Addresses for reviewers: the queue, a dossier, its gates, and signing with the password again.

What belongs here: from a request to a screen, and from a form to the functions of the command line. What does not: the
ledger (``ledger_routes``).
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.experiments.register import experiments_of
from clinical_assets.experiments.reports import page_path
from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.governance.dossier.stored_dossier import load_dossier
from clinical_assets.governance.errors import Refused
from clinical_assets.governance.signing import signatures
from clinical_assets.governance.signing.record import Signature
from clinical_assets.governance.signing.signatures import Proof
from clinical_assets.monitoring import report_store
from clinical_assets.observability.portfolio import INDEX, entry_of
from clinical_assets.records.ledger.facts.people import ReviewFacts
from clinical_assets.reporting.pages import policy_of_written
from clinical_assets.reporting.texts import gettext as _
from clinical_assets.reporting.texts import speaking
from clinical_assets.serving.pages.entrance.visitors import Visitor, no_access
from clinical_assets.serving.pages.patients.desk import RecordedDesk, desk_of
from clinical_assets.serving.pages.review.dossiers import OpenReview, experiment_of_now, open_review, queue_row
from clinical_assets.serving.pages.review.views import GateScreen, QueueScreen, ReviewScreen
from clinical_assets.serving.pages.screens import SentForm, language_of, posted, shown

router = APIRouter()
REVIEW = "/review/{cohort}"


@router.get("/review")
async def queue(request: Request) -> Response:
    """Dossiers that wait, and the lights of what serves."""
    desk = _desk(request)
    visitor = await desk.visitor(request)
    specs = [spec for spec in request.app.state.described() if visitor.may_review(spec)]
    if not specs:
        raise no_access()
    workspace = desk.service.workspace
    entries = await asyncio.to_thread(lambda: [entry_of(workspace, spec.name) for spec in specs])
    with speaking(language_of(request)):
        rows = tuple(
            queue_row(entry, spec.title, experiment_of_now(workspace, spec.name))
            for entry, spec in zip(entries, specs, strict=True)
        )
    return shown(
        request,
        lambda frame: QueueScreen(title=_("Reviews"), frame=frame, rows=rows),
        visitor=visitor,
        address="/review",
    )


@router.get(REVIEW)
async def review(cohort: str, request: Request) -> Response:
    """What would be signed, and what stands against it."""
    visitor, spec = await _reviewer(cohort, request)
    return await _shown(request, visitor, spec)


@router.post(REVIEW)
async def sign(cohort: str, request: Request) -> Response:
    """Sign, reject or waive, by the functions of the command line."""
    visitor, spec = await _reviewer(cohort, request)
    form = await posted(request, visitor.session.id)
    address = str((request.scope.get("client") or ("unknown",))[0])
    sessions = _desk(request).sessions
    sessions.rates.refuse_busy(address)
    try:
        given = await asyncio.to_thread(_signed, _desk(request), cohort, visitor, form)
    except Refused as refused:
        if refused.code in ("login_refused", "locked"):
            sessions.rates.count_refusal(address)
        return await _shown(request, visitor, spec, refused=refused, form=form)
    notes = await asyncio.to_thread(_told_elsewhere, request, given)
    return await _shown(request, visitor, spec, given=given, notes=notes)


@router.get(REVIEW + "/gates/{gate}")
async def gate(cohort: str, gate: str, request: Request) -> Response:
    """Every criterion of a gate, with its evidence."""
    visitor, spec = await _reviewer(cohort, request)
    found = await asyncio.to_thread(open_review, _desk(request).service.workspace, cohort)
    views = {each.gate: each for each in found.gates}
    if gate not in views:
        raise no_access()
    rows = next(row for row in found.gate_rows() if row["gate"] == gate)["verdicts"]
    evidence = tuple(
        (row["criterion"], json.dumps(row["evidence"], indent=1, ensure_ascii=False, sort_keys=True)) for row in rows
    )
    return shown(
        request,
        lambda frame: GateScreen(
            title=_("%(gate)s: %(title)s") % {"gate": views[gate].label, "title": spec.title},
            synthetic=spec.synthetic,
            frame=frame,
            cohort=cohort,
            gate=views[gate],
            evidence=evidence,
        ),
        visitor=visitor,
        address=f"/review/{cohort}/gates/{gate}",
    )


@router.get(REVIEW + "/dossier")
async def dossier(cohort: str, request: Request) -> Response:
    """The dossier's own page, verified file by file, as it is signed."""
    _visitor, _spec = await _reviewer(cohort, request)
    workspace = _desk(request).service.workspace

    def read() -> str:
        found = load_dossier(workspace.settings, cohort, workspace.cohort(cohort).training(None).results.bundle_digest)
        return found.index.read_text(encoding="utf-8")

    return _as_written(await asyncio.to_thread(read))


@router.get(REVIEW + "/monitoring")
async def monitoring(cohort: str, request: Request) -> Response:
    """The page of a cohort's monitoring reports, as it was written last."""
    _visitor, _spec = await _reviewer(cohort, request)
    path: Path = report_store.folder_of(_desk(request).service.workspace.settings, cohort) / INDEX
    if not path.is_file():
        raise no_access()
    return _as_written(await asyncio.to_thread(path.read_text, encoding="utf-8"))


@router.get(REVIEW + "/experiments/{name}")
async def experiment(cohort: str, name: str, request: Request) -> Response:
    """The page of an experiment, as it was written last."""
    _visitor, _spec = await _reviewer(cohort, request)
    workspace = _desk(request).service.workspace
    found = await asyncio.to_thread(experiments_of, workspace.records, cohort)
    path = page_path(workspace.settings, cohort, name)
    # A name becomes a path only where an experiment has it.
    if name not in {each.protocol.name for each in found} or not path.is_file():
        raise no_access()
    return _as_written(await asyncio.to_thread(path.read_text, encoding="utf-8"))


def _signed(desk: RecordedDesk, cohort: str, visitor: Visitor, form: SentForm) -> tuple[Signature, ...]:
    candidate = open_review(desk.service.workspace, cohort).candidate
    proof = Proof(login=visitor.session.login, secret=form["password"], role=form["role"] or None)
    digest = form["dossier"]
    match form["act"]:
        case "approve":
            return (signatures.approve(candidate, dossier_digest=digest, proof=proof, meaning=form["meaning"]),)
        case "reject":
            return (signatures.reject(candidate, dossier_digest=digest, proof=proof, reason=form["reason"]),)
        case "withdraw":
            act = signatures.withdraw_rejection
            return (act(candidate, dossier_digest=digest, proof=proof, reason=form["reason"]),)
        case "waive":
            named = [name.removeprefix("waive.").partition("/") for name in form.fields if name.startswith("waive.")]
            return signatures.waive_several(
                candidate,
                dossier_digest=digest,
                proof=proof,
                criteria=[(gate, criterion) for gate, _slash, criterion in named],
                reason=form["reason"],
            )
    raise Refused("no_act", "It is not said what is signed.", cure="Open the page again.")


def _told_elsewhere(request: Request, given: tuple[Signature, ...]) -> tuple[str, ...]:
    """Let whoever started the server know; what fails there takes nothing back."""
    notes = []
    for signature in given if request.app.state.on_signed is not None else ():
        try:
            request.app.state.on_signed(signature)
        except ClinicalAssetsError as error:
            notes.append(f"Signed and kept, but Dagster could not be told: {error.message}")
    return tuple(notes)


async def _shown(
    request: Request,
    visitor: Visitor,
    spec: CohortSpec,
    *,
    refused: Refused | None = None,
    form: SentForm | None = None,
    given: tuple[Signature, ...] = (),
    notes: tuple[str, ...] = (),
) -> Response:
    workspace = _desk(request).service.workspace
    found = await asyncio.to_thread(open_review, workspace, spec.name)
    if request.method == "GET":
        await asyncio.to_thread(_enter, request, visitor, found)
    held = set(visitor.person.roles) if visitor.person is not None else set()
    approving = tuple(each.role for each in spec.approval.signatures if each.role in held)
    with speaking(language_of(request)):
        said, table = found.changes()
        signed = found.signatures()
        done = tuple(_("Signed: %(kind)s, as %(role)s.") % {"kind": each.kind, "role": each.role} for each in given)
    return shown(
        request,
        lambda frame: ReviewScreen(
            title=_("Review: %(title)s") % {"title": spec.title},
            synthetic=spec.synthetic,
            frame=frame,
            cohort=spec.name,
            bundle_digest=found.candidate.digest,
            dossier_digest=found.dossier.digest,
            gates=found.gates,
            said=said,
            comparison=table,
            lacking=tuple(found.standing.lacking.items()),
            signatures=signed,
            blockers=tuple((spec.labelled(each.message), each.cure) for each in found.blockers),
            open_criteria=found.open_criteria,
            approving=approving,
            waiving=bool(held & set(spec.approval.waivers)),
            approved=any(each.login == visitor.session.login for each in found.standing.approvals),
            rejected=any(each.login == visitor.session.login for each in found.standing.rejections),
            done=(*done, *notes),
            problem=None if refused is None else refused.message,
            cure=None if refused is None else str(refused.cure or ""),
            values={name: "" if form is None else form[name] for name in ("meaning", "reason")},
        ),
        visitor=visitor,
        address=f"/review/{spec.name}",
        status=200 if refused is None else 422,
    )


def _enter(request: Request, visitor: Visitor, found: OpenReview) -> None:
    """That somebody looked at a dossier, once per session."""
    seen: set[tuple[str, str]] = request.app.state.seen
    look = (visitor.session.id, found.dossier.digest)
    if look in seen:
        return
    facts = ReviewFacts(
        dossier_digest=found.dossier.digest, blockers=tuple(sorted({each.code for each in found.blockers}))
    )
    _desk(request).service.workspace.ledger.append(
        "review",
        actor=visitor.session.login,
        cohort=found.candidate.cohort,
        digest=found.candidate.digest,
        facts=facts,
    )
    seen.add(look)


async def _reviewer(cohort: str, request: Request) -> tuple[Visitor, CohortSpec]:
    """Who asks and the cohort's description, refused without a role for it."""
    desk = _desk(request)
    visitor = await desk.visitor(request)
    spec = next((each for each in request.app.state.described() if each.name == cohort), None)
    if spec is None or not visitor.may_review(spec):
        desk.sessions.journal.refused("lacks a role")
        raise no_access()
    return visitor, spec


def _as_written(page: str) -> Response:
    """A page that was made before: its own stylesheet by its digest, embedded pictures, and nothing else."""
    return HTMLResponse(
        page, headers={"content-security-policy": f"{policy_of_written(page)}; frame-ancestors 'none'; sandbox"}
    )


def _desk(request: Request) -> RecordedDesk:
    found: RecordedDesk = desk_of(request)
    return found
