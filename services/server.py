"""The API's process: one server on a socket of ours and, unless it runs apart, a worker kept alive as a child."""

import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import uvicorn
from fastapi import FastAPI

from clinimm.errors import ConfigError
from services.app import create_app
from services.jobs.prepare import ready
from services.keeper import Keeper
from services.settings import HEAD_BYTES, Settings


def serve(settings: Settings, *, with_worker: bool, announce: Callable[[str], None]) -> None:
    """Serves until SIGTERM or SIGINT, then lets open requests end. `announce` is told the address once it is bound.

    Raises ConfigError or ArtifactError if it must not or cannot start."""
    settings.check_exposure()
    ready(settings.url, settings.tenant).close()
    app = create_app(settings)
    server = uvicorn.Server(configuration(app, settings))
    keeper = Keeper(settings, on_refusal=lambda: setattr(server, "should_exit", True))
    with bound(settings.host, settings.port) as listener, keeper.keeping() if with_worker else nullcontext():
        host, port = listener.getsockname()[:2]
        announce(f"http://{f'[{host}]' if ':' in host else host}:{port}")
        for number in (signal.SIGTERM, signal.SIGINT):  # uvicorn raises them again once it has stopped
            signal.signal(number, lambda *_: None)
        server.run(sockets=[listener])
    keeper.check()


def configuration(app: FastAPI, settings: Settings) -> uvicorn.Config:
    """How every API process talks HTTP."""
    return uvicorn.Config(
        app,
        http="h11",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=settings.drain_seconds,
        h11_max_incomplete_event_size=HEAD_BYTES,
    )


@contextmanager
def bound(host: str, port: int) -> Iterator[socket.socket]:
    """A listening socket. Raises ConfigError if the address cannot be had."""
    try:
        listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise ConfigError("the address cannot be bound", where=f"{host}:{port}", mend="choose another") from error
    # What accepts inherits it. Without, the second of two small writes, as of an answer's head and body, waits for the
    # caller's acknowledgment of the first, which comes 40 ms late; asyncio sets it on sockets of a named protocol only.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with listener:
        yield listener
