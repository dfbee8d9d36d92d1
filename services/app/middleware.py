"""Around every request: an id for it, one log line, its time, and an answer even where everything failed."""

import asyncio
import logging
import re
import time
import uuid
from collections.abc import Callable

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.app import problems
from services.app.metrics import Metrics
from services.errors import BadRequest, HeadersTooLarge, StorageFull, TooSlow
from services.logs import request_id

log = logging.getLogger(__name__)

LEAST_RATE = 64 * 1024  # bytes a second of a body
VALID_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Envelope:
    """The outermost layer. The caller's X-Request-Id is taken over where it is a plain word. `on_full` is told of the
    client and the route of every request that is refused for want of room, before the client is."""

    def __init__(
        self,
        app: ASGIApp,
        metrics: Metrics,
        header_bytes: int,
        patience_seconds: float,
        on_full: Callable[[str, str], None],
    ) -> None:
        self.app, self.metrics, self.header_bytes, self.patience = app, metrics, header_bytes, patience_seconds
        self.on_full = on_full

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id.set(given if VALID_ID.fullmatch(given) else uuid.uuid4().hex)
        started, status = time.perf_counter(), 0
        # HEAD is answered as GET; the server, which knows what was asked, leaves the body out.
        inner = {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope

        async def send_named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if status == StorageFull.status:
                    await self._note_full(scope)
                MutableHeaders(scope=message)["X-Request-Id"] = request_id.get()
            await send(message)

        try:
            self._check_headers(scope)
            await self.app(inner, _in_time(receive, self.patience), send_named)
        except ClientDisconnect:
            status = 499
        except Exception as error:
            refusal = problems.as_service_error(error)
            if refusal.status >= 500:
                log.error("request failed", extra={"code": refusal.code}, exc_info=error)
            if status:
                raise
            await problems.answer(Request(scope), refusal)(scope, receive, send_named)
        finally:
            self._note(scope["method"], inner, status, time.perf_counter() - started)

    def _check_headers(self, scope: Scope) -> None:
        """Raises HeadersTooLarge, where each field counts as its line does: with a colon, a space and an end; and
        BadRequest for a body of two lengths, of which the proxy before us may have believed the other."""
        if {b"content-length", b"transfer-encoding"} <= {name for name, _ in scope["headers"]}:
            raise BadRequest("bad_request", "The body has two lengths.")
        size = sum(len(name) + len(value) + 4 for name, value in scope["headers"])
        if size > self.header_bytes:
            raise HeadersTooLarge(
                "headers_too_large", "The header fields are too large.", limit=self.header_bytes, actual=size
            )

    async def _note_full(self, scope: Scope) -> None:
        try:
            await run_in_threadpool(self.on_full, scope.get("state", {}).get("client", ""), _route(scope))
        except Exception as error:
            log.error("refusal not recorded", exc_info=error)

    def _note(self, method: str, scope: Scope, status: int, seconds: float) -> None:
        route = _route(scope)
        self.metrics.note(method, route, status, seconds)
        facts = {"method": method, "route": route, "status": status, "ms": round(seconds * 1000, 1)}
        log.info("request", extra=facts)


def _in_time(receive: Receive, patience: float) -> Receive:
    """`receive`, until the body is late: a second for each 64 KiB of it that came, and `patience` seconds besides. Then
    TooSlow is raised, so that a sender who stalls keeps no upload from another."""
    began, received = time.monotonic(), 0

    async def receive_in_time() -> Message:
        nonlocal received
        left = began + patience + received / LEAST_RATE - time.monotonic()
        try:
            async with asyncio.timeout(left):  # unlike wait_for it makes no task, of which there would be one a chunk
                message = await receive()
        except TimeoutError:
            raise TooSlow("body_too_slow", "The body does not come.") from None
        received += len(message.get("body", b""))
        return message

    return receive_in_time


def _route(scope: Scope) -> str:
    """The route's template, not the path that was asked for: a path can hold anything."""
    return str(getattr(scope.get("route"), "path", "unmatched"))
