"""What a POST must bring: a key of its own, held while it is answered.

Here as everywhere, a dependency that only looks is a coroutine: a plain function is given a thread, which costs more
than the look."""

import re
from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import Depends, Header, Request, Response

from services.errors import BadRequest, TooLarge
from services.http.once import Answer
from services.http.responses import NO_STORE, etag

KEY = re.compile(r"[\x21-\x7e]+")

KEY_HEADER: dict[str, Any] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": True,
    "description": "A repeated post with the same key gets the first answer again, and has no second effect.",
    "schema": {"type": "string", "pattern": "^[!-~]+$", "maxLength": 255},
    "example": "0b1f6a52-9b0c-4f9e-8a3f-1c2d3e4f5a6b",
}


async def idempotency_key(
    request: Request, idempotency_key: Annotated[str | None, Header(include_in_schema=False)] = None
) -> str:
    """The key that makes a repeated post harmless. Raises BadRequest if there is none, TooLarge."""
    if idempotency_key is None or not KEY.fullmatch(idempotency_key):
        raise BadRequest("idempotency_key_missing", "Send an Idempotency-Key of visible ASCII characters.")
    limit = request.app.state.settings.limits.key_chars
    if len(idempotency_key) > limit:
        raise TooLarge(
            "idempotency_key_too_long", "The Idempotency-Key is too long.", limit=limit, actual=len(idempotency_key)
        )
    return idempotency_key


async def if_match(if_match: Annotated[str | None, Header(include_in_schema=False)] = None) -> str | None:
    """The version that the caller has seen, if it says so."""
    return if_match


Key = Annotated[str, Depends(idempotency_key)]
Seen = Annotated[str | None, Depends(if_match)]


def claimed(request: Request, key: Key) -> Iterator[None]:
    """Holds the key against every other request with it. Raises Conflict `key_in_flight`."""
    with request.app.state.claims.held(request.state.client, key):
        yield


# Let go before the answer is sent: whoever has it may send the key again at once.
CLAIMED = Depends(claimed, scope="function")


def sent(answer: Answer) -> Response:
    """A stored answer, as it is sent: the very bytes, first time or again."""
    headers = NO_STORE | {"ETag": etag(answer.body), "Content-Type": "application/json"} | dict(answer.headers)
    return Response(answer.body, answer.status, headers)
