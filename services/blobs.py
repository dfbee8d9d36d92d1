"""Bytes kept by what they are: files named by their SHA-256, durable before they are spoken of.

Names are made here; nothing that a client sent ever forms a path. A DICOM file's 128-byte preamble, where a program can
hide, is stored as zeros; the hash of the bytes as they came is kept beside."""

import hashlib
import os
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from clinimm.errors import ClinimmError

PREAMBLE = 128
MAGIC = b"DICM"
YOUNG_SECONDS = 600.0
SYNCS = 8  # at once


class DamagedBlob(ClinimmError):
    """A stored file no longer has the bytes it was named for."""


class Staged:
    """A file being received. `sha256` is of the bytes as kept, `original_sha256` as they came."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self.is_dicom = self.nulled = self._settled = False
        self._head = b""
        self._kept, self._original = hashlib.sha256(), hashlib.sha256()
        self._file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")

    def write(self, data: bytes) -> None:
        self._original.update(data)
        self.size += len(data)
        if self._settled:
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
        """Leaves nothing behind; harmless after `Blobs.keep`."""
        self._file.close()
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
        if self.is_dicom:
            self.nulled = any(head[:PREAMBLE])
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
        self._syncing = ThreadPoolExecutor(SYNCS, thread_name_prefix="sync")

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
        new = {place.parent for place in places if not place.parent.exists()}
        for folder in new:
            folder.mkdir(exist_ok=True, mode=0o700)
        self._sync_all([one.path for one in staged])
        for one, place in zip(staged, places, strict=True):
            os.replace(one.path, place)
        self._sync_all([*{place.parent for place in places}, *([self.root] if new else [])])

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

    def sweep(self, referenced: Callable[[Collection[str]], Collection[str]], older_than: float = YOUNG_SECONDS) -> int:
        """Removes what a crash left behind: files that no row names, once they are old. Returns how many.

        `referenced` says which of some names a row still names."""
        removed = sum(_remove_if_old(path, older_than) for path in self.incoming.iterdir())
        for shard in self._shards():
            names = {path.name for path in shard.iterdir()}
            removed += sum(_remove_if_old(shard / name, older_than) for name in names - set(referenced(names)))
        return removed

    def _shards(self) -> Iterator[Path]:
        return (path for path in self.root.iterdir() if path != self.incoming)


def _remove_if_old(path: Path, older_than: float) -> bool:
    """A file of the same name may be put at this very moment: so it is set aside first, and put back if it is new."""
    if not _is_old(path, older_than):
        return False
    aside = path.with_name(f"{path.name}.sweeping")
    os.replace(path, aside)
    if not _is_old(aside, older_than):
        os.replace(aside, path)
        return False
    aside.unlink()
    return True


def _is_old(path: Path, older_than: float) -> bool:
    try:
        return time.time() - path.stat().st_mtime > older_than
    except FileNotFoundError:  # whoever received it has just kept or discarded it
        return False


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
