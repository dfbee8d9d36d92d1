"""Reading files that are not trusted, in limited child processes: what kills a decoder kills one input, not us."""

import os
import queue
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from clinimm.errors import DamagedInput, InputError, ResourceLimit, UnsupportedInput
from clinimm.io import transfer_syntaxes
from clinimm.io.inspection import Inspection, recorded
from clinimm.io.sandbox_answers import scan_of
from clinimm.io.sandbox_process import Child, ChildLostError, Confinement
from clinimm.io.scan_types import Scan, WindowChoice

FAILURES = {error.__name__: error for error in (InputError, UnsupportedInput, DamagedInput, ResourceLimit)}
BATCH = 64  # files inspected in one round trip; then others have their turn

Observer = Callable[[str, float], None]


class Sandbox:
    """`read` as scan.read_scan does, in a child that has limits; safe to call from many threads.

    Children start when first needed and end with `close`, or with this process. A process forked from this one gets
    children of its own. `observe` is told of each file or scan the name of its transfer syntax, `refused` or `other`,
    and the seconds that it took; it must be safe to call from many threads, and does not travel to other processes."""

    def __init__(
        self, confinement: Confinement | None = None, *, processes: int = 1, observe: Observer | None = None
    ) -> None:
        self.confinement, self.processes, self.observe = confinement or Confinement(), processes, observe
        self._renew()

    def read(self, paths: Sequence[Path], window: WindowChoice = "voi", *, at_least: int | None = None) -> Scan:
        """The scan in `paths`. Raises InputError as read_scan does, and ResourceLimit `decode_resource_limit` where
        reading took more memory or time than allowed, or killed its process."""
        seconds = self._seconds(paths)
        request = {"paths": [os.path.abspath(path) for path in paths], "window": window, "at_least": at_least}
        where = paths[0].name if len(paths) == 1 else f"{len(paths)} files"
        started = time.perf_counter()
        try:
            with self._child() as child:
                answer, pixels = child.ask({**request, "seconds": seconds}, seconds)
        except ChildLostError:
            raise _lost(where) from None
        self._note(answer if "failed" in answer else answer["facts"], started)
        if "failed" in answer:
            raise _refusal(answer, where)
        return scan_of(answer, pixels)

    def inspect(self, path: Path) -> Inspection:
        """What a door must know of the DICOM file at `path`; this process does not open it, and no pixel is decoded.

        Raises InputError as `read` does, `bad_uid` for an identifier that is no UID, `unknown_format` for a file that
        is not DICOM."""
        (found,) = self.inspect_all([path])
        if isinstance(found, InputError):
            raise found
        return found

    def inspect_all(self, paths: Sequence[Path]) -> list[Inspection | InputError]:
        """`inspect` of each file in turn, at one round trip for many; its refusal where it has one. A file that kills
        the child is refused by `decode_resource_limit`, and those after it go to a fresh child."""
        found: list[Inspection | InputError] = []
        while len(found) < len(paths):
            found += self._inspect_some(paths[len(found) : len(found) + BATCH])
        return found

    def _inspect_some(self, paths: Sequence[Path]) -> list[Inspection | InputError]:
        """Of the first files, up to and with the one that ended the child."""
        seconds = [self._seconds([path]) for path in paths]
        request = {"inspect": [os.path.abspath(path) for path in paths], "seconds": seconds}
        found: list[Inspection | InputError] = []
        try:
            with self._child() as child:
                started = time.perf_counter()
                for path, answer in zip(paths, child.ask_each(request, seconds), strict=True):
                    found.append(_inspection(answer, path.name))
                    self._note(answer, started)
                    started = time.perf_counter()
        except ChildLostError:
            found.append(_lost(paths[len(found)].name))
        return found

    def is_able(self) -> bool:
        """Whether a child lives, or could be started just now."""
        if any(child.process.poll() is None for child in tuple(self._children)):
            return True
        try:
            self.abilities()
        except (ChildLostError, OSError):
            return False
        return True

    def abilities(self) -> dict[str, bool]:
        """What a child can do in spite of its walls: see sandbox_walls.raise_walls."""
        with self._child() as child:
            return child.abilities

    def _note(self, told: dict[str, Any], started: float) -> None:
        if self.observe is not None:
            syntax = "refused" if "failed" in told else transfer_syntaxes.name_of(str(told.get("transfer_syntax", "")))
            self.observe(syntax, time.perf_counter() - started)

    def _seconds(self, paths: Sequence[Path]) -> float:
        return self.confinement.seconds + self.confinement.seconds_per_megabyte * _megabytes(paths)

    @property
    def pids(self) -> tuple[int, ...]:
        """The children that live now."""
        return tuple(child.process.pid for child in self._children)

    def close(self) -> None:
        """End every child. A later `read` starts a new one."""
        self._finalizer()
        self._renew()

    def __enter__(self) -> "Sandbox":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return _remade, (self.confinement, self.processes)

    def _renew(self) -> None:
        self._owner = os.getpid()
        self._children: set[Child] = set()
        # The last one used is the next one taken, so that a quiet pool keeps few processes.
        self._slots: queue.LifoQueue[Child | None] = queue.LifoQueue()
        for _ in range(self.processes):
            self._slots.put(None)
        self._finalizer = weakref.finalize(self, _end_all, self._children)

    @contextmanager
    def _child(self) -> Iterator[Child]:
        """A child that is nobody else's for the while. After an error of any kind it is not used again."""
        if self._owner != os.getpid():
            self._renew()
        slots, children = self._slots, self._children
        child = slots.get()
        kept: Child | None = None
        try:
            if child is None:
                child = Child(self.confinement)
                children.add(child)
            yield child
            if child.reads < self.confinement.inputs_per_child and child in children:
                kept = child
        finally:
            if child is not None and kept is None:
                children.discard(child)
                child.end()
            slots.put(kept)


def _end_all(children: set[Child]) -> None:
    while children:
        children.pop().end()


def _megabytes(paths: Sequence[Path]) -> float:
    """Of the files that there are; what cannot be read is the child's to say."""
    files = [file for path in paths for file in (path.rglob("*") if path.is_dir() else [path])]
    return sum(file.stat().st_size for file in files if file.is_file()) / 1e6


def _lost(where: str) -> ResourceLimit:
    return ResourceLimit("decode_resource_limit", "its decoder died, hung or took too much memory", where=where)


def _refusal(answer: dict[str, Any], where: str) -> InputError:
    said: dict[str, Any] = {"where": answer.get("where") or where, "mend": answer.get("mend", "")}
    counts = {name: answer[name] for name in ("limit", "actual") if name in answer}
    return FAILURES[answer["failed"]](answer["code"], answer["what"], **said, **counts)


def _inspection(answer: dict[str, Any], where: str) -> Inspection | InputError:
    """Raises ChildLostError for an answer that is neither."""
    try:
        return _refusal(answer, where) if "failed" in answer else recorded(answer)
    except (KeyError, TypeError, ValueError) as error:
        raise ChildLostError from error


def _remade(confinement: Confinement, processes: int) -> Sandbox:
    return Sandbox(confinement, processes=processes)
