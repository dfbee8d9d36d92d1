"""A disk, and a database upon it, that fail at the n-th call of a kind: with the error of your choice, or by a write
that is cut short.

It stands in for hardware alone. Every call of the operating system that touches `root` counts, and every statement and
commit of a database where one is given. Calls are counted by their kind, so that one which a thread in the background
makes in between moves none of another kind out of its place."""

import errno
import fcntl
import io
import os
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

SHORT = "short write"
GROWING = ("write", "fsync", "mkdir", "COMMIT", "INSERT")  # what needs room
SQLITE_NAMES = {errno.ENOSPC: "SQLITE_FULL", errno.EIO: "SQLITE_IOERR", errno.EINTR: "SQLITE_INTERRUPT"}


class Disk:
    """Sound until `fail` is called. `fired` says whether a call has failed since, `heard` which kinds there were."""

    def __init__(self, root: Path) -> None:
        self.root = str(root)
        self.fired, self.heard = False, set[str]()
        self._kind, self._left, self._fault = "", 0, ""
        self._number = 0
        self._lock = threading.Lock()

    def fail(self, kind: str, at: int, fault: int | str) -> None:
        """The call number `at` of that kind from now on, from 1, fails: once, or, of a disk that is full, with every
        write and sync that follows until it is mended."""
        with self._lock:
            self.fired, self._kind, self._left, self._fault = False, kind, at, str(fault)
            self._number = fault if isinstance(fault, int) else 0

    def mend(self) -> None:
        with self._lock:
            self._left = 0

    def called(self, kind: str) -> bool:
        """Raises the fault if this is the call; True if it is and what is asked for is a short write."""
        with self._lock:
            self.heard.add(kind)
            if not self._left or not self._fails(kind):
                return False
            self.fired = True
            self._left = int(self._number == errno.ENOSPC)
        if self._fault == SHORT:
            return True
        raise OSError(self._number, os.strerror(self._number))

    def _fails(self, kind: str) -> bool:
        if self.fired:
            return kind in GROWING
        if kind != self._kind:
            return False
        self._left -= 1
        return not self._left

    def statement(self, name: str) -> None:
        """As `called`, in the words of SQLite."""
        try:
            self.called(name)
        except OSError as error:
            told = sqlite3.OperationalError("disk I/O error")
            told.sqlite_errorname = SQLITE_NAMES[self._number]
            raise OperationalError(name, {}, told) from error

    def holds(self, path: Any) -> bool:
        return isinstance(path, str | os.PathLike) and os.fspath(path).startswith(self.root)


def failing_files(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts the files under `root` on the failing disk."""
    for name in ("open", "replace", "mkdir", "unlink", "link"):
        monkeypatch.setattr(os, name, _by_path(disk, name, getattr(os, name)))
    real_sync, real_lock = os.fsync, fcntl.flock

    def fsync(handle: int) -> None:
        disk.called("fsync")
        real_sync(handle)

    def flock(handle: int, how: int) -> None:
        disk.called("flock")
        real_lock(handle, how)

    class Raw(io.FileIO):
        def write(self, data: Any) -> int:
            return super().write(bytes(data)[: max(1, len(data) // 2)] if disk.called("write") else data)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(fcntl, "flock", flock)
    monkeypatch.setattr(os, "fdopen", lambda handle, mode: io.BufferedWriter(Raw(handle, mode)))


def failing_statements(disk: Disk, engine: sa.Engine) -> None:
    """Puts the database on the failing disk."""
    sa.event.listen(engine, "before_cursor_execute", lambda *said: disk.statement(said[2].split()[0]))
    sa.event.listen(engine, "commit", lambda _: disk.statement("COMMIT"))


def _by_path(disk: Disk, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
    def called(path: Any, *more: Any, **named: Any) -> Any:
        if disk.holds(path):
            disk.called(name)
        return real(path, *more, **named)

    return called
