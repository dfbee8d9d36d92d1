"""Around every request: an id for it, one log line, its time, an event, and an answer even where everything failed."""

import asyncio
import logging
import re
import time
import uuid
from dataclasses import dataclass, field

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services import audit
from services.app import problems, sights
from services.app.metrics import Metrics
from services.audit.asking import PURPOSES, Asking, asking
from services.audit.witness import Sight, Witness
from services.errors import BadRequest, HeadersTooLarge, StorageFull, TooSlow
from services.logs import request_id

log = logging.getLogger(__name__)

REFUSAL_SECONDS = 1.0  # that a refusal waits for its event
LEAST_RATE = 64 * 1024  # bytes a second of a body
VALID_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Envelope:
    """The outermost layer. The caller's X-Request-Id is taken over where it is a plain word. `witness` is told of what
    is read and refused before the client is: what is read without that is not given out."""

    def __init__(
        self,
        app: ASGIApp,
        metrics: Metrics,
        header_bytes: int,
        patience_seconds: float,
        witness: Witness,
    ) -> None:
        self.app, self.metrics, self.header_bytes, self.patience = app, metrics, header_bytes, patience_seconds
        self.witness = witness

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id.set(given if VALID_ID.fullmatch(given) else uuid.uuid4().hex)
        asking.set(behind := Asking(source=str((scope.get("client") or ("",))[0])))
        # HEAD is answered as GET; the server, which knows what was asked, leaves the body out.
        inner = {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope
        answering = _Answering(self, scope["method"], inner, send, behind)
        try:
            self._check_headers(scope)
            behind.purpose = _purpose(scope)
            await self.app(inner, _in_time(receive, self.patience), answering.send)
        except ClientDisconnect:
            answering.status = 499
        except Exception as error:
            refusal = problems.as_service_error(error)
            if refusal.status >= 500:
                log.error("request failed", extra={"code": refusal.code}, exc_info=error)
            if answering.status:
                raise
            await problems.answer(Request(scope), refusal)(scope, receive, answering.send)
        finally:
            answering.note()

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


def _purpose(scope: Scope) -> str:
    """What the client asks for. Raises BadRequest for what is no code of the list, and for two."""
    said = Headers(scope=scope).getlist("x-purpose-of-use")
    if not said:
        return ""
    if len(said) > 1 or said[0] not in PURPOSES:
        listed = ", ".join(PURPOSES)
        raise BadRequest("unknown_purpose", f"X-Purpose-Of-Use must be one of {listed}, or left out.")
    return said[0]


@dataclass
class _Answering:
    """One answer on its way out. Before its head goes, what it tells is an event; before its end does, it is logged and
    counted: whoever has an answer finds both."""

    envelope: Envelope
    method: str
    scope: Scope
    out: Send
    behind: Asking
    status: int = 0
    started: float = field(default_factory=time.perf_counter)
    noted: bool = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            await self._begin(message)
        elif not message.get("more_body"):
            self.note()
        await self.out(message)

    def note(self) -> None:
        if self.noted:
            return
        self.noted = True
        seconds, route = time.perf_counter() - self.started, sights.route(self.scope)
        self.envelope.metrics.note(self.method, route, self.status, seconds)
        facts = {"method": self.method, "route": route, "status": self.status, "ms": round(seconds * 1000, 1)}
        log.info("request", extra=facts)

    async def _begin(self, message: Message) -> None:
        witness = self.envelope.witness
        if message["status"] == StorageFull.status:
            await run_in_threadpool(witness.make_room)
        if not self.behind.told and (seen := sights.of(self.scope, message["status"])) is not None:
            await _tell(witness, seen)
        self.status = message["status"]
        MutableHeaders(scope=message)["X-Request-Id"] = request_id.get()


async def _tell(witness: Witness, seen: Sight) -> None:
    """Raises what kept the event from being written; of a refusal, which is given in any case, that is logged."""
    told = asyncio.wrap_future(witness.tell(seen))
    try:
        await asyncio.wait_for(told, None if seen.outcome == audit.DONE else REFUSAL_SECONDS)
    except Exception as error:
        if seen.outcome == audit.DONE:
            raise
        log.error("refusal not recorded", extra={"code": seen.facts.get("code")}, exc_info=error)


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
