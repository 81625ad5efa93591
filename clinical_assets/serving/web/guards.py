"""What every request passes before a route sees it: its id, the host, the size of its body, the headers of its answer.

What belongs here: the outermost layer, plain ASGI because it is in the way of every answer. What does not: who asks.
"""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import Callable, Collection, Mapping
from typing import Any

from fastapi.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from clinical_assets.serving.web.problems import Problem, problem_response

MAX_BODY_BYTES = 2 * 1024**2
#: Most bytes of a job, which goes to disk piece by piece.
MAX_JOB_BYTES = 1024**3
#: Seconds in which the body of a request must have come.
BODY_PATIENCE_S = 10.0
_JOBS = re.compile(r"/v1/cohorts/[^/]+/jobs")
_POLICY = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)


class Guards:
    """Wraps an application.

    Parameters
    ----------
    app : ASGI application
        Sees the request's id in ``scope["state"]["request_id"]``, and a body that is complete, but for that of a job.
    hosts : collection of str
        Names under which this server may be asked, without port: a page that had its name changed to this machine's
        address is answered with 400.
    max_body, max_job : int
        Most bytes of a body, and of the files of a job, which are handed on as they come.
    patience_s : float
        Seconds in which a body must have come, or the next piece of a job.
    refusals : mapping, optional
        Path to what answers a refusal below it instead; by default problem details do.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        hosts: Collection[str],
        max_body: int = MAX_BODY_BYTES,
        max_job: int = MAX_JOB_BYTES,
        patience_s: float = BODY_PATIENCE_S,
        refusals: Mapping[str, Callable[[Scope, Problem], Response]] | None = None,
    ) -> None:
        self._refusals = dict(refusals or {})
        self.app, self.max_body, self.max_job, self.patience_s = app, max_body, max_job, patience_s
        self._hosts = {host.lower() for host in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, or the beginning and end of the server."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = str(uuid.uuid4())
        scope.setdefault("state", {})["request_id"] = request_id

        begun = False

        async def guarded(message: Message) -> None:
            nonlocal begun
            begun = True
            if message["type"] == "http.response.start":
                given = list(message.get("headers", ()))
                # A page brings its own policy, which allows its stylesheet by digest.
                policies = [pair for pair in given if pair[0].lower() == _POLICY[0]] or [_POLICY]
                own = [(b"x-request-id", request_id.encode("ascii")), *_HEADERS, *policies]
                names = {name for name, _ in own}
                others = [pair for pair in given if pair[0].lower() not in names]
                message = {**message, "headers": [*others, *own]}
            await send(message)

        body = b""
        piecewise = scope["method"] == "POST" and _JOBS.fullmatch(scope["path"]) is not None
        try:
            self._refuse_host(scope)
            if piecewise:
                self._refuse_size(scope, self.max_job)
            else:
                body = await self._body(scope, receive)
        except Problem as problem:
            answer = next((each for path, each in self._refusals.items() if scope["path"].startswith(f"{path}/")), None)
            response = answer(scope, problem) if answer else problem_response(problem, request_id=request_id)
            response.headers["Connection"] = "close"
            await response(scope, receive, guarded)
            return
        given = False

        async def complete() -> Message:
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        try:
            await self.app(scope, self._pieces(receive) if piecewise else complete, guarded)
        except Exception as error:  # noqa: BLE001 - the server would print it with the values in its words
            response = problem_response(error, request_id=request_id)
            if not begun:  # half an answer is cut off instead
                await response(scope, receive, guarded)

    def _refuse_host(self, scope: Scope) -> None:
        named = _header(scope, b"host").lower()
        host = named.rpartition(":")[0] if named.rpartition(":")[2].isdigit() and not named.endswith("]") else named
        if "*" not in self._hosts and host.strip("[]") not in self._hosts:
            raise Problem(400, "unknown-host", "This server has another name.", cure="Ask it under its own name.")

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        self._refuse_size(scope, self.max_body)
        parts, size = [], 0
        try:
            async with asyncio.timeout(self.patience_s):
                while True:
                    message: Any = await receive()
                    if message["type"] == "http.disconnect":
                        break
                    parts.append(message.get("body", b""))
                    size += len(parts[-1])
                    if size > self.max_body:
                        raise _too_large(self.max_body)
                    if not message.get("more_body", False):
                        break
        except TimeoutError:
            cure = f"Send the whole body within {self.patience_s:g} s."
            raise Problem(408, "too-slow", "The body did not come in time.", cure=cure) from None
        return b"".join(parts)

    @staticmethod
    def _refuse_size(scope: Scope, most: int) -> None:
        told = _header(scope, b"content-length")
        if told.isdigit() and int(told) > most:
            raise _too_large(most)

    def _pieces(self, receive: Receive) -> Receive:
        """A body that is handed on as it comes: each piece in time, all of them within the limit of a job."""
        size = 0

        async def next_piece() -> Message:
            nonlocal size
            try:
                async with asyncio.timeout(self.patience_s):
                    message = await receive()
            except TimeoutError:
                cure = f"Let no more than {self.patience_s:g} s pass between two pieces."
                raise Problem(408, "too-slow", "The body did not come in time.", cure=cure) from None
            size += len(message.get("body", b""))
            if size > self.max_job:
                raise _too_large(self.max_job)
            return message

        return next_piece


def _too_large(most: int) -> Problem:
    cure = f"Send at most {most} bytes; split the records."
    return Problem(413, "too-large", "The body is too large.", cure=cure)


def _header(scope: Scope, name: bytes) -> str:
    found = [value for key, value in scope["headers"] if key == name]
    return found[0].decode("latin-1").strip() if found else ""
