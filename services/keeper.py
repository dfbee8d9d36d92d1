"""Keeps a worker alive: a child, forked anew when it dies from a process that has loaded what a worker needs."""

import itertools
import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.context import ForkServerProcess
from typing import Literal

from clinimm.errors import ClinimmError, ConfigError
from services.settings import Settings

log = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 10.0
REFUSED = 2  # the exit code of a command that an operator must mend
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["services.worker"])


def keep(settings: Settings) -> None:
    """Keeps a worker until SIGTERM or SIGINT, then lets it end what it has begun, or hand it back.

    Raises ConfigError if it refuses to start."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    keeper = Keeper(settings, on_refusal=stop.set)
    with keeper.keeping():
        stop.wait()
    keeper.check()


class Keeper:
    """Keeps a worker alive as a child, forked from a process that has imported what a worker needs: loading that takes
    most of a worker's start, and one that died is missed until the next is there.

    `refused` and `on_refusal` tell that its first start ended in a refusal, which no other start would mend."""

    def __init__(self, settings: Settings, on_refusal: Callable[[], None]) -> None:
        self.settings, self.on_refusal, self.refused = settings, on_refusal, False
        self._stopping = threading.Event()
        self._child: ForkServerProcess | None = None

    def check(self) -> None:
        """Raises ConfigError if the worker refused to start."""
        if self.refused:
            raise ConfigError("the worker refused to start", where="worker", mend="see what it says above")

    @contextmanager
    def keeping(self) -> Iterator[None]:
        """A worker for the length of the block."""
        os.environ.update(environment(self.settings))  # what it is forked from has ours
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
        pause = 0.0
        for start in itertools.count():
            started = time.monotonic()
            self._child = FORKS.Process(target=work, name="worker")
            self._child.start()
            if self._stopping.is_set():
                self._tell("terminate")
            self._child.join()
            code = self._child.exitcode
            if self._stopping.is_set():
                return
            if code == REFUSED and start == 0:
                self.refused = True
                self.on_refusal()
                return
            lived = time.monotonic() - started
            pause = FIRST_PAUSE if lived > LONGEST_PAUSE else min(max(2 * pause, FIRST_PAUSE), LONGEST_PAUSE)
            log.error("worker died", extra={"code": code, "restart_in_seconds": pause})
            if self._stopping.wait(pause):
                return

    def _tell(self, signal_name: Literal["terminate", "kill"]) -> None:
        if self._child is not None and self._child.is_alive():
            getattr(self._child, signal_name)()


def work() -> None:
    """A worker, in a child of its own; what an operator can mend ends it with `REFUSED`."""
    from services import logs, worker
    from services.settings import settings

    logs.configure()
    try:
        worker.run(settings())
    except (ClinimmError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        raise SystemExit(REFUSED) from error


def environment(settings: Settings) -> dict[str, str]:
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
        "TENANT": settings.tenant,
        "VECTORS": settings.vectors,
    }
    own = {f"CLINIMM_{name}": str(value) for name, value in given.items() if value}
    return {"OMP_NUM_THREADS": str(settings.threads), "OMP_WAIT_POLICY": "PASSIVE", **own}
