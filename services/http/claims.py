"""One request at a time for a key: a lock that the operating system takes back when its holder dies, by whatever means.

No lease and no clock: a file locked with flock. All API processes see the same data folder."""

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from services.errors import Conflict


class Claims:
    """Keys that requests in flight hold, each a file in `folder` for as long as it is held."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    @contextmanager
    def held(self, client: str, key: str) -> Iterator[None]:
        """The key, for the length of the block. Raises Conflict `key_in_flight` where another request has it."""
        path = self.folder / hashlib.sha256(f"{client}\n{key}".encode()).hexdigest()
        handle = _locked(path)
        if handle is None:
            raise Conflict(
                "key_in_flight", "A request with this Idempotency-Key is being answered.", headers={"Retry-After": "1"}
            )
        try:
            yield
        finally:
            with suppress(OSError):  # a name that stays is free for whoever asks next
                path.unlink(missing_ok=True)  # while it is locked, so that nobody waits on a name that is gone
            os.close(handle)

    def sweep(self) -> int:
        """Takes away the names that nobody holds: their holders were killed, and nobody asked again. Gives how many."""
        return sum(map(_taken_away, list(self.folder.iterdir())))


def _taken_away(path: Path) -> bool:
    """Whether nobody held it."""
    handle = _locked(path)
    if handle is None:
        return False
    try:
        path.unlink(missing_ok=True)
    finally:
        os.close(handle)
    return True


def _locked(path: Path) -> int | None:
    """The open file, locked and still the one of that name; None if another has it."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_ours = _is(handle, path)
        except BlockingIOError:
            os.close(handle)
            return None
        except BaseException:
            os.close(handle)
            raise
        if is_ours:
            return handle
        os.close(handle)  # its last holder took the name away between our opening and our locking


def _is(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False
