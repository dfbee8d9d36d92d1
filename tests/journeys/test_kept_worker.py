"""A worker beside an API or apart: kept alive, quickly there again, and gone with its keeper however that ends."""

import json
import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from service_processes import Service, running

pytestmark = pytest.mark.slow


@pytest.fixture(params=[("serve", "--port", "0"), ("worker",)], ids=" ".join)
def service(request: pytest.FixtureRequest, tiny_artifact: Path, tmp_path: Path) -> Iterator[Service]:
    command, *options = request.param
    with running(command, tmp_path / "data", tiny_artifact, *options) as service:
        yield service


def test_a_worker_that_is_killed_is_there_again_without_loading_anew(service: Service) -> None:
    first = ready(service, 1)[0]
    loaded = parent(first)
    assert loaded not in (service.process.pid, os.getpid())
    os.kill(first, signal.SIGKILL)
    again = ready(service, 2)[1]
    assert parent(again) == loaded
    os.kill(loaded, signal.SIGKILL)  # then what they are forked from is loaded anew
    third = ready(service, 3)[2]
    assert parent(third) not in (loaded, 1)
    assert service.stop() == 0
    await_gone(again, third)


def test_a_worker_ends_with_a_keeper_that_is_killed(service: Service) -> None:
    [worker] = ready(service, 1)
    service.kill()
    await_gone(worker)


def ready(service: Service, count: int) -> list[int]:
    """The process ids of the workers that said that they are ready, once there are so many."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        lines = [line for line in service.log.read_text().splitlines() if '"worker ready"' in line]
        if len(lines) >= count:
            return [int(json.loads(line)["worker"].split("-")[-2]) for line in lines]
        time.sleep(0.1)
    raise AssertionError(service.log.read_text()[-2000:])


def parent(process: int) -> int:
    found = re.search(r"^PPid:\s+(\d+)", Path(f"/proc/{process}/status").read_text(), re.MULTILINE)
    assert found
    return int(found[1])


def await_gone(*processes: int) -> None:
    deadline = time.monotonic() + 60
    while left := [one for one in processes if Path(f"/proc/{one}").exists() and not zombie(one)]:
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


def zombie(process: int) -> bool:
    try:
        return "State:\tZ" in Path(f"/proc/{process}/status").read_text()
    except FileNotFoundError:
        return True
