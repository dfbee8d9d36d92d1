"""Bytes kept by what they are: files named by their SHA-256, durable before they are spoken of.

Names are made here; nothing that a client sent ever forms a path. A DICOM file's 128-byte preamble, where a program can
hide, is stored as zeros; the hash of the bytes as they came is kept beside."""

import fcntl
import hashlib
import os
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from clinimm.errors import ClinimmError, ConfigError

PREAMBLE = 128
MAGIC = b"DICM"
YOUNG_SECONDS = 600.0
SYNCS = 8  # at once
LOST = "lost+found"

Mark = tuple[int, int]


class DamagedBlob(ClinimmError):
    """A stored file no longer has the bytes it was named for."""


class Staged:
    """A file being received. `sha256` is of the bytes as kept, `original_sha256` as they came."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self.is_dicom = self.nulled = self._settled = False
        self._head = b""
        self._kept = self._original = hashlib.sha256()  # one, unless the preamble parts them
        self._file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")

    def touch(self) -> None:
        """Says that it is still wanted, to who sweeps up what nobody touches."""
        os.utime(self.path)

    def write(self, data: bytes) -> None:
        self.size += len(data)
        if self._settled:
            if self.nulled:
                self._original.update(data)
            self._append(data)
            return
        self._head += data
        if len(self._head) >= PREAMBLE + len(MAGIC):
            self._settle()

    def close(self) -> None:
        if not self._settled:
            self._settle()
        self._file.close()

    def discard(self) -> None:
        """Leaves nothing behind; harmless after `Blobs.keep`. On a disk that fails, what it can: the sweep does the
        rest, and whoever hears of the failure hears of its cause."""
        with suppress(OSError):  # what is still to be written may find no room, now as before
            self._file.close()
        with suppress(OSError):
            self.path.unlink(missing_ok=True)

    @property
    def sha256(self) -> str:
        return self._kept.hexdigest()

    @property
    def original_sha256(self) -> str:
        return self._original.hexdigest()

    def _settle(self) -> None:
        head, self._head, self._settled = self._head, b"", True
        self.is_dicom = head[PREAMBLE : PREAMBLE + len(MAGIC)] == MAGIC
        if self.is_dicom and any(head[:PREAMBLE]):
            self.nulled, self._original = True, hashlib.sha256(head)
            head = bytes(PREAMBLE) + head[PREAMBLE:]
        self._append(head)

    def _append(self, data: bytes) -> None:
        self._kept.update(data)
        self._file.write(data)


class Blobs:
    """The files under `root`. Written by the API and the workers alike, which must see the same folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.incoming = root / "incoming"
        self.incoming.mkdir(parents=True, exist_ok=True, mode=0o700)
        for shard in range(256):  # all of them now, so that none is ever new, and not yet durable
            (root / f"{shard:02x}").mkdir(exist_ok=True, mode=0o700)
        _sync(root)
        self._syncing = ThreadPoolExecutor(SYNCS, thread_name_prefix="sync")

    @classmethod
    def there(cls, data: Path) -> "Blobs":
        """Those of a data folder. Raises ConfigError if it has none: a wrong path must not look like a loss."""
        if not (data / "blobs").is_dir():
            raise ConfigError("there are no files", where=str(data), mend="check --data")
        return cls(data / "blobs")

    def path(self, sha256: str) -> Path:
        return self.root / sha256[:2] / sha256

    def stage(self) -> Staged:
        return Staged(self.incoming / uuid.uuid4().hex)

    def keep(self, staged: Staged) -> None:
        """Gives closed bytes their name, durably: once this returns, a crash does not lose them."""
        self.keep_all([staged])

    def keep_all(self, staged: Sequence[Staged]) -> None:
        """`keep` for many at once: a disk takes ten syncs together in the time of two in turn."""
        places = [self.path(one.sha256) for one in staged]
        self._sync_all([one.path for one in staged])
        with self.locked(fcntl.LOCK_SH):
            for one, place in zip(staged, places, strict=True):
                os.replace(one.path, place)
        self._sync_all(list({place.parent for place in places}))

    @contextmanager
    def locked(self, how: int) -> Iterator[None]:
        """Holds the names: any number of processes give files theirs (`LOCK_SH`), or one takes some away (`LOCK_EX`).
        The system lets go of it for a process that dies."""
        handle = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, how)
            yield
        finally:
            os.close(handle)

    def _sync_all(self, paths: Sequence[Path]) -> None:
        if len(paths) == 1:
            _sync(paths[0])
            return
        for done in [self._syncing.submit(_sync, path) for path in paths]:
            done.result()

    def put(self, data: bytes) -> str:
        """The name of `data`, kept durably."""
        staged = self.stage()
        staged.write(data)
        staged.close()
        self.keep(staged)
        return staged.sha256

    def read(self, sha256: str) -> bytes:
        """The bytes of that name. Raises DamagedBlob if they are gone or were changed."""
        try:
            data = self.path(sha256).read_bytes()
        except FileNotFoundError as error:
            raise DamagedBlob("a stored file is missing", where=sha256, mend="restore it from a backup") from error
        if hashlib.sha256(data).hexdigest() != sha256:
            raise DamagedBlob("a stored file was changed", where=sha256, mend="restore it from a backup")
        return data

    def check(self, sha256: str) -> None:
        """What `read` raises, of a file that may be too large to be read at once."""
        if not self.is_sound(sha256):
            raise DamagedBlob("a stored file is missing or was changed", where=sha256, mend="restore it from a backup")

    def holds(self, sha256: str) -> bool:
        """Whether there is a file of that name."""
        return self.path(sha256).is_file()

    def is_sound(self, sha256: str) -> bool:
        """Whether the file of that name is there and has the bytes it was named for."""
        return _hash_of(self.path(sha256)) == sha256

    def names(self) -> Iterator[set[str]]:
        """The names of all files, some hundreds at a time."""
        for shard in self.root.iterdir():
            if len(shard.name) == 2:
                yield {path.name for path in shard.iterdir()}

    def lay_aside(self, name: str) -> None:
        """Moves a file to `lost+found`, where nobody looks for it and an operator may."""
        self._lost.mkdir(exist_ok=True, mode=0o700)
        _move(self.path(name), self._lost / name)

    def bring_back(self, sha256: str) -> bool:
        """Whether the file of that name lay in `lost+found`, whole, and is now where it belongs."""
        if _hash_of(self._lost / sha256) != sha256:
            return False
        _move(self._lost / sha256, self.path(sha256))
        return True

    @property
    def _lost(self) -> Path:
        return self.root / LOST


