"""The API's process: one server on a socket of ours and, unless it runs apart, a worker kept alive as a child."""

import itertools
import logging
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from multiprocessing.context import ForkServerProcess
from typing import Literal

import uvicorn
from fastapi import FastAPI

from clinimm.errors import ClinimmError, ConfigError
from services.app import create_app
from services.jobs.prepare import ready
from services.settings import HEAD_BYTES, Settings

log = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
REFUSED = 2  # the exit code of a command that an operator must mend
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["services.worker"])


def serve(settings: Settings, *, with_worker: bool, announce: Callable[[str], None]) -> None:
    """Serves until SIGTERM or SIGINT, then lets open requests end. `announce` is told the address once it is bound.

    Raises ConfigError or ArtifactError if it must not or cannot start."""
    settings.check_exposure()
    ready(settings.url).close()
    app = create_app(settings)
    server = uvicorn.Server(configuration(app, settings))
    keeper = _Keeper(settings, on_refusal=lambda: setattr(server, "should_exit", True))
    with bound(settings.host, settings.port) as listener, keeper.keeping() if with_worker else nullcontext():
        host, port = listener.getsockname()[:2]
        announce(f"http://{f'[{host}]' if ':' in host else host}:{port}")
        for number in (signal.SIGTERM, signal.SIGINT):  # uvicorn raises them again once it has stopped
            signal.signal(number, lambda *_: None)
        server.run(sockets=[listener])
    if keeper.refused:
        raise ConfigError("the worker refused to start", where="serve", mend="see what it says above")


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


class _Keeper:
    """Keeps a worker alive as a child, forked from a process that has imported what a worker needs: loading that takes
    most of a worker's start, and one that died is missed until the next is there.

    `refused` and `on_refusal` tell that its first start ended in a refusal, which no other start would mend."""

    def __init__(self, settings: Settings, on_refusal: Callable[[], None]) -> None:
        self.settings, self.on_refusal, self.refused = settings, on_refusal, False
        self._stopping = threading.Event()
        self._child: ForkServerProcess | None = None

    @contextmanager
    def keeping(self) -> Iterator[None]:
        """A worker for the length of the block."""
        os.environ.update(_environment(self.settings))  # what it is forked from has ours
        thread = threading.Thread(target=self._run, name="worker-keeper", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stopping.set()
            self._tell("terminate")
            thread.join(self.settings.drain_seconds + 10)
            self._tell("kill")
            thread.join()

    def _run(self) -> None:
        pause = FIRST_PAUSE
        for start in itertools.count():
            started = time.monotonic()
            self._child = FORKS.Process(target=_work, name="worker")
            self._child.start()
            if self._stopping.is_set():
                self._tell("terminate")
            self._child.join()
            code = self._child.exitcode
            if self._stopping.is_set():
                return
            log.error("worker died", extra={"code": code, "restart_in_seconds": pause})
            if code == REFUSED and start == 0:
                self.refused = True
                self.on_refusal()
                return
            if self._stopping.wait(pause):
                return
            pause = FIRST_PAUSE if time.monotonic() - started > LONGEST_PAUSE else min(2 * pause, LONGEST_PAUSE)

    def _tell(self, signal_name: Literal["terminate", "kill"]) -> None:
        if self._child is not None and self._child.is_alive():
            getattr(self._child, signal_name)()


def _work() -> None:
    """A worker, in a child of its own; what an operator can mend ends it with `REFUSED`."""
    from services import logs, worker
    from services.settings import settings

    logs.configure()
    try:
        worker.run(settings())
    except (ClinimmError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        raise SystemExit(REFUSED) from error


def _environment(settings: Settings) -> dict[str, str]:
    """The child gets the same settings, by the environment: a command line shows to every user of the machine."""
    given = {
        "DATA": settings.data,
        "REGISTRY": settings.registry,
        "ARTIFACT": settings.model,  # by name: a promotion while we run must not part the worker from the API
        "ALLOW_UNPROMOTED": settings.allow_unpromoted,
        "BACKBONE": settings.backbone,
        "DATABASE_URL": settings.database_url,
        "DATABASE_PASSWORD_FILE": settings.database_password_file,
        "THREADS": settings.threads,
        "DEVICE": settings.device,
        "HEADS": settings.heads,
        "VECTORS": settings.vectors,
    }
    own = {f"CLINIMM_{name}": str(value) for name, value in given.items() if value}
    return {"OMP_NUM_THREADS": str(settings.threads), "OMP_WAIT_POLICY": "PASSIVE", **own}
