"""From a file's bytes to a checked DICOM header and the place of its pixel data; nothing is decoded here."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from math import isfinite
from typing import Any

from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    UID_dictionary,
)

from clinimm.errors import DamagedInput, InputError, UnsupportedInput
from clinimm.io.dicom_structure import PIXEL_TAGS, PixelElement, Walk
from clinimm.io.dicom_text import are_known, declared_charsets
from clinimm.io.inflate import RAW, inflate
from clinimm.io.scan_types import Limits
from clinimm.io.transfer_syntaxes import NATIVE, SUPPORTED

PREAMBLE, MAGIC = 128, b"DICM"
UID_FORM = re.compile(r"(?=.{1,64}\Z)[0-9]+(\.[0-9]+)*")
UIDS = ("SOPInstanceUID", "SOPClassUID", "StudyInstanceUID", "SeriesInstanceUID")
DIRECTORY = {"1.2.840.10008.1.3.10": "Media Storage Directory (DICOMDIR)"}
# Encapsulated PDF, CDA, STL, OBJ and MTL, and video of endoscopes, microscopes and cameras (PS3.4 B.5).
CARRIERS = frozenset(
    [f"1.2.840.10008.5.1.4.1.1.104.{n}" for n in range(1, 6)]
    + [f"1.2.840.10008.5.1.4.1.1.77.1.{n}.1" for n in (1, 2, 4)]
)


@dataclass(frozen=True)
class Instance:
    """One DICOM file before decoding. `body` holds the data set's bytes, into which `pixels` points."""

    header: Dataset
    syntax: UID
    body: bytes
    little: bool
    pixels: PixelElement
    where: str
    flags: tuple[str, ...]

    @property
    def encapsulated(self) -> bool:
        return self.syntax not in NATIVE


@contextmanager
def damage_is_named(code: str, what: str, where: str) -> Iterator[None]:
    """Whatever a third-party parser raises over hostile bytes becomes DamagedInput, without the parser's words, which
    may quote the header."""
    try:
        yield
    except (InputError, MemoryError):
        raise
    except RecursionError:
        raise DamagedInput("nested_too_deep", "nests sequences too deep to parse", where=where) from None
    except BaseException as error:
        # A panic of a decoder written in Rust is no Exception, and is damage all the same.
        if not isinstance(error, Exception) and type(error).__module__ != "pyo3_runtime":
            raise
        raise DamagedInput(code, f"{what} ({type(error).__name__})", where=where) from None


def looks_like_dicom(data: bytes) -> bool:
    """True with the DICM mark, or where the first element is one that a data set without a preamble starts with."""
    return data[PREAMBLE : PREAMBLE + 4] == MAGIC or _headerless_start(data)


def open_instance(data: bytes, where: str, limits: Limits) -> Instance:
    """The header of a DICOM file.

    Raises DamagedInput, UnsupportedInput `unsupported_transfer_syntax`, or UnsupportedInput `not_an_image` where it
    holds no pixels, or carries a document or a video, with or without pixels beside."""
    marked = data[PREAMBLE : PREAMBLE + 4] == MAGIC
    meta, start = _read_meta(data, PREAMBLE + 4 if marked else 0)
    flags: tuple[str, ...] = () if marked else ("headerless_dicom",)
    syntax = _text(meta, "TransferSyntaxUID")
    if not syntax:
        flags += ("transfer_syntax_assumed",)
        syntax = _guess_syntax(data, start)
    uid = _supported(syntax, where)
    body = data
    if uid == DeflatedExplicitVRLittleEndian:
        body, start = inflate(memoryview(data)[start:], RAW, limits.inflated_bytes, where), 0
    little = uid != ExplicitVRBigEndian
    implicit = _is_implicit(body, start, uid == ImplicitVRLittleEndian)
    pixels = Walk(body, start, implicit=implicit, little=little, limits=limits, where=where).find_pixels()
    stream = BytesIO(body)
    stream.seek(start)
    header = read_dataset(stream, implicit, little, stop_when=_at_pixels)
    header.set_original_encoding(implicit, little)
    if pixels is None or _carries_other(header, meta):
        raise UnsupportedInput("not_an_image", f"holds no image: {_class_name(header, meta)}", where=where)
    return Instance(header, uid, body, little, pixels, where, flags + _charset_flags(header))


def _read_meta(data: bytes, start: int) -> tuple[Dataset, int]:
    """The group 0002 elements, always explicit little endian, and where the data set begins."""
    stream = BytesIO(data)
    stream.seek(start)
    if data[start : start + 2] != b"\x02\x00":
        return Dataset(), start
    meta = read_dataset(stream, False, True, stop_when=lambda tag, vr, length: tag.group != 2)
    return meta, stream.tell()


