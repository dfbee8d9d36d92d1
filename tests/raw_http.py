"""HTTP by hand, over a socket: what no client library would send."""

import json
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import httpx

BOUNDARY = b"b0undary"
SECONDS = 20.0  # for a whole answer: whoever takes longer hangs


@dataclass(frozen=True)
class Reply:
    """`status` is 0 where the server hung up without a word."""

    status: int
    text: str

    @property
    def document(self) -> dict[str, Any]:
        return dict(json.loads(self.text)) if self.text.startswith("{") else {}


def part(name: str, content: bytes, *headers: bytes, disposition: bytes | None = None) -> bytes:
    said = disposition if disposition is not None else b'form-data; name="' + name.encode() + b'"'
    lines = b"\r\n".join([b"Content-Disposition: " + said, *headers])
    return b"--" + BOUNDARY + b"\r\n" + lines + b"\r\n\r\n" + content + b"\r\n"


def form(parts: Iterable[bytes], end: bytes = b"--" + BOUNDARY + b"--\r\n") -> bytes:
    return b"".join(parts) + end


def head(key: str, *headers: bytes, path: bytes = b"/v1/cases") -> bytes:
    """A request line and header fields, without the empty line that ends them."""
    first = [b"POST " + path + b" HTTP/1.1", b"Host: x", b"Connection: close", b"Idempotency-Key: " + key.encode()]
    return b"\r\n".join([*first, *headers])


def framed(body: bytes, *headers: bytes, media: bytes = b"multipart/form-data; boundary=" + BOUNDARY) -> list[bytes]:
    """Header fields for a body of this length."""
    return [b"Content-Type: " + media, b"Content-Length: " + str(len(body)).encode(), *headers]


def spoken(client: httpx.Client, message: bytes, *, half_close: bool = False) -> Reply:
    """What the server says to these bytes, until it hangs up."""
    with connected(client) as connection:
        connection.sendall(message)
        if half_close:
            connection.shutdown(socket.SHUT_WR)
        answer = b""
        try:
            while chunk := connection.recv(1 << 16):
                answer += chunk
        except ConnectionResetError:  # it hung up while we were still talking
            pass
    if not answer:
        return Reply(0, "")
    top, _, body = answer.partition(b"\r\n\r\n")
    return Reply(int(top.split(b" ", 2)[1]), body.decode("utf-8", "replace"))


def connected(client: httpx.Client) -> socket.socket:
    return socket.create_connection((client.base_url.host, client.base_url.port), timeout=SECONDS)
