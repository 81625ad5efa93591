"""The application: the routes, what stands around them, and what says how the server is.

What belongs here: putting it together. What does not: any of the parts.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Collection, Sequence
from importlib import metadata
from typing import Any, Protocol

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, PlainTextResponse, Response
from pydantic_core import to_json
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from clinical_assets.reporting.pages import content_security_policy, render_page
from clinical_assets.serving.access.door import Door, OpenDoor
from clinical_assets.serving.hospital.assessments import Assessments
from clinical_assets.serving.service import PredictionService
from clinical_assets.serving.statistics import ServingStatistics
from clinical_assets.serving.web import hospital_routes, job_routes, problems, routes
from clinical_assets.serving.web.docs_page import api_page
from clinical_assets.serving.web.guards import MAX_BODY_BYTES, Guards
from clinical_assets.serving.web.openapi import openapi_document

#: Names of this machine.
LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Part(Protocol):
    """An application of its own below an address of the server, begun and ended with it."""

    @property
    def path(self) -> str:
        """Where it lies."""

    @property
    def app(self) -> ASGIApp:
        """Answers what is asked there."""

    def start(self) -> None:
        """Begin, before the first request."""

    def stop(self) -> None:
        """End, after the last one."""

    def refused(self, scope: Scope, problem: problems.Problem) -> Response:
        """The answer to a request below `path` that was refused before it came there."""


def make_app(
    service: PredictionService,
    *,
    door: Door | None = None,
    hosts: Collection[str] = LOOPBACK,
    max_body: int = MAX_BODY_BYTES,
    parts: Sequence[Part] = (),
) -> ASGIApp:
    """The application.

    Parameters
    ----------
    service : PredictionService
        Started when the server begins, stopped when it ends.
    door : Door, optional
        Tells who asks; by default everybody may ask everything, for a server on loopback.
    hosts : collection of str
        Names under which the server may be asked; ``*`` is any.
    max_body : int
        Most bytes of a body.
    parts : sequence of Part
        What else the server has, such as pages.
    """
    asked = door or OpenDoor()
    begun_and_ended: tuple[Door | Part, ...] = (asked, *parts)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await asyncio.to_thread(service.start)
        for begun in begun_and_ended:
            await asyncio.to_thread(begun.start)
        try:
            yield
        finally:
            for begun in begun_and_ended:
                await asyncio.to_thread(begun.stop)
            await asyncio.to_thread(service.stop)

    version = metadata.version("clinical-assets")
    app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.service, app.state.door, app.state.assessments = service, asked, Assessments(service)
    app.include_router(routes.router)
    app.include_router(hospital_routes.router)
    app.include_router(job_routes.router)
    problems.install(app)

    @app.get("/")
    async def root() -> Response:
        about = {
            "service": "clinical_assets prediction API",
            "version": version,
            "cohorts": "/v1/cohorts",
            "cds_services": "/cds-services",
            "openapi": "/openapi.json",
            "docs": "/docs",
            "health": "/health",
            "ready": "/ready",
            **{part.path.strip("/"): part.path for part in parts},
        }
        return Response(to_json(about), media_type="application/json")

    @app.get("/health")
    async def health() -> Response:
        return Response(to_json({"status": "alive"}), media_type="application/json")

    @app.get("/ready")
    async def ready() -> Response:
        found = await asyncio.to_thread(service.problems)
        content = {"ready": not found, "cohorts": list(service.keeper.cohorts()), "problems": dict(found)}
        return Response(to_json(content), 503 if found else 200, media_type="application/json")

    @app.get("/metrics")
    async def metrics() -> Response:
        return PlainTextResponse(service.statistics.text())

    def described(request: Request) -> dict[str, Any]:
        secured = not isinstance(request.app.state.door, OpenDoor)
        return openapi_document(service, version=version, secured=secured)

    @app.get("/openapi.json")
    async def openapi(request: Request) -> Response:
        return Response(to_json(described(request)), media_type="application/json")

    @app.get("/docs")
    async def docs(request: Request) -> Response:
        headers = {"content-security-policy": f"{content_security_policy()}; frame-ancestors 'none'"}
        return HTMLResponse(render_page(api_page(described(request))), headers=headers)

    for part in parts:
        app.mount(part.path, part.app)
    refusals = {part.path: part.refused for part in parts}
    return Guards(_Counted(app, service.statistics), hosts=hosts, max_body=max_body, refusals=refusals)


class _Counted:
    """Counts answers by route, cohort and status."""

    def __init__(self, app: ASGIApp, statistics: ServingStatistics) -> None:
        self.app, self.statistics = app, statistics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = time.perf_counter()
        status = 500

        async def counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, counted)
        finally:
            # Only names that exist become labels: an address that somebody made up is `other`.
            route = getattr(scope.get("route"), "path", "other")
            cohort = scope.get("path_params", {}).get("cohort", "") if status not in (401, 403, 404) else ""
            self.statistics.answered(cohort=cohort, route=route, status=status, seconds=time.perf_counter() - began)
