"""Takes inputs off the wire: JSON alone, or multipart of one JSON part, a `note` part, and image parts named `image` or
`image:MODALITY`. Whatever goes wrong, nothing of it is left."""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from fastapi import Request

from services.blobs import Blobs, Staged
from services.errors import BadRequest, Issue, Refused, TooLarge
from services.http.bodies import document_too_large, is_json, read_body
from services.http.multipart import Part, check_plain, read
from services.http.uploads import Uploads
from services.settings import Limits

TOUCH_SECONDS = 60.0
IMAGE = re.compile(r"image(?::([A-Za-z0-9_.-]{1,64}))?")


class Buffer:
    """A small part, in memory."""

    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, data: bytes) -> None:
        self.data += data

    def close(self) -> None: ...


@dataclass(frozen=True)
class Image:
    """One image part; `modality` is what the sender calls it, if anything."""

    modality: str | None
    staged: Staged


@dataclass
class Submission:
    """Inputs as they came, files on disk but not yet kept. `document` is the JSON, `note` the text of a note part."""

    document: bytes = b""
    note: str | None = None
    images: list[Image] = field(default_factory=list)

    def discard(self) -> None:
        for image in self.images:
            image.staged.discard()


async def receive(
    request: Request, uploads: Uploads, blobs: Blobs, limits: Limits, part: str, *, needed: bool = True
) -> Submission:
    """The submission, its JSON in the part named `part`, which may only be left out of multipart where it is not
    `needed`. Raises BadRequest, TooLarge, UnsupportedMedia or Refused."""
    if is_json(request):
        check_plain(request)
        return Submission(document=await read_body(request, limits.case_bytes))
    submission = Submission()
    door = _Door(submission, blobs, limits, part)
    try:
        parts = await read(request, door.open, limits.request_bytes, uploads.on_disk, door.keep_fresh)
        door.check()
        submission.document = _json(parts, part, needed=needed)
        submission.note = _note(parts, limits.note_chars)
    except BaseException:
        await uploads.clean_up(submission.discard)
        raise
    return submission


@dataclass
class _Door:
    """Gives every part its place, and notes those that have none."""

    submission: Submission
    blobs: Blobs
    limits: Limits
    part: str
    unknown: list[int] = field(default_factory=list)
    seen: int = 0
    touched: float = field(default_factory=time.monotonic)

    def keep_fresh(self) -> None:
        """Files that came long ago are still wanted while the rest of a large body comes."""
        if time.monotonic() - self.touched > TOUCH_SECONDS:
            self.touched = time.monotonic()
            for image in self.submission.images:
                image.staged.touch()

    def open(self, name: str) -> Part:
        self.seen += 1
        _check("too_many_parts", self.seen, self.limits.parts)
        if (match := IMAGE.fullmatch(name)) is not None:
            _check("too_many_images", len(self.submission.images) + 1, self.limits.images)
            self.submission.images.append(Image(match[1], self.blobs.stage()))
            return Part("image", self.submission.images[-1].staged, self.limits.part_bytes, self._part_too_large)
        if name == "note":
            return Part("note", Buffer(), 4 * self.limits.note_chars, self._note_too_long)
        if name != self.part:
            self.unknown.append(self.seen - 1)
        most = self.limits.case_bytes
        return Part(name if name == self.part else "", Buffer(), most, partial(document_too_large, most))

    def _part_too_large(self, size: int) -> TooLarge:
        return TooLarge("part_too_large", "A part is too large.", limit=self.limits.part_bytes, actual=size)

    def _note_too_long(self, _: int) -> TooLarge:
        """Of a note of more bytes than its most characters can have: nobody counts those."""
        return TooLarge("note_too_long", "The note is too long.", limit=self.limits.note_chars)

    def check(self) -> None:
        if self.unknown:
            issues = [Issue(f"/parts/{index}", "unknown_part") for index in self.unknown]
            names = f"{self.part}, note, image or image:MODALITY"
            raise Refused("unknown_part", f"Parts are named {names}.", issues=issues)


def _json(parts: Sequence[Part], name: str, *, needed: bool) -> bytes:
    found = _buffers(parts, name)
    if len(found) > 1 or (needed and not found):
        code = f"{name}_part_repeated" if found else f"{name}_part_missing"
        raise BadRequest(code, f"Send exactly one part named {name}.")
    return found[0] if found else b"{}"


def _note(parts: Sequence[Part], limit: int) -> str | None:
    found = _buffers(parts, "note")
    if not found:
        return None
    if len(found) > 1:
        raise BadRequest("note_part_repeated", "Send one part named note.")
    try:
        text = found[0].decode("utf-8")
    except UnicodeDecodeError:
        raise BadRequest("bad_encoding", "The note is not in UTF-8.") from None
    if "\x00" in text:
        raise Refused("bad_note", "The note holds the character U+0000.", issues=[Issue("/note", "nul_character")])
    _check("note_too_long", len(text), limit)
    return text


def _buffers(parts: Sequence[Part], name: str) -> list[bytes]:
    return [bytes(part.sink.data) for part in parts if part.name == name and isinstance(part.sink, Buffer)]


def _check(code: str, actual: int, limit: int) -> None:
    if actual > limit:
        raise TooLarge(code, "The request has too much of it.", limit=limit, actual=actual)
