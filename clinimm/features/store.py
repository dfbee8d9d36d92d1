"""A folder of what was found in inputs: safe to share among processes, bounded in size, and safe to delete."""

import logging
import os
import uuid
from contextlib import suppress
from pathlib import Path

from clinimm.features.found import Found, from_bytes, to_bytes

log = logging.getLogger(__name__)

LIMIT_BYTES = 4 << 30
_LARGEST = 1 / 16  # of the limit: an entry, and what is written between two sweeps
_LEFT = 7 / 8  # of the limit: what a sweep leaves


class Features:
    """Entries in `folder`, a file each. They are made from patients' pictures and notes, and as private as these: only
    the user who wrote them may read them.

    An entry appears whole or not at all, and one that is torn or altered is as good as none. What was used longest ago
    is deleted first: one process alone never holds more than `limit_bytes`, and each further one may pass it by an
    eighth before it sees that. An entry larger than a sixteenth of the limit is not kept. A folder that cannot be read
    or written costs time, never an answer."""

    def __init__(self, folder: Path, limit_bytes: int = LIMIT_BYTES) -> None:
        self.folder = folder
        self.limit_bytes = limit_bytes
        self._unswept = float(limit_bytes)  # so that the first write looks what others left

    def read(self, name: str) -> Found | None:
        """The entry of this name, to the bit as it was written; None where there is no sound one."""
        path = self._path(name)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            log.warning("features cannot be read", extra={"error": type(error).__name__})
            return None
        with suppress(OSError):  # another process may have swept it, which does not matter any more
            os.utime(path)
        return from_bytes(data, name)

    def write(self, name: str, found: Found) -> None:
        """Keeps an entry in the place of what stood under its name, if there is room for one of its size."""
        data = to_bytes(found, name)
        if len(data) > _LARGEST * self.limit_bytes:
            return
        building = self.folder / f".{uuid.uuid4().hex}"  # left by a crash, it is swept as the oldest of all
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with open(building, "xb", opener=_private) as file:
                file.write(data)
            os.replace(building, self._path(name))
            self._sweep(len(data))
        except OSError as error:
            log.warning("features cannot be kept", extra={"error": type(error).__name__})
            with suppress(OSError):
                building.unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.features"

    def _sweep(self, written: int) -> None:
        self._unswept += written
        if self._unswept < _LARGEST * self.limit_bytes:
            return
        self._unswept = 0
        held = sorted(_files(self.folder))
        total = sum(size for _, size, _ in held)
        for _, size, path in held:
            if total <= _LEFT * self.limit_bytes:
                return
            path.unlink(missing_ok=True)
            total -= size


def _files(folder: Path) -> list[tuple[int, int, Path]]:
    """When each file was last used, its bytes, and where it is; files that vanish meanwhile are left out."""
    found = []
    for path in folder.iterdir():
        with suppress(FileNotFoundError):
            status = path.stat()
            found.append((status.st_mtime_ns, status.st_size, path))
    return found


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
