"""The processes of a service, and their killers: SIGKILL after a random while, amid a start, straight after an answer,
or as soon as a line appears in the log, which is where a commit is done and not yet told."""

import contextlib
import multiprocessing
import os
import random
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

FORKS = multiprocessing.get_context("forkserver")
READY_SECONDS = 300.0
WORKER = ["worker"]
LONGEST_WAIT = 10.0  # for an answer or a line that a killer strikes at
READY, TAKEN, COMPUTED = b'"event": "worker ready"', b'"event": "inputs taken"', b'"event": "job computed"'


@dataclass
class Member:
    """One process of the service, again and again: an API on its port, or a worker where there is no port.

    `cold` starts are of the command that an operator types, from the beginning. The others are forked from a process
    that has imported everything, as the keeper of a worker does."""

    name: str
    log: Path
    environment: dict[str, str]
    port: int = 0
    process: Any = None
    answered: threading.Event = field(default_factory=threading.Event)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, *, cold: bool) -> None:
        arguments = ["serve", "--no-worker", "--port", str(self.port)] if self.port else WORKER
        how = _exec if cold else _run
        self.process = FORKS.Process(target=how, args=(arguments, self.environment, str(self.log)), daemon=True)
        self.process.start()

    def kill(self) -> None:
        """It and its children at once."""
        with contextlib.suppress(ProcessLookupError):  # it was killed before it led a group of its own
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.kill()
        self.process.join()

    def is_ready(self, since: int) -> bool:
        if not self.port:
            return READY in self.logged(since)
        try:
            return httpx.get(f"{self.address}/healthz", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    def logged(self, since: int) -> bytes:
        with self.log.open("rb") as log:
            log.seek(since)
            return log.read()

    def size(self) -> int:
        return self.log.stat().st_size if self.log.exists() else 0

    def await_ready(self, since: int) -> float:
        """The seconds that it took. Raises TimeoutError with what it logged."""
        started = time.monotonic()
        while not self.is_ready(since):
            if time.monotonic() - started > READY_SECONDS or not self.process.is_alive():
                ended = f"{self.name} is not ready, exit code {self.process.exitcode}"
                raise TimeoutError(f"{ended}: {self.logged(since).decode()[-2000:]}")
            time.sleep(0.02)
        return time.monotonic() - started


@dataclass(frozen=True)
class Kill:
    """`recovery` is the seconds until the process was ready again; None where it was killed before it was."""

    member: str
    how: str
    cold: bool
    recovery: float | None


@dataclass
class Killer:
    """Kills one member until `enough` says so. Leaves it alive and ready."""

    member: Member
    rng: random.Random
    enough: Callable[[], bool]
    cold_share: float
    kills: list[Kill] = field(default_factory=list)
    failure: Exception | None = None

    def work(self) -> None:
        try:
            while not self.enough():
                self._once()
            since = self.member.size()
            if not self.member.process.is_alive():
                self.member.start(cold=False)
                self.member.await_ready(since)
        except Exception as error:
            self.failure = error

    def _once(self) -> None:
        moments = {"while": self._while, "answer": self._answer, "line": self._line}
        how = self.rng.choice(list(moments))
        moments[how]()
        self._kill(how)

    def _kill(self, how: str) -> None:
        """Kills and starts, and now and then kills again amid the start."""
        self.member.kill()
        cold = self.rng.random() < self.cold_share
        since = self.member.size()
        self.member.start(cold=cold)
        if self.rng.random() < 0.15:
            time.sleep(self.rng.uniform(0, 2.0 if cold else 0.4))
            self.kills.append(Kill(self.member.name, how, cold, None))
            self._kill("start")
            return
        self.kills.append(Kill(self.member.name, how, cold, self.member.await_ready(since)))

    def _while(self) -> None:
        time.sleep(self.rng.uniform(0, 2.0 if self.member.port else 8.0))

    def _answer(self) -> None:
        """A client has just had a 2xx; of a worker nobody has one, and it is as `_while`."""
        if not self.member.port:
            return self._while()
        self.member.answered.clear()
        self.member.answered.wait(LONGEST_WAIT)
        return None

    def _line(self) -> None:
        word, since, deadline = (
            (TAKEN if self.member.port else COMPUTED),
            self.member.size(),
            time.monotonic() + LONGEST_WAIT,
        )
        while word not in self.member.logged(since) and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(self.rng.choice([0.0, self.rng.uniform(0, 0.3)]))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def preload() -> None:
    """Lets every member be forked from a process that has imported what an API and a worker import."""
    FORKS.set_forkserver_preload(["services.cli", "services.server", "services.keeper", "services.worker"])


def _prepared(environment: dict[str, str], log: str) -> None:
    os.setsid()
    os.environ.update(environment)
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for stream in (1, 2):
        os.dup2(handle, stream)


def _run(arguments: list[str], environment: dict[str, str], log: str) -> None:
    _prepared(environment, log)
    if arguments == WORKER:
        from services.keeper import work

        return work()
    from services.cli import main

    sys.argv = ["clinimm-service", *arguments]
    return main()


def _exec(arguments: list[str], environment: dict[str, str], log: str) -> None:
    _prepared(environment, log)
    os.execv(sys.executable, [sys.executable, "-m", "services.cli", *arguments])
