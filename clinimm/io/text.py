"""Notes: UTF-8 in, clean bounded text out. Nothing is decoded by guess."""

import re
import unicodedata
from datetime import datetime
from pathlib import Path

from clinimm.errors import DamagedInput, InputError, ResourceLimit
from clinimm.types import Note

MAX_CHARACTERS = 100_000
_MAX_BYTES = 4 * MAX_CHARACTERS + 3  # four bytes is UTF-8's longest character, three its byte order mark

_NEWLINE = re.compile("\r\n?|[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
# Control characters but tab and newline, the marks that reorder what is shown, and a stray byte order mark.
_UNSEEN = re.compile("[\x00-\x08\x0e-\x1b\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_LOST = "\ufffd"


def read_note(path: Path, acquired_at: datetime | None = None) -> Note:
    """The note in a UTF-8 file. Raises InputError `note_missing`, `note_not_utf8`, `note_too_long`, `note_empty`."""
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise InputError("note_missing", "the note's file cannot be read", mend="check its path and rights") from error
    if len(raw) > _MAX_BYTES:
        raise _too_long()
    try:
        return clean_note(raw.decode("utf-8-sig"), acquired_at)
    except UnicodeDecodeError:
        raise _not_utf8() from None  # the decoder's own error quotes the note


def clean_note(text: str, acquired_at: datetime | None = None) -> Note:
    """The note that `text` makes: NFC, newlines as \\n, unseen characters taken out.

    Flags: `note_characters_removed`, and `note_characters_lost` where an earlier hand wrote U+FFFD for what it could
    not read. Idempotent. Raises InputError `note_not_utf8` (a lone surrogate), `note_too_long`, `note_empty`."""
    if len(text) > MAX_CHARACTERS:
        raise _too_long()
    if _SURROGATE.search(text):
        raise _not_utf8()
    clean, removed = _UNSEEN.subn("", _NEWLINE.sub("\n", text))
    clean = unicodedata.normalize("NFC", clean).strip()
    if len(clean) > MAX_CHARACTERS:  # a few characters grow under NFC
        raise _too_long()
    if not clean:
        raise InputError("note_empty", "the note has no text", mend="leave the note out")
    flags = ("note_characters_removed",) * (removed > 0) + ("note_characters_lost",) * (_LOST in clean)
    return Note(clean, acquired_at, flags)


def _too_long() -> ResourceLimit:
    return ResourceLimit(
        "note_too_long", f"the note has over {MAX_CHARACTERS:,} characters", mend="send its relevant part"
    )


def _not_utf8() -> DamagedInput:
    return DamagedInput("note_not_utf8", "the note is not UTF-8", mend="save it as UTF-8")