def _headerless_start(data: bytes) -> bool:
    """Group 0002 or 0008, with an upper-case VR (explicit) or a short length (implicit)."""
    group, vr, length = data[:2], data[4:6], int.from_bytes(data[4:8], "little")
    little = group in (b"\x02\x00", b"\x08\x00") and data[3:4] == b"\x00"
    big = group == b"\x00\x08" and data[2:3] == b"\x00"
    explicit = vr.isalpha() and vr.isupper()
    return len(data) > 132 and ((little and (explicit or length <= 64)) or (big and explicit))


def _guess_syntax(data: bytes, start: int) -> str:
    if data[start : start + 2] == b"\x00\x08":
        return str(ExplicitVRBigEndian)
    vr = data[start + 4 : start + 6]
    return str(ExplicitVRLittleEndian if vr.isalpha() and vr.isupper() else ImplicitVRLittleEndian)


def _is_implicit(body: bytes, start: int, declared: bool) -> bool:
    """What the first element looks like, since some writers declare one form and write the other."""
    vr = body[start + 4 : start + 6]
    explicit = len(vr) == 2 and vr.isalpha() and vr.isupper()
    return not explicit if len(vr) == 2 else declared


def _at_pixels(tag: BaseTag, vr: str | None, length: int) -> bool:
    return tag in PIXEL_TAGS


def _supported(syntax: str, where: str) -> UID:
    """Raises UnsupportedInput `unsupported_transfer_syntax`, by name, before anything is read in that syntax."""
    if syntax not in SUPPORTED:
        name = named_uid(syntax) or "an unregistered one"
        raise UnsupportedInput("unsupported_transfer_syntax", f"no decoder for {name}", where=where)
    return UID(syntax)


def _carries_other(header: Dataset, meta: Dataset) -> bool:
    """A document or a video, whichever of the two places that name the class says so."""
    classes = {_text(header, "SOPClassUID"), _text(meta, "MediaStorageSOPClassUID")}
    return bool(classes & CARRIERS) or "EncapsulatedDocument" in header


def _class_name(header: Dataset, meta: Dataset) -> str:
    uid = _text(header, "SOPClassUID") or _text(meta, "MediaStorageSOPClassUID")
    return DIRECTORY.get(uid) or named_uid(uid) or "no SOP class given"


def _charset_flags(header: Dataset) -> tuple[str, ...]:
    return () if are_known(declared_charsets(header)) else ("charset_fallback",)


def named_uid(value: str) -> str:
    """ "Name (UID)" of a registered UID, the bare UID of another, "" where it is no UID at all."""
    if value in UID_dictionary:
        return f"{UID_dictionary[value][0]} ({value})"
    return value if UID_FORM.fullmatch(value) else ""


def _text(dataset: Dataset, keyword: str) -> str:
    return str(dataset.get(keyword) or "").strip(" \0")


def code_text(dataset: Dataset, keyword: str, longest: int = 16) -> str | None:
    """A coded word such as Modality or ViewPosition; None where absent or not of a code's form."""
    value = _text(dataset, keyword)
    return value if 0 < len(value) <= longest and re.fullmatch(r"[A-Z0-9 _]+", value) else None


def uid_text(dataset: Dataset, keyword: str) -> str | None:
    """A UID; None where absent or not of a UID's form, as with a path."""
    value = _text(dataset, keyword)
    return value if UID_FORM.fullmatch(value) else None


def bad_uids(dataset: Dataset) -> list[str]:
    """The keywords of identifiers that are there and have not a UID's form."""
    return [keyword for keyword in UIDS if _text(dataset, keyword) and uid_text(dataset, keyword) is None]


def whole(dataset: Dataset, keyword: str, where: str, default: int | None = None) -> int:
    """An integer. Raises DamagedInput where it is absent without a default, or is no integer."""
    with damage_is_named("bad_header_value", f"{keyword} is not a whole number", where):
        value = dataset.get(keyword)
        if value is None or value == "":
            if default is None:
                raise DamagedInput("missing_element", f"{keyword} is missing", where=where)
            return default
        return int(value)


def numbers(dataset: Dataset, keyword: str, where: str) -> tuple[float, ...]:
    """The values of a numeric element, () where absent. Raises DamagedInput where one is no finite number."""
    with damage_is_named("bad_header_value", f"{keyword} is not a number", where):
        value: Any = dataset.get(keyword)
        if value is None or value == "":
            return ()
        several = isinstance(value, Sequence) and not isinstance(value, str)
        values = tuple(float(v) for v in (value if several else [value]))
    if not all(isfinite(v) for v in values):
        raise DamagedInput(f"nonfinite_{NONFINITE.get(keyword, 'value')}", f"{keyword} is not finite", where=where)
    return values


NONFINITE = {
    "RescaleSlope": "rescale",
    "RescaleIntercept": "rescale",
    "WindowCenter": "window",
    "WindowWidth": "window",
    "ImagePositionPatient": "geometry",
    "ImageOrientationPatient": "geometry",
    "PixelSpacing": "geometry",
}
