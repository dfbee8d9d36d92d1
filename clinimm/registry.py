"""The artifacts that may answer patients: each kept by its digest, and a history of who let it in, and why.

artifacts/DIGEST/       a promoted artifact, whole
evaluations/SHA256.json what was found when a candidate was judged; the name is its hash
history.jsonl           a line per promotion, refusal and rollback; each names the hash of the line before it
current.json            the digest that answers, and the hash of the last line

Every file is written beside its place, made durable, and renamed, the history before the pointer: a crash leaves the
old state or the new one. The chain tells that a line was changed, dropped or put in; it does not stop somebody who may
write here from making a whole new chain, so keep the last hash elsewhere if that matters."""

import fcntl
import getpass
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from clinimm.errors import ArtifactError

Verdict = Literal["promoted", "refused", "rolled_back"]
_START = "0" * 64


@dataclass(frozen=True)
class Entry:
    """A line of the history. `digest` is the artifact that was judged, or gone back to; `previous` the one that
    answered until then; `before` the hash of the line before. `evaluation` and `manifest` are hashes."""

    at: str
    by: str
    verdict: Verdict
    digest: str
    previous: str | None
    evaluation: str | None
    manifest: str | None
    note: str
    before: str

    @property
    def line(self) -> str:
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))

    @property
    def hash(self) -> str:
        return hashlib.sha256(self.line.encode()).hexdigest()


