"""Takes a multipart case off the wire: one `case` part, and image parts named `image` or `image:MODALITY`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from fastapi import Request

from services.blobs import Blobs, Staged
from services.errors import BadRequest, Issue, Refused, TooLarge
from services.http.multipart import Part, read
from services.settings import Limits

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
    """A case as it came, its files on disk but not yet kept."""

    case: bytes = b""
    images: list[Image] = field(default_factory=list)

    def discard(self) -> None:
        for image in self.images:
            image.staged.discard()


async def receive(request: Request, blobs: Blobs, limits: Limits) -> Submission:
    """The submission; on any error nothing of it is left. Raises BadRequest, TooLarge, UnsupportedMedia or Refused."""
    submission, unknown = Submission(), list[int]()
    seen = 0

    def open_part(name: str) -> Part:
        nonlocal seen
        seen += 1
        if (match := IMAGE.fullmatch(name)) is not None:
            _check_count(len(submission.images) + 1, limits.images)
            submission.images.append(Image(match[1], blobs.stage()))
            return Part("image", submission.images[-1].staged, limits.part_bytes)
        if name != "case":
            unknown.append(seen - 1)
        return Part("case" if name == "case" else "", Buffer(), limits.case_bytes)

    try:
        parts = await read(request, open_part, limits.request_bytes)
        submission.case = _case(parts, unknown)
    except BaseException:
        submission.discard()
        raise
    return submission


def _case(parts: Sequence[Part], unknown: Sequence[int]) -> bytes:
    cases = [bytes(part.sink.data) for part in parts if part.name == "case" and isinstance(part.sink, Buffer)]
    if unknown:
        issues = [Issue(f"/parts/{index}", "unknown_part") for index in unknown]
        raise Refused("unknown_part", "Parts are named case, image or image:MODALITY.", issues=issues)
    if len(cases) != 1:
        raise BadRequest(
            "case_part_missing" if not cases else "case_part_repeated", "Send exactly one part named case."
        )
    return cases[0]


def _check_count(actual: int, limit: int) -> None:
    if actual > limit:
        raise TooLarge("too_many_images", "The request has too many images.", limit=limit, actual=actual)
