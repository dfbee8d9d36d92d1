"""The API's process: one server on a socket of ours and, unless it runs apart, a worker kept alive as a child."""

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn

from clinimm.errors import ConfigError
from services.app import create_app
from services.jobs.prepare import prepared
from services.settings import Settings

log = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0


def serve(settings: Settings, *, with_worker: bool, announce: Callable[[str], None]) -> None:
    """Serves until SIGTERM or SIGINT, then lets open requests end. `announce` is told the address once it is bound.

    Raises ConfigError or ArtifactError if it must not or cannot start."""
    settings.check_exposure()
    prepared(settings.url).close()
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=settings.drain_seconds,
        h11_max_incomplete_event_size=64 * 1024,
    )
    with bound(settings.host, settings.port) as listener, _worker(settings) if with_worker else _nothing():
        host, port = listener.getsockname()[:2]
        announce(f"http://{f'[{host}]' if ':' in host else host}:{port}")
        for number in (signal.SIGTERM, signal.SIGINT):  # uvicorn raises them again once it has stopped
            signal.signal(number, lambda *_: None)
        uvicorn.Server(config).run(sockets=[listener])


@contextmanager
def bound(host: str, port: int) -> Iterator[socket.socket]:
    """A listening socket. Raises ConfigError if the address cannot be had."""
    try:
        listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise ConfigError("the address cannot be bound", where=f"{host}:{port}", mend="choose another") from error
    with listener:
        yield listener


@contextmanager
def _worker(settings: Settings) -> Iterator[None]:
    """A worker for the length of the block: started again if it dies, ended with the block or with this process."""
    keeper = _Keeper(_command(), _environment(settings), settings.drain_seconds)
    thread = threading.Thread(target=keeper.run, name="worker-keeper", daemon=True)
    thread.start()
    try:
        yield
    finally:
        keeper.stop()
        thread.join()


@contextmanager
def _nothing() -> Iterator[None]:
    yield


class _Keeper:
    """Runs a command over and over. Its standard input is a pipe that nobody writes to: it closes when we die."""

    def __init__(self, command: list[str], environment: dict[str, str], drain_seconds: int) -> None:
        self.command, self.environment, self.drain_seconds = command, environment, drain_seconds
        self._stopping = threading.Event()
        self._child: subprocess.Popen[bytes] | None = None

    def run(self) -> None:
        pause = FIRST_PAUSE
        while not self._stopping.is_set():
            started = time.monotonic()
            self._child = subprocess.Popen(self.command, env=self.environment, stdin=subprocess.PIPE)
            code = self._child.wait()
            if self._stopping.is_set():
                return
            pause = FIRST_PAUSE if time.monotonic() - started > LONGEST_PAUSE else min(2 * pause, LONGEST_PAUSE)
            log.error("worker died", extra={"code": code, "restart_in_seconds": pause})
            self._stopping.wait(pause)

    def stop(self) -> None:
        self._stopping.set()
        child = self._child
        if child is None:
            return
        child.terminate()
        try:
            child.wait(self.drain_seconds + 10)
        except subprocess.TimeoutExpired:
            child.kill()


def _command() -> list[str]:
    return [sys.executable, "-m", "services.cli", "worker", "--stop-with-parent"]


def _environment(settings: Settings) -> dict[str, str]:
    """The child gets the same settings, by the environment: a command line shows to every user of the machine."""
    given = {
        "DATA": settings.data,
        "ARTIFACT": settings.model,
        "DATABASE_URL": settings.database_url,
        "DATABASE_PASSWORD_FILE": settings.database_password_file,
        "THREADS": settings.threads,
        "DEVICE": settings.device,
    }
    own = {f"CLINIMM_{name}": str(value) for name, value in given.items() if value}
    return {**os.environ, "OMP_NUM_THREADS": str(settings.threads), "OMP_WAIT_POLICY": "PASSIVE", **own}
