"""Small JSON bodies, whole in memory."""

from fastapi import Request
from python_multipart.multipart import parse_options_header

from services.errors import TooLarge, UnsupportedMedia
from services.http.multipart import check_plain

JSON = b"application/json"
LIMIT = 64 * 1024


async def small_body(request: Request) -> bytes:
    """The body of at most 64 KiB of JSON. Raises TooLarge or UnsupportedMedia."""
    check_plain(request)
    kind, _ = parse_options_header(request.headers.get("content-type", ""))
    if kind.lower() != JSON:
        raise UnsupportedMedia("media_type_unsupported", "Send application/json.")
    return await read_json(request, LIMIT, "request_too_large")


async def read_json(request: Request, limit: int, code: str) -> bytes:
    """The body of at most `limit` bytes."""
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > limit:
            raise TooLarge(code, "The body is too large.", limit=limit, actual=len(data))
    return bytes(data)
