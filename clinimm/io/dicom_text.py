"""Text of a DICOM header in its declared character sets, with a word where the bytes say otherwise (PS3.5 6.1)."""

import re
from collections.abc import Sequence

from pydicom.charset import python_encoding
from pydicom.dataset import Dataset
from pydicom.tag import Tag

ESCAPE = b"\x1b"
MOST_BYTES = 4096  # of one text; what a door asks for has 64 characters a part
PARTS = re.compile(rb"^[^\x1b]+|\x1b[^\x1b]*")
# A code extension ends with a part of a name, a value or a line.
EXTENSION = re.compile(rb"[^\^=\\\r\n\t\f]*")
DEFAULT, ASCII = python_encoding[""], "ascii"
# What an escape announces (PS3.3 C.12.1.1.2), by Python's codecs and those that pydicom adds.
ESCAPES = {
    b"\x1b(B": ASCII,
    b"\x1b(J": "shift_jis",
    b"\x1b)I": "shift_jis",
    b"\x1b-A": "latin_1",
    b"\x1b-B": "iso8859_2",
    b"\x1b-C": "iso8859_3",
    b"\x1b-D": "iso8859_4",
    b"\x1b-F": "iso_ir_126",
    b"\x1b-G": "iso_ir_127",
    b"\x1b-H": "iso_ir_138",
    b"\x1b-L": "iso_ir_144",
    b"\x1b-M": "iso_ir_148",
    b"\x1b-T": "iso_ir_166",
    b"\x1b$B": "iso2022_jp",
    b"\x1b$(D": "iso2022_jp_2",
    b"\x1b$)C": "euc_kr",
    b"\x1b$)A": "iso_ir_58",
}
KNOWS_ITS_ESCAPES = ("iso2022_jp", "iso2022_jp_2")
LATIN_1 = ("ISO_IR 100", "ISO 2022 IR 100")
KATAKANA = ("ISO_IR 13", "ISO 2022 IR 13")
NO_KATAKANA = re.compile(rb"[\x80-\xa0\xe0-\xff]")
HIGH_CONTROLS = re.compile("[\x80-\x9f]")


def declared_charsets(header: Dataset) -> tuple[str, ...]:
    """The values of Specific Character Set; one that is empty means the default repertoire."""
    value = header.get("SpecificCharacterSet") or ""
    return (value,) if isinstance(value, str) else tuple(str(one or "") for one in value)


def are_known(charsets: Sequence[str]) -> bool:
    return all(name in python_encoding for name in charsets)


def read_text(header: Dataset, keyword: str) -> tuple[str, bool]:
    """The element's text without padding, "" where absent, and whether its bytes are text of the declared sets."""
    element = header.get_item(Tag(keyword))
    raw = getattr(element, "value", None)
    if not isinstance(raw, bytes):
        return "", not raw
    return decode(raw[:MOST_BYTES].strip(b" \0"), declared_charsets(header))


def decode(raw: bytes, charsets: Sequence[str]) -> tuple[str, bool]:
    """The text, and False where it had to be guessed: as UTF-8 where the bytes are that, else as declared, else as
    Latin-1, which loses nothing.

    What one 8-bit set calls a letter another does too, so a wrong set is noticed only where it leaves a trace: bytes
    it has no character for, controls of C1, or whole UTF-8 said to be Latin-1."""
    text = _strictly(raw, charsets) if are_known(charsets) else None
    if text is not None and not _is_doubtful(raw, text, charsets):
        return text, True
    try:
        return raw.decode("utf-8"), False
    except UnicodeDecodeError:
        return raw.decode("latin_1") if text is None else text, False


def _strictly(raw: bytes, charsets: Sequence[str]) -> str | None:
    """None where a byte or an escape is not of the declared sets."""
    codecs = [ASCII if codec == DEFAULT else codec for codec in (python_encoding[name] for name in charsets)]
    try:
        return "".join(_decoded_part(part, codecs) for part in PARTS.findall(raw))
    except (UnicodeDecodeError, KeyError):
        return None


def _decoded_part(part: bytes, codecs: Sequence[str]) -> str:
    """What follows one escape, up to the next. Raises UnicodeDecodeError, or KeyError for an escape not declared.

    By ourselves, since pydicom leaves the escapes of ISO 2022 IR 58 in the text, and takes ASCII for Latin-1."""
    if not part.startswith(ESCAPE):
        return part.decode(codecs[0])
    escape = next((one for one in ESCAPES if part.startswith(one)), b"")
    codec = ESCAPES[escape]
    if codec == ASCII:
        return part[len(escape) :].decode(codecs[0])
    if codec not in codecs:
        raise KeyError
    if codec in KNOWS_ITS_ESCAPES:
        return part.decode(codec)
    extended = EXTENSION.match(part, len(escape))
    end = extended.end() if extended else len(escape)
    return part[len(escape) : end].decode(codec) + part[end:].decode(codecs[0])


def _is_doubtful(raw: bytes, text: str, charsets: Sequence[str]) -> bool:
    if HIGH_CONTROLS.search(text):
        return True
    if charsets[0] in KATAKANA and NO_KATAKANA.search(raw.partition(ESCAPE)[0]):
        return True
    return charsets[0] in LATIN_1 and not raw.isascii() and ESCAPE not in raw and _is_utf8(raw)


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