class Sweeper:
    """Removes what a crash left behind: files that no row names and nobody touched for `patience` seconds. They are
    counted by this process's own `clock`, since those of the files may jump, and a file that is being received must not
    look old. `referenced` says which of some names a row still names."""

    def __init__(
        self,
        blobs: Blobs,
        referenced: Callable[[Collection[str]], Collection[str]],
        *,
        patience: float = YOUNG_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.blobs, self.referenced, self.patience, self.clock = blobs, referenced, patience, clock
        self._seen: dict[Path, tuple[Mark, float]] = {}

    def turn(self) -> int:
        """How many files were removed."""
        now = self.clock()
        marks = {path: mark for path in self._unwanted() if (mark := _mark(path)) is not None}
        self._seen = {path: (mark, self._since(path, mark, now)) for path, mark in marks.items()}
        ripe = [path for path, (_, since) in self._seen.items() if now - since >= self.patience]
        with self.blobs.locked(fcntl.LOCK_EX):
            return sum(_removed(path, marks[path]) for path in ripe)

    def _unwanted(self) -> Iterator[Path]:
        yield from self.blobs.incoming.iterdir()
        for names in self.blobs.names():
            yield from map(self.blobs.path, names - set(self.referenced(names)))

    def _since(self, path: Path, mark: Mark, now: float) -> float:
        known, since = self._seen.get(path, (mark, now))
        return since if known == mark else now


def _mark(path: Path) -> Mark | None:
    """What changes when a file is written or put anew; None if it is gone."""
    try:
        found = path.stat()
    except FileNotFoundError:  # whoever received it has just kept or discarded it
        return None
    return found.st_ino, found.st_mtime_ns


def _removed(path: Path, mark: Mark) -> bool:
    """Whether it was; not a file that was put anew since it was marked. The caller holds the names."""
    if _mark(path) != mark:
        return False
    path.unlink(missing_ok=True)
    return True


def _hash_of(path: Path) -> str:
    """Of the bytes of a file; "" if there is none, or if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def _move(source: Path, target: Path) -> None:
    os.replace(source, target)
    for folder in {source.parent, target.parent}:
        _sync(folder)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