@dataclass(frozen=True)
class Registry:
    """A directory of promoted artifacts. Reading it is safe while another process writes."""

    directory: Path

    def history(self) -> tuple[Entry, ...]:
        """Every entry, oldest first, none for a new registry. Raises ArtifactError if the chain does not hold."""
        path = self.directory / "history.jsonl"
        head = self._head()
        try:
            text = path.read_text(encoding="utf-8") if head or path.exists() else ""
        except OSError as error:
            raise self._broken("its history is gone") from error
        entries, before = [], _START
        for number, line in enumerate(text.splitlines(), 1):
            entry = _parsed(line)
            if entry is None or entry.line != line or entry.before != before:
                raise self._broken(f"line {number} of its history is not the one that was written")
            entries.append(entry)
            before = entry.hash
        ends: set[str | None] = {entry.hash for entry in entries[-2:]}
        if head not in (ends if len(entries) > 1 else ends | {None}):
            raise self._broken("the last lines of its history are gone, or were changed")
        return tuple(entries)

    def current(self) -> str | None:
        """The digest of the artifact that may answer; None before the first promotion. Raises as `history`."""
        standing = _standing(self.history())
        return standing[-1] if standing else None

    def promotion(self, digest: str) -> Entry | None:
        """The entry that let an artifact in; None if it never was, or was rolled back since."""
        entries = self.history()
        let_in = [entry for entry in entries if entry.verdict == "promoted" and entry.digest == digest]
        return let_in[-1] if digest in _standing(entries) else None

    def place(self, digest: str) -> Path:
        """The directory of a promoted artifact."""
        return self.directory / "artifacts" / digest

    def current_place(self) -> Path:
        """The directory of the artifact that may answer. Raises ArtifactError if there is none."""
        digest = self.current()
        if digest is None:
            raise ArtifactError(
                "nothing was promoted yet", where=str(self.directory), mend="promote one with `clinimm promote`"
            )
        return self.place(digest)

    def manifests(self) -> dict[str, int]:
        """How many candidates each test manifest has judged, by its hash, the latest last."""
        counted: dict[str, int] = {}
        for manifest in (entry.manifest for entry in self.history() if entry.manifest):
            counted[manifest] = counted.pop(manifest, 0) + 1
        return counted

    def evaluation(self, name: str) -> dict[str, Any]:
        """What was found when a candidate was judged, by its hash. Raises ArtifactError if it is gone, or is not what
        was written."""
        path = self.directory / "evaluations" / f"{name}.json"
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ArtifactError("the evaluation is gone", where=str(path)) from error
        if hashlib.sha256(data).hexdigest() != name:
            raise ArtifactError("the evaluation is not the one that was written", where=str(path))
        return dict(json.loads(data))

    def promote(
        self, artifact: Path, digest: str, *, verify: Callable[[Path], str], evaluation: Mapping[str, Any],
        manifest: str, expected: str | None, by: str | None = None, note: str = "",
    ) -> Entry:  # fmt: skip
        """Takes a copy of the artifact in and lets it answer in the place of `expected`, which it was judged against.
        `verify` gives a directory's digest once all of its hashes were checked; it is asked about the copy.

        Raises ArtifactError if another artifact answers by now, or this one already."""
        with self._writing() as entries:
            self._check_expected(entries, expected, digest)
            if not self.place(digest).exists():
                self._take_in(artifact, digest, verify)
            elif verify(self.place(digest)) != digest:
                raise self._broken(f"what lies at {digest} is another artifact")
            kept = self._keep(evaluation)
            return self._add(entries, "promoted", digest, kept, manifest, by, note)

    def refuse(
        self, digest: str, *, evaluation: Mapping[str, Any], manifest: str, by: str | None = None, note: str = ""
    ) -> Entry:
        """Notes that a candidate was judged and not let in."""
        with self._writing() as entries:
            return self._add(entries, "refused", digest, self._keep(evaluation), manifest, by, note)

    def roll_back(self, *, verify: Callable[[Path], str], by: str | None = None, note: str = "") -> Entry:
        """Goes back to what answered before the current artifact was let in. Raises ArtifactError if nothing did, or
        if it is damaged."""
        with self._writing() as entries:
            standing = _standing(entries)
            if len(standing) < 2:
                raise ArtifactError("there is nothing to go back to", where=str(self.directory))
            if verify(self.place(standing[-2])) != standing[-2]:
                raise self._broken(f"what lies at {standing[-2]} is another artifact")
            return self._add(entries, "rolled_back", standing[-2], None, None, by, note)

    @contextmanager
    def _writing(self) -> Iterator[tuple[Entry, ...]]:
        """The history, held still for the length of a block."""
        self.directory.mkdir(parents=True, exist_ok=True)
        with (self.directory / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield self.history()

    def _add(
        self, entries: Sequence[Entry], verdict: Verdict, digest: str, evaluation: str | None, manifest: str | None,
        by: str | None, note: str,
    ) -> Entry:  # fmt: skip
        standing = _standing(entries)
        entry = Entry(
            at=datetime.now(UTC).isoformat(timespec="seconds"),
            by=by or getpass.getuser(),
            verdict=verdict,
            digest=digest,
            previous=standing[-1] if standing else None,
            evaluation=evaluation,
            manifest=manifest,
            note=note,
            before=entries[-1].hash if entries else _START,
        )
        whole = [*entries, entry]
        _write(self.directory / "history.jsonl", "".join(f"{e.line}\n" for e in whole))
        now = _standing(whole)
        _write(
            self.directory / "current.json",
            json.dumps({"digest": now[-1] if now else None, "head": entry.hash, "entries": len(whole)}),
        )
        return entry

    def _check_expected(self, entries: Sequence[Entry], expected: str | None, digest: str) -> None:
        current = next(reversed(_standing(entries)), None)
        if current == digest:
            raise ArtifactError("is what answers already", where=digest)
        if current != expected:
            raise ArtifactError(
                "another artifact answers than the one the candidate was judged against",
                where=str(self.directory),
                mend="judge it again",
            )

    def _take_in(self, artifact: Path, digest: str, verify: Callable[[Path], str]) -> None:
        place = self.place(digest)
        building = place.with_name(f".{digest}.building")
        shutil.rmtree(building, ignore_errors=True)
        shutil.copytree(artifact, building)
        if verify(building) != digest:
            raise self._broken("the candidate changed while it was copied")
        for path in (*building.iterdir(), building):
            _make_durable(path)
        building.rename(place)
        _make_durable(place.parent)

    def _keep(self, evaluation: Mapping[str, Any]) -> str:
        text = json.dumps(evaluation, sort_keys=True, indent=1, allow_nan=False)
        digest = hashlib.sha256(text.encode()).hexdigest()
        (self.directory / "evaluations").mkdir(exist_ok=True)
        _write(self.directory / "evaluations" / f"{digest}.json", text)
        return digest

    def _head(self) -> str | None:
        """The hash of the line that was last when the pointer was written: after a crash one more may follow it."""
        try:
            return str(json.loads((self.directory / "current.json").read_text(encoding="utf-8"))["head"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise self._broken("its pointer cannot be read") from error

    def _broken(self, what: str) -> ArtifactError:
        return ArtifactError(what, where=str(self.directory), mend="restore the registry from a backup")


def digest_of(artifact: Path) -> str:
    """What an artifact's directory says its digest is; its files are not checked. Raises ArtifactError."""
    try:
        return hashlib.sha256((artifact / "manifest.json").read_bytes()).hexdigest()
    except OSError as error:
        raise ArtifactError(
            "cannot be read",
            where=str(artifact / "manifest.json"),
            mend="give the directory that `clinimm train` wrote",
        ) from error


def _standing(entries: Sequence[Entry]) -> list[str]:
    """The digests that one could go back to, in the order they were let in; the last is the current one."""
    standing: list[str] = []
    for entry in entries:
        if entry.verdict == "promoted":
            standing.append(entry.digest)
        elif entry.verdict == "rolled_back":
            standing = standing[:-1]
    return standing


def _parsed(line: str) -> Entry | None:
    try:
        return Entry(**json.loads(line))
    except (ValueError, TypeError):
        return None


def _write(path: Path, text: str) -> None:
    """The file in the place of what was there, durable; whoever reads meanwhile finds the one or the other."""
    building = path.with_name(f".{path.name}.building")
    with building.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(building, path)
    _make_durable(path.parent)


def _make_durable(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)
