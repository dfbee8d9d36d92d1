"""Connections to a PostgreSQL that may fall silent: it takes what it is sent, and never answers.

A driver would wait for ever, and so would every thread that asks. Here who got no answer for a while finds out whether
the server answers anybody: if it does, the statement is only slow, or waits for a lock, and is waited for; if not, the
connection is lost, as one that was broken is."""

import socket
import struct
import threading
import time
from collections.abc import Generator
from typing import Any

from psycopg import Connection
from psycopg.errors import ConnectionTimeout
from psycopg.pq import TransactionStatus

PATIENCE_SECONDS = 0.7  # twice that, for an answer and for whether there is any, is under the 2 s of a refusal
PAUSE_SECONDS = 1.0
# What a client may ask before all else: whether the server speaks TLS. Source: PostgreSQL, "SSL Session Encryption".
SSL_REQUEST = struct.pack("!ii", 8, 80877103)


class Server:
    """The server as its clients in this process found it: after it was silent, nobody asks it for a moment."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._silent_at = float("-inf")

    def connect(self, *args: Any, **params: Any) -> "Heard":
        """Raises OperationalError if it cannot be reached, ConnectionTimeout, which is one, if it is silent."""
        if self.is_silent(str(params.get("host", "")), int(params.get("port", 5432))):
            raise ConnectionTimeout("the server is silent")
        connection = Heard.connect(*args, **params)
        connection.server = self
        return connection

    def is_silent(self, host: str, port: int) -> bool:
        """Whether it does not answer, by asking it; one at a time, so that the others are told what one found."""
        with self._lock:
            if time.monotonic() - self._silent_at < PAUSE_SECONDS:
                return True
            if found := _is_silent(host, port):
                self._silent_at = time.monotonic()
            return found


class Heard(Connection[Any]):
    """A connection that is closed when its server is silent."""

    server: Server | None = None

    def wait(self, gen: Generator[Any, Any, Any], *args: Any, **more: Any) -> Any:
        """What the driver waits for. Raises ConnectionTimeout."""
        return super().wait(self._heard(gen), *args, **more)

    def _heard(self, gen: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        """`gen` as it is, for as long as its server answers. The driver resumes it now and then for nothing."""
        patience, since = PATIENCE_SECONDS, time.monotonic()
        try:
            awaited = next(gen)
            while True:
                ready = yield awaited
                if ready:
                    since = time.monotonic()
                elif time.monotonic() - since > patience and self._is_owed_an_answer():
                    self._check()
                    patience, since = 2 * patience, time.monotonic()
                awaited = gen.send(ready)
        except StopIteration as end:
            return end.value

    def _is_owed_an_answer(self) -> bool:
        """Not while it listens to what others may tell."""
        return self.pgconn.transaction_status == TransactionStatus.ACTIVE

    def _check(self) -> None:
        if self.server is not None and self.server.is_silent(self.info.host, self.info.port):
            self.close()
            raise ConnectionTimeout("the server fell silent")


def _is_silent(host: str, port: int) -> bool:
    """Whether nothing is heard at all; a refusal is an answer, and a place that is not told is not asked."""
    if not host or "," in host:
        return False
    is_local = host.startswith("/")
    place: Any = f"{host}/.s.PGSQL.{port}" if is_local else (host, port)
    try:
        with socket.socket(socket.AF_UNIX) if is_local else socket.create_connection(place, PATIENCE_SECONDS) as asked:
            asked.settimeout(PATIENCE_SECONDS)
            if is_local:
                asked.connect(place)
            asked.sendall(SSL_REQUEST)
            asked.recv(1)
    except TimeoutError:
        return True
    except OSError:
        return False
    return False
