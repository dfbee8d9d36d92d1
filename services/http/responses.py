"""Answers that can be asked for on condition: a strong ETag of the very bytes, 304 if the caller has them."""

import hashlib
import re
from collections.abc import Mapping

from fastapi import Request, Response
from pydantic import BaseModel

from services.errors import NotAcceptable, PreconditionMissing, Stale

JSON = "application/json"
HTML = "text/html"
NO_STORE = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
_QUALITY = re.compile(r"q=(0(\.\d{0,3})?|1(\.0{0,3})?)")


def document(
    request: Request,
    body: BaseModel,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    version: int | None = None,
) -> Response:
    """`body` as JSON, its ETag telling its `version` if it has one. Raises NotAcceptable if the caller takes none."""
    preferred(request, (JSON,))
    data = body.model_dump_json().encode()
    tag = etag(data) if version is None else etag_of_version(data, version)
    return content(request, data, JSON, status=status, headers=headers, tag=tag)


def content(
    request: Request,
    data: bytes,
    media_type: str,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    tag: str | None = None,
) -> Response:
    """`data` with its ETag; 304 and no body where the caller's If-None-Match names it."""
    tag = tag or etag(data)
    known = NO_STORE | {"ETag": tag} | dict(headers or {})
    if request.method == "GET" and _matches(request.headers.get("if-none-match", ""), tag):
        return Response(status_code=304, headers=known)
    return Response(data, status_code=status, media_type=media_type, headers=known)


def etag(data: bytes) -> str:
    return f'"{hashlib.sha256(data).hexdigest()}"'


def etag_of_version(data: bytes, version: int) -> str:
    """A strong ETag that also tells the version, which is all that `check_version` asks for."""
    return f'"{version}-{hashlib.sha256(data).hexdigest()}"'


def check_version(if_match: str | None, version: int, *, needed: bool = False) -> None:
    """Raises Stale if the caller's If-Match names another version than this, PreconditionMissing if it is `needed` and
    there is none. A case whose state changed is still of the version that was seen."""
    if if_match is None:
        if needed:
            raise PreconditionMissing("if_match_missing", "Send If-Match with the ETag of what you have seen.")
        return
    tags = [part.strip() for part in if_match.split(",")]
    if "*" not in tags and not any(tag.startswith(f'"{version}-') or tag == f'"{version}"' for tag in tags):
        raise Stale("version_stale", "It has changed since; read it again.")


def preferred(request: Request, offered: tuple[str, ...]) -> str:
    """The media type of `offered` that the Accept header likes best, the first of equals. Raises NotAcceptable."""
    accept = request.headers.get("accept", "").strip() or "*/*"
    likings = [_liking(part) for part in accept.split(",")]
    scores = [max((quality for pattern, quality in likings if _covers(pattern, kind)), default=0.0) for kind in offered]
    if not any(scores):
        raise NotAcceptable("not_acceptable", f"This is given as {' or '.join(offered)}.")
    return offered[scores.index(max(scores))]


def _liking(part: str) -> tuple[str, float]:
    pattern, *parameters = (piece.strip().lower() for piece in part.split(";"))
    qualities = [float(match[1]) for piece in parameters if (match := _QUALITY.fullmatch(piece))]
    return pattern, qualities[0] if qualities else 1.0


def _covers(pattern: str, kind: str) -> bool:
    return pattern in ("*/*", kind, f"{kind.partition('/')[0]}/*")


def _matches(header: str, tag: str) -> bool:
    return header.strip() == "*" or tag in (part.strip().removeprefix("W/") for part in header.split(","))
