"""A multipart/form-data body, streamed part by part into sinks, with every limit checked as the bytes arrive.

Starlette's own reader holds no limit on files, takes a body that stops before its end, and turns bad UTF-8 into
something else without a word."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from services.errors import BadRequest, TooLarge, UnsupportedMedia

BATCH = 512 * 1024  # bytes that go to the disk at once: a thread costs more than those of a chunk


class Sink(Protocol):
    def write(self, data: bytes) -> object: ...
    def close(self) -> None: ...


@dataclass
class Part:
    """One part: the name it was given, and where its bytes go. `limit` is how many its sink may take, `refusal` what is
    raised over that, of how many had come."""

    name: str
    sink: Sink
    limit: int
    refusal: Callable[[int], TooLarge]
    size: int = 0


@dataclass
class _Reader:
    """Turns the parser's callbacks into parts."""

    open_part: Callable[[str], Part]
    parts: list[Part] = field(default_factory=list)
    ended: bool = False
    _header: bytes = b""
    _value: bytes = b""
    _disposition: bytes = b""

    def callbacks(self) -> dict[str, Callable[..., None]]:
        return {
            "on_part_begin": self.begin,
            "on_header_field": self.header,
            "on_header_value": self.value,
            "on_header_end": self.header_end,
            "on_headers_finished": self.headers_end,
            "on_part_data": self.data,
            "on_part_end": self.part_end,
            "on_end": self.end,
        }

    def begin(self) -> None:
        self._header = self._value = self._disposition = b""

    def header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            if self._disposition:
                raise BadRequest("bad_multipart", "A part has two dispositions.")
            self._disposition = self._value
        if self._header.lower() == b"content-transfer-encoding" and self._value.strip().lower() not in _PLAIN:
            raise UnsupportedMedia("encoding_unsupported", "Send parts as they are, not encoded.")
        self._header = self._value = b""

    def headers_end(self) -> None:
        kind, options = parse_options_header(self._disposition)
        if kind != b"form-data" or not _is_said_once(self._disposition, "name"):
            raise BadRequest("bad_multipart", "A part has no name, or two.")
        self.parts.append(self.open_part(options[b"name"].decode("utf-8", "replace")))

    def data(self, data: bytes, start: int, end: int) -> None:
        part = self.parts[-1]
        part.size += end - start
        if part.size > part.limit:
            raise part.refusal(part.size)
        part.sink.write(data[start:end])

    def part_end(self) -> None:
        self.parts[-1].sink.close()

    def end(self) -> None:
        self.ended = True


_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_PLAIN = (b"binary", b"8bit", b"7bit", b"identity")


async def read(
    request: Request,
    open_part: Callable[[str], Part],
    limit: int,
    on_disk: Callable[[Callable[[bytes], None], bytes], Awaitable[None]],
    on_chunk: Callable[[], None] = lambda: None,
) -> list[Part]:
    """The parts of a body of at most `limit` bytes, written by way of `on_disk`; `on_chunk` is called as they come.
    Raises BadRequest, TooLarge or UnsupportedMedia."""
    reader = _Reader(open_part)
    boundary = _boundary(request)
    _check_size(int(request.headers.get("content-length", 0)), limit)
    received = 0
    try:
        parser = MultipartParser(boundary, reader.callbacks())  # type: ignore[arg-type]

        def take(chunk: bytes) -> None:
            parser.write(chunk)
            on_chunk()

        batch = bytearray()
        async for chunk in request.stream():
            received += len(chunk)
            _check_size(received, limit)
            batch += chunk
            if len(batch) >= BATCH:
                await on_disk(take, bytes(batch))
                batch.clear()
        await on_disk(take, bytes(batch))
    except FormParserError as error:
        raise BadRequest("bad_multipart", "The body is not multipart/form-data.") from error
    if not reader.ended:
        raise BadRequest("bad_multipart", "The body stops before its last boundary.")
    return reader.parts


def check_plain(request: Request) -> None:
    """Raises UnsupportedMedia for a body that is compressed, or not in UTF-8, BadRequest for one of two types."""
    if len(request.headers.getlist("content-type")) > 1:
        raise BadRequest("bad_request", "The body has two content types.")
    if {encoding.lower() for encoding in request.headers.getlist("content-encoding")} - {"identity"}:
        raise UnsupportedMedia("encoding_unsupported", "Send the body as it is, not compressed.")
    _, options = parse_options_header(request.headers.get("content-type", ""))
    if options.get(b"charset", b"utf-8").lower() not in (b"utf-8", b"utf8"):
        raise UnsupportedMedia("charset_unsupported", "Send UTF-8.")


def _boundary(request: Request) -> bytes:
    check_plain(request)
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind.lower() != b"multipart/form-data":
        raise UnsupportedMedia("media_type_unsupported", "Send multipart/form-data, or application/json.")
    if not options.get(b"boundary") or not _is_said_once(request.headers["content-type"], "boundary"):
        raise BadRequest("bad_multipart", "The content type names no boundary, or two.")
    return options[b"boundary"]


def _is_said_once(header: str | bytes, option: str) -> bool:
    """Whether a header has this option, and neither twice nor in the extended form of RFC 2231, which RFC 7578 forbids:
    of two names, another reader of the same bytes may take the other."""
    text = header.decode("latin-1") if isinstance(header, bytes) else header
    bare = _QUOTED.sub('""', text)
    found = re.findall(rf";\s*{option}(\*[^=;]*)?\s*=", bare, re.IGNORECASE)
    return found == [""]


def _check_size(actual: int, limit: int) -> None:
    if actual > limit:
        raise TooLarge("request_too_large", "The request is too large.", limit=limit, actual=actual)
