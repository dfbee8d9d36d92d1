"""What FastAPI cannot see of a route by itself, for the API's document."""

from collections.abc import Mapping
from typing import Any

from fastapi import Path

from services.http.problem import MEDIA

STATUSES: Mapping[int, str] = {
    400: "The request cannot be read",
    401: "A valid token is needed",
    403: "This client may not do it",
    404: "There is no such thing",
    405: "Not a method of this path",
    406: "The answer has no such form",
    408: "The body does not come",
    409: "It is not there yet, or contradicts what is",
    410: "It was taken out of use",
    412: "A newer version is there",
    413: "A limit is exceeded",
    415: "The media type or encoding is not read",
    422: "The content is refused",
    428: "Say which version you have seen",
    431: "The header fields are too large",
    500: "The service failed",
    503: "The service cannot take it now",
    507: "There is no room left to keep it",
}
HEADERS: Mapping[str, str] = {
    "X-Request-Id": "Names this answer to who runs the service.",
    "ETag": "Of this very answer; that of a case also tells its version.",
    "Cache-Control": "`no-store`: what is told of patients is in no cache.",
    "Location": "Where it goes on.",
    "Content-Location": "The case.",
    "Link": "The next page, as `next`.",
    "Retry-After": "Seconds until it is worth asking again.",
    "WWW-Authenticate": "How to say who asks.",
    "Allow": "The methods of this path.",
}


def headers(*required: str, some: tuple[str, ...] = ()) -> dict[str, Any]:
    """Header fields of an answer, of which `some` may be left out."""
    return {
        name: {"description": HEADERS[name], "required": name in required, "schema": {"type": "string"}}
        for name in (*required, *some)
    }


def problem(status: int) -> dict[str, Any]:
    """The answer that is a problem of this status."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": STATUSES[status], "content": {MEDIA: {"schema": schema}}}


def told(schema: str, said: str, *required: str, some: tuple[str, ...] = ()) -> dict[str, Any]:
    """An answer of JSON."""
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {"description": said, "content": content, "headers": headers(*required, some=some)}


def in_path(pattern: str, example: str, said: str = "") -> Any:
    """A part of a path. One of another form is answered 404, as any other that is not there."""
    return Path(description=said, json_schema_extra={"pattern": f"^(?:{pattern})$"}, examples=[example])
