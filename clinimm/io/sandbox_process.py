"""One limited child process and the socket to it: what may kill a decoder kills this, not us."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from struct import Struct
from typing import Any

from clinimm.io.scan_types import Limits

LENGTHS = Struct("<IQ")
START_SECONDS = 60.0
HEADER_BYTES = 1 << 24
# Secrets live in the environment; a decoder needs none of it but where Python finds its modules.
KEPT_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TZ")

# One thread; and memory that was freed is kept for the next picture, since asking the system for fresh pages costs more
# than decoding an uncompressed film.
FRUGAL = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_TRIM_THRESHOLD_": str(1 << 28),
    "MALLOC_MMAP_THRESHOLD_": str(1 << 25),
}


class ChildLostError(Exception):
    """The child died, hung or spoke nonsense."""


@dataclass(frozen=True)
class Confinement:
    """What a child may use: address space, seconds for one input (of processor and of the clock) and for each of its
    megabytes, and how many inputs it reads before a fresh one takes over."""

    memory_bytes: int = 2 << 30
    seconds: float = 8.0
    seconds_per_megabyte: float = 1.0
    inputs_per_child: int = 500
    limits: Limits = field(default_factory=Limits)


class Child:
    """One process and the socket to it. Not thread-safe: a Sandbox hands it to one reader at a time."""

    def __init__(self, confinement: Confinement) -> None:
        self.owner, self.reads = os.getpid(), 0
        self.socket, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "clinimm.io.sandbox_child"],
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=subprocess.DEVNULL,
                env=child_environment(),
                cwd="/",
            )
        try:
            self._tell(asdict(confinement), START_SECONDS)
            self.abilities: dict[str, bool] = self._hear(START_SECONDS)[0]["abilities"]
        except BaseException:
            self.end()
            raise

    def ask(self, request: dict[str, Any], seconds: float) -> tuple[dict[str, Any], bytearray]:
        """The answer and its pixels. Raises ChildLostError; the child is then of no more use."""
        self.reads += 1
        self._tell(request, seconds)
        return self._hear(seconds)

    def ask_each(self, request: dict[str, Any], seconds: Sequence[float]) -> Iterator[dict[str, Any]]:
        """An answer for each of so many inputs, one after the other. Raises ChildLostError as `ask` does."""
        self._tell(request, seconds[0])
        for one in seconds:
            self.reads += 1
            yield self._hear(one)[0]

    def end(self) -> None:
        """Kill the process, unless it is that of the one we were forked from; then only let go of the socket."""
        if self.owner == os.getpid():
            self.process.kill()
            self.process.wait()
        self.socket.close()

    def _tell(self, message: dict[str, Any], seconds: float) -> None:
        try:
            self.socket.settimeout(seconds)
            self.socket.sendall(json.dumps(message).encode() + b"\n")
        except OSError as error:
            raise ChildLostError from error

    def _hear(self, seconds: float) -> tuple[dict[str, Any], bytearray]:
        deadline = time.monotonic() + seconds
        try:
            header_bytes, pixel_bytes = LENGTHS.unpack(self._exactly(LENGTHS.size, deadline))
            if header_bytes > HEADER_BYTES or pixel_bytes > 4 * Limits().voxels:
                raise ChildLostError
            return json.loads(self._exactly(header_bytes, deadline)), self._exactly(pixel_bytes, deadline)
        except (OSError, ValueError, RecursionError) as error:
            raise ChildLostError from error

    def _exactly(self, count: int, deadline: float) -> bytearray:
        buffer = bytearray(count)
        rest = memoryview(buffer)
        while len(rest):
            self.socket.settimeout(max(1e-3, deadline - time.monotonic()))
            got = self.socket.recv_into(rest)
            if not got:
                raise ChildLostError
            rest = rest[got:]
        return buffer


def child_environment() -> dict[str, str]:
    """What a limited child is told: where modules lie and what language we speak, and no secret."""
    kept = {name: os.environ[name] for name in KEPT_ENVIRONMENT if name in os.environ}
    modules = os.pathsep.join(path or os.getcwd() for path in sys.path)
    return {**kept, **FRUGAL, "PYTHONPATH": modules}
