"""Jobs over HTTP: files of any size to disk, and what became of them, for whoever sent them.

What belongs here: from multipart bodies to files and from a job's state to JSON. What does not: jobs
(``requests.jobs``).
"""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, Response
from pydantic_core import to_json
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import File, FormParser, parse_options_header
from starlette.background import BackgroundTask

from clinical_assets.serving.requests.findings import RequestFinding, RequestRefused
from clinical_assets.serving.requests.jobs import Jobs, JobState, NotScored, SentFile, StoredJob
from clinical_assets.serving.web.problems import Problem
from clinical_assets.serving.web.routes import COHORT_PATH, allowed_caller, json_response, request_id, service_of
from clinical_assets.sources.files import workspace

router = APIRouter()
_MULTIPART = "multipart/form-data"


@router.post(COHORT_PATH + "/jobs", summary="Large files, scored in the background")
async def submit(cohort: str, request: Request) -> Response:
    """Take the files of a job, a part per table; they wait in the cohort's inbox when this answers."""
    caller = await allowed_caller(request, cohort, "predict")
    jobs = _jobs(request, cohort)
    await asyncio.to_thread(jobs.refuse_when_too_many_wait)
    with ExitStack() as stack:
        work = await asyncio.to_thread(stack.enter_context, workspace(jobs.settings))
        try:
            files = await _received(request, work)
            job = await asyncio.to_thread(jobs.submit, files, work=work, key=caller.key, request=request_id(request))
        except OSError as error:
            cure = "Ask the operator for room, or send a smaller file."
            raise Problem(503, "no-room", "The files could not be kept.", cure=cure) from error
    place = request.url_for("job_state", cohort=cohort, job=job.id).path
    content = to_json(_told(job, JobState("waiting")))
    return Response(content, 202, headers={"Location": place}, media_type="application/json")


@router.get(COHORT_PATH + "/jobs/{job}", name="job_state", summary="What became of a job")
async def state(cohort: str, job: str, request: Request) -> Response:
    """State of a job of the caller's own."""
    caller = await allowed_caller(request, cohort, "predict")
    jobs = _jobs(request, cohort)
    found = await asyncio.to_thread(jobs.find, job, key=caller.key)
    return json_response(_told(found, await asyncio.to_thread(jobs.state, found)))


@router.get(COHORT_PATH + "/jobs/{job}/scores", summary="Scores of a job as CSV")
async def scores(cohort: str, job: str, request: Request) -> Response:
    """Newest scores of the records of a job of the caller's own; risks with their right."""
    caller = await allowed_caller(request, cohort, "predict")
    jobs = _jobs(request, cohort)
    found = await asyncio.to_thread(jobs.find, job, key=caller.key)
    # Written first and sent afterwards: a slow client must not keep the warehouse from its writers.
    stack = ExitStack()
    work = await asyncio.to_thread(stack.enter_context, workspace(jobs.settings))
    path = work / "scores.csv"
    try:
        await asyncio.to_thread(jobs.write_scores, found, path, with_risk="probability" in caller.rights)
    except NotScored as error:
        stack.close()
        raise Problem(409, "not-scored", error.message, cure=str(error.cure)) from None
    except BaseException:
        stack.close()
        raise
    return FileResponse(path, media_type="text/csv", filename=f"{found.id}.csv", background=BackgroundTask(stack.close))


def _jobs(request: Request, cohort: str) -> Jobs:
    service = service_of(request)
    return Jobs(service.workspace.settings, service.cohort(cohort).spec)


def _told(job: StoredJob, found: JobState) -> dict[str, Any]:
    facts = {name: value for name, value in vars(found).items() if value is not None}
    return {"job": job.id, "cohort": job.cohort, "submitted_at": job.submitted_at, **facts}


async def _received(request: Request, work: Path) -> dict[str, SentFile]:
    """The files of a multipart body, streamed to disk: the name of each part is that of its table."""
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    boundary = options.get(b"boundary")
    if kind.decode("latin-1").lower() != _MULTIPART or not boundary:
        raise Problem(415, "not-multipart", "The body is no form of files.", cure=f"Send Content-Type: {_MULTIPART}.")
    files: dict[str, SentFile] = {}
    findings: list[RequestFinding] = []

    def keep(file: File) -> None:
        if file.in_memory:  # an empty one
            file.flush_to_disk()
        name = (file.field_name or b"").decode("utf-8", "replace")
        given = (file.file_name or b"").decode("utf-8", "replace")
        if name in files or file.actual_file_name is None:
            findings.append(RequestFinding("", "table", "two files are for one table", "Send one file per table."))
        else:
            files[name] = SentFile(Path(file.actual_file_name.decode()), given)
        file.close()

    def field(_: object) -> None:
        findings.append(RequestFinding("", "type", "a part is no file", "Send files alone."))

    limits = {"UPLOAD_DIR": str(work), "UPLOAD_DELETE_TMP": False, "MAX_MEMORY_FILE_SIZE": 0, "MAX_FIELD_SIZE": 1024}
    try:
        parser = FormParser(_MULTIPART, field, keep, boundary=boundary, config=limits)
        async for chunk in request.stream():
            await asyncio.to_thread(parser.write, chunk)
        parser.finalize()
    except FormParserError:
        raise Problem(
            400, "malformed", "The body is no form of files.", cure="Send it as multipart/form-data."
        ) from None
    if findings:
        raise RequestRefused(findings)
    return files
