"""A disk, and a database upon it, that fail at the n-th call of a kind: with the error of your choice, by a write that
is cut short, or by taking their time.

It stands in for hardware alone. Every call of the operating system that touches `root` counts, and every statement and
commit of a database where one is given. Calls are counted by their kind, so that one which a thread in the background
makes in between moves none of another kind out of its place."""

import builtins
import errno
import fcntl
import io
import math
import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SHORT = "short write"
SLOW = "slow"
STALLED = "stalled"  # until the disk is mended
LOST = "lost"  # of a database: the connection is gone, and with a commit the answer to it
SLOW_SECONDS, STALLED_SECONDS = 0.2, 10.0
REST_SECONDS = 0.1
GROWING = ("write", "fsync", "mkdir", "COMMIT", "INSERT")  # what needs room
Fault = int | str


class Disk:
    """Sound until `fail` is called. `fired` says whether a call has failed since, `stalls` whether one is held up,
    `heard` how many there were of each kind."""

    def __init__(self, root: Path) -> None:
        self.root = str(root)
        self.fired, self.stalls, self.heard = False, False, Counter[str]()
        self._kind, self._left, self._last = "", 0, -math.inf
        self._fault: Fault = ""
        self._lock, self._mended = threading.Lock(), threading.Event()

    def fail(self, kind: str, at: int, fault: Fault) -> None:
        """The call number `at` of that kind from now on, from 1, fails: once, or, of a disk that is full, with every
        write and sync that follows until it is mended."""
        with self._lock:
            self.fired, self._kind, self._left, self._fault = False, kind, at, fault
            self._mended.clear()

    def __repr__(self) -> str:
        return f"<{self._fault} at {self._kind}>"

    def mend(self) -> None:
        with self._lock:
            self._left = 0
            self._mended.set()

    def rest(self) -> None:
        """Waits until no call came for a moment: a request cleans up after it has answered."""
        while time.monotonic() - self._last < REST_SECONDS:
            time.sleep(0.01)

    def take_time(self, fault: Fault | None) -> None:
        """As long as the fault says."""
        if fault == SLOW:
            self._last = time.monotonic() + SLOW_SECONDS
            time.sleep(SLOW_SECONDS)
        if fault == STALLED:
            self.stalls = True
            self._mended.wait(STALLED_SECONDS)
            self.stalls = False

    def due(self, kind: str) -> Fault | None:
        """Counts a call; its fault, if this is one that fails."""
        with self._lock:
            self.heard[kind] += 1
            self._last = time.monotonic()
            if not self._left or not self._fails(kind):
                return None
            self.fired = True
            self._left = int(self._fault == errno.ENOSPC)
            return self._fault

    def called(self, kind: str) -> bool:
        """Raises the fault if this is the call, or takes its time; True if what is asked for is a short write."""
        fault = self.due(kind)
        if isinstance(fault, int):
            raise OSError(fault, os.strerror(fault))
        self.take_time(fault)
        return fault == SHORT

    def _fails(self, kind: str) -> bool:
        if self.fired:
            return kind.partition(" ")[0] in GROWING
        if kind != self._kind:
            return False
        self._left -= 1
        return not self._left

    def holds(self, path: Any) -> bool:
        return isinstance(path, str | os.PathLike) and os.fspath(path).startswith(self.root)


def failing_files(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts the files under `root` on the failing disk."""
    for name in ("open", "replace", "mkdir", "unlink", "link", "stat", "utime", "listdir", "scandir"):
        monkeypatch.setattr(os, name, _by_path(disk, name, getattr(os, name)))
    real_sync, real_lock, opened = os.fsync, fcntl.flock, _opened(disk, builtins.open)

    def fsync(handle: int) -> None:
        disk.called("fsync")
        real_sync(handle)

    def flock(handle: int, how: int) -> None:
        disk.called("flock")
        real_lock(handle, how)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(fcntl, "flock", flock)
    monkeypatch.setattr(os, "fdopen", lambda handle, mode: io.BufferedWriter(_Raw(disk, handle, mode)))
    monkeypatch.setattr(io, "open", opened)
    monkeypatch.setattr(builtins, "open", opened)


class _Raw(io.FileIO):
    """A file whose reads and writes count."""

    def __init__(self, disk: Disk, file: Any, mode: str, opener: Any = None) -> None:
        super().__init__(file, mode.replace("b", ""), opener=opener)
        self._disk = disk

    def write(self, data: Any) -> int:
        return super().write(bytes(data)[: max(1, len(data) // 2)] if self._disk.called("write") else data)

    def readinto(self, buffer: Any) -> int:
        self._disk.called("read")
        return super().readinto(buffer)

    def readall(self) -> bytes:
        self._disk.called("read")
        return super().readall()


def _by_path(disk: Disk, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
    def called(path: Any = ".", *more: Any, **named: Any) -> Any:
        if disk.holds(path):
            disk.called(name)
        return real(path, *more, **named)

    return called


def _opened(disk: Disk, real: Callable[..., Any]) -> Callable[..., Any]:
    def opened(file: Any, mode: str = "r", *more: Any, **named: Any) -> Any:
        if not disk.holds(file) or mode not in ("rb", "xb", "wb"):
            return real(file, mode, *more, **named)
        disk.called("open")
        raw = _Raw(disk, os.fspath(file), mode, named.get("opener"))
        return io.BufferedReader(raw) if mode == "rb" else io.BufferedWriter(raw)

    return opened
