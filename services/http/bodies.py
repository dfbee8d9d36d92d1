"""Small bodies, whole in memory."""

from fastapi import Request
from python_multipart.multipart import parse_options_header

from services.errors import TooLarge, UnsupportedMedia
from services.http.multipart import check_plain

JSON = b"application/json"


async def small_body(request: Request) -> bytes:
    """A body of little JSON. Raises TooLarge or UnsupportedMedia."""
    check_plain(request)
    if not is_json(request):
        raise UnsupportedMedia("media_type_unsupported", "Send application/json.")
    return await read_body(request, request.app.state.settings.limits.small_json_bytes)


def is_json(request: Request) -> bool:
    kind, _ = parse_options_header(request.headers.get("content-type", ""))
    return kind.lower() == JSON


async def read_body(request: Request, limit: int) -> bytes:
    """The body of at most `limit` bytes. Raises TooLarge."""
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > limit:
            raise document_too_large(limit, len(data))
    return bytes(data)


def document_too_large(limit: int, actual: int) -> TooLarge:
    return TooLarge("document_too_large", "The JSON is too large.", limit=limit, actual=actual)
