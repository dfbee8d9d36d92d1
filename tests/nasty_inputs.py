"""Inputs that were made to do harm, or broken on the way, by name, and what is to be said of each."""

import gzip
import json
import uuid
import zlib
from collections.abc import Callable
from typing import Protocol

import httpx
import numpy as np
from dicom_files import content, dataset, encapsulated
from pydicom.uid import (
    UID,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)
from raw_http import BOUNDARY, Reply, form, framed, head, part, spoken
from service_requests import damaged_film, film

CASES = b"/v1/cases"
CANARY = "CANARY-9c4e"
PERSON = {"patient": {"id": "p-1"}, "reference": CANARY}
CASE = json.dumps(PERSON).encode()
PIXELS = np.arange(64, dtype=np.uint16).reshape(8, 8)
MPEG = UID("1.2.840.10008.1.2.4.100")


class Send(Protocol):
    def __call__(self, client: httpx.Client, path: bytes = ...) -> Reply: ...


def multipart(*parts: bytes, end: bytes | None = None, headers: tuple[bytes, ...] = (), **said: bytes) -> Send:
    """A form as it stands; `media` takes the place of its content type."""
    body = form(parts) if end is None else form(parts, end)

    def send(client: httpx.Client, path: bytes = CASES) -> Reply:
        return spoken(client, head(uuid.uuid4().hex, *framed(body, *headers, **said), path=path) + b"\r\n\r\n" + body)

    return send


def document(body: bytes, *headers: bytes, media: bytes = b"application/json") -> Send:
    """A body of JSON."""

    def send(client: httpx.Client, path: bytes = CASES) -> Reply:
        return spoken(
            client, head(uuid.uuid4().hex, *framed(body, *headers, media=media), path=path) + b"\r\n\r\n" + body
        )

    return send


def message(fields: list[bytes], body: bytes, *, half_close: bool = False) -> Send:
    """A body under header fields that may lie about it."""

    def send(client: httpx.Client, path: bytes = CASES) -> Reply:
        return spoken(client, head(uuid.uuid4().hex, *fields, path=path) + b"\r\n\r\n" + body, half_close=half_close)

    return send


def image(data: bytes, name: str = "image") -> Send:
    return multipart(part("case", CASE), part(name, data, disposition=f'form-data; name="{name}"'.encode()))


def lab(text: str) -> Send:
    """A case of one laboratory value, its fields given as JSON."""
    return document(f'{{"patient": {{"id": "p-1"}}, "labs": [{{"name": "crp", "unit": "mg/L", {text}}}]}}'.encode())


FORM = b"multipart/form-data; boundary=" + BOUNDARY
WHOLE = form([part("case", CASE), part("note", b"Fever.")])
CHUNKED = [b"Content-Type: " + FORM, b"Transfer-Encoding: chunked"]


def chunked(body: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    return b"%x\r\n" % len(body) + body + b"\r\n" + end


# What is refused whole: by which status, and which code; "" where HTTP itself is broken and the server has no code.
REFUSED: dict[str, tuple[Send, int, str]] = {
    "two boundaries": (multipart(part("case", CASE), media=FORM + b"; boundary=other"), 400, "bad_multipart"),
    "a boundary in the extended form": (
        multipart(part("case", CASE), media=FORM + b"; boundary*=utf-8''other"),
        400,
        "bad_multipart",
    ),
    "no last boundary": (multipart(part("case", CASE), end=b""), 400, "bad_multipart"),
    "a part header of a mebibyte": (multipart(part("case", CASE, b"X: " + b"x" * (1 << 20))), 400, "bad_multipart"),
    "a part of a thousand headers": (multipart(part("case", CASE, *[b"X: x"] * 1000)), 400, "bad_multipart"),
    "a name in the extended form": (
        multipart(part("", CASE, disposition=b"form-data; name*=utf-8''case")),
        400,
        "bad_multipart",
    ),
    "a name and another in the extended form": (
        multipart(part("", CASE, disposition=b"form-data; name=\"image\"; name*=utf-8''case")),
        400,
        "bad_multipart",
    ),
    "two names": (
        multipart(part("", CASE, disposition=b'form-data; name="case"; name="image"')),
        400,
        "bad_multipart",
    ),
    "two dispositions": (
        multipart(part("case", CASE, b'Content-Disposition: form-data; name="image"')),
        400,
        "bad_multipart",
    ),
    "a part that is no form-data": (
        multipart(part("", CASE, disposition=b'attachment; name="case"')),
        400,
        "bad_multipart",
    ),
    "NUL in a name": (multipart(part("case\0", CASE), part("case", CASE)), 422, "unknown_part"),
    "a name that is a path": (multipart(part("../case", CASE), part("case", CASE)), 422, "unknown_part"),
    "the case twice": (multipart(part("case", CASE), part("case", b"{}")), 400, "case_part_repeated"),
    "a part in base64": (
        multipart(part("case", CASE, b"Content-Transfer-Encoding: base64")),
        415,
        "encoding_unsupported",
    ),
    "a bare boundary": (multipart(), 400, "case_part_missing"),
    "a part without an end of its headers": (
        multipart(b"--" + BOUNDARY + b"\r\nContent-Disposition: form-data\r\n"),
        400,
        "bad_multipart",
    ),
    "a note with NUL": (multipart(part("case", CASE), part("note", b"a\0b")), 422, "bad_note"),
    "a note in Latin-1": (multipart(part("case", CASE), part("note", b"\xe4")), 400, "bad_encoding"),
    "a body longer than it says": (message([*framed(WHOLE[:-40])], WHOLE), 400, "bad_multipart"),
    "a body shorter than it says": (message([*framed(WHOLE + b"x")], WHOLE, half_close=True), 0, ""),
    "a length that is no number": (
        message([b"Content-Type: " + FORM, b"Content-Length: 1e3"], WHOLE),
        400,
        "",
    ),
    "two lengths": (message([*framed(WHOLE), b"Content-Length: 3"], WHOLE), 400, ""),
    "a length and chunks": (
        message([*framed(WHOLE), b"Transfer-Encoding: chunked"], chunked(WHOLE)),
        400,
        "bad_request",
    ),
    "a chunk of a length that is no number": (message(CHUNKED, b"zz\r\nx\r\n"), 400, ""),
    "chunks that stop": (message(CHUNKED, chunked(WHOLE, b""), half_close=True), 0, ""),
    "two content types": (
        message([*framed(WHOLE), b"Content-Type: application/json"], WHOLE),
        400,
        "bad_request",
    ),
    "a gzip bomb": (
        document(gzip.compress(bytes(1 << 24)), b"Content-Encoding: gzip"),
        415,
        "encoding_unsupported",
    ),
    "gzip behind identity": (
        document(gzip.compress(CASE), b"Content-Encoding: identity", b"Content-Encoding: gzip"),
        415,
        "encoding_unsupported",
    ),
    "gzip that says nothing": (document(gzip.compress(CASE)), 400, "bad_encoding"),
    "JSON in UTF-16": (document(CASE.decode().encode("utf-16")), 400, "bad_encoding"),
    "JSON in UTF-16 that says so": (
        document(CASE.decode().encode("utf-16"), media=b"application/json; charset=utf-16"),
        415,
        "charset_unsupported",
    ),
    "JSON behind a byte-order mark": (document(b"\xef\xbb\xbf" + CASE), 400, "bad_json"),
    "overlong UTF-8": (document(b'{"patient": {"id": "\xc0\xaf"}}'), 400, "bad_encoding"),
    "a lone surrogate": (document(rb'{"patient": {"id": "\udc00"}}'), 422, "bad_json_values"),
    "deep JSON": (document(b'{"a":' * 100_000 + b"1" + b"}" * 100_000), 413, "json_too_deep"),
    "a number of a million digits": (lab(f'"value": {"9" * 1_000_000}'), 422, "bad_json_values"),
    "1e400": (lab('"value": 1e400'), 422, "bad_json_values"),
    "NaN": (lab('"value": NaN'), 422, "bad_json_values"),
    "a key twice": (lab('"value": 1, "value": 2'), 422, "bad_json_values"),
    "true for a number": (lab('"value": true'), 422, "bad_case"),
    "a number in quotes": (lab('"value": "84.5"'), 422, "bad_case"),
    "a decimal comma": (lab('"value": 84,5'), 400, "bad_json"),
    "a decimal comma in quotes": (lab('"value": "84,5"'), 422, "bad_case"),
    "a misspelt unit": (lab(f'"value": 1, "unti": "{CANARY}"'), 422, "bad_case"),
    "__proto__": (document(b'{"patient": {"id": "p"}, "__proto__": {"admin": true}}'), 422, "bad_case"),
    "a path for a reference to an image": (
        document(b'{"patient": {"id": "p"}, "images": [{"sop_instance_uid": "../../etc/passwd"}]}'),
        422,
        "bad_case",
    ),
    "a line break in a name": (document(b'{"patient": {"id": "p\\r\\nX-Evil: 1"}}'), 422, "bad_case"),
    "a run-length picture of 40000 x 40000": (
        image(content(encapsulated(dataset(PIXELS, Rows=40000, Columns=40000), [b"\x01" + b"\0" * 499]), RLELossless)),
        413,
        "too_many_pixels",
    ),
    "a million frames": (
        image(content(dataset(PIXELS, NumberOfFrames=1_000_000), ImplicitVRLittleEndian)),
        413,
        "too_many_frames",
    ),
}


def bomb() -> bytes:
    """A deflated film that inflates to half a gibibyte."""
    whole = content(dataset(PIXELS), DeflatedExplicitVRLittleEndian)
    start = whole[: 144 + int.from_bytes(whole[140:144], "little")]
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return start + b"".join(deflater.compress(bytes(1 << 20)) for _ in range(512)) + deflater.flush()


def nested(depth: int) -> bytes:
    data = content(dataset(PIXELS))
    at = data.index(b"\x28\x00\x02\x00US")
    opening = b"\x09\x00\x10\x10SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    closing = b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0"
    return data[:at] + opening * depth + closing * depth + data[at:]


def with_length(length: bytes) -> bytes:
    """A film whose rows are declared to be of another length."""
    return content(dataset(PIXELS)).replace(b"\x28\x00\x10\x00US\x02\x00", b"\x28\x00\x10\x00US" + length)


def odd(**described: object) -> bytes:
    """A film of a header that pydicom would not write by itself."""
    made = dataset(PIXELS, PatientID="p-1", PatientName="")
    for keyword, value in described.items():
        if isinstance(value, str):
            made.add_new(keyword, "LO", value)
        else:
            setattr(made, keyword, value)
    return content(made, ImplicitVRLittleEndian)


def with_path_for_uid() -> bytes:
    data = content(dataset(PIXELS))
    uid = data[data.rindex(b"\x08\x00\x18\x00UI") + 8 :][:20]
    return data.replace(uid, b"../../../../tmp/evil"[: len(uid)])


def document_in(uid: str) -> bytes:
    made = dataset(PIXELS, SOPClassUID=uid)
    made.add_new(0x00420011, "OB", f"%PDF-1.4 {CANARY}.".encode())
    return content(made)


REJECTED, QUARANTINED, ACCEPTED = "rejected", "quarantined", "accepted"
# What becomes of a film in a case that is taken all the same.
TOLD: dict[str, tuple[Callable[[], bytes], str, str]] = {
    "no film but a program": (lambda: b"MZ" + bytes(400), REJECTED, "not_dicom"),
    "an empty file": (lambda: b"", REJECTED, "not_dicom"),
    "a form within the form": (lambda: form([part("case", CASE)]), REJECTED, "not_dicom"),
    "a program in the preamble": (lambda: film(7, preamble=b"MZ".ljust(128, b"x")), ACCEPTED, ""),
    "a deflate bomb": (bomb, REJECTED, "inflated_too_large"),
    "two hundred sequences in each other": (lambda: nested(200), QUARANTINED, "nested_too_deep"),
    "pixels that stop": (lambda: damaged_film(8), QUARANTINED, "truncated_pixels"),
    "a length that leads out of the file": (lambda: with_length(b"\xff\xff"), QUARANTINED, "bad_length"),
    "a length of nothing": (lambda: with_length(b"\0\0"), QUARANTINED, "bad_length"),
    "a rescale slope of NaN": (lambda: odd(RescaleSlope="NaN"), QUARANTINED, "nonfinite_rescale"),
    "a window that is infinite": (
        lambda: odd(WindowCenter="inf", WindowWidth="1"),
        QUARANTINED,
        "nonfinite_window",
    ),
    "more bits stored than allocated": (lambda: odd(BitsStored=17), QUARANTINED, "bits_stored"),
    "an unknown character set": (lambda: odd(SpecificCharacterSet="ISO 2022 IR 999"), ACCEPTED, ""),
    "a PDF": (lambda: document_in("1.2.840.10008.5.1.4.1.1.104.1"), REJECTED, "not_an_image"),
    "an STL": (lambda: document_in("1.2.840.10008.5.1.4.1.1.104.3"), REJECTED, "not_an_image"),
    "a PDF that says it is a CT": (lambda: document_in(CTImageStorage), REJECTED, "not_an_image"),
    "a video": (
        lambda: content(dataset(PIXELS, SOPClassUID="1.2.840.10008.5.1.4.1.1.77.1.1.1")),
        REJECTED,
        "not_an_image",
    ),
    "an MPEG stream": (
        lambda: content(encapsulated(dataset(PIXELS), [b"\0" * 64]), MPEG),
        REJECTED,
        "unsupported_transfer_syntax",
    ),
    "more frames than there are": (lambda: odd(NumberOfFrames=2), QUARANTINED, "truncated_pixels"),
    "minus one frame": (lambda: odd(NumberOfFrames=-1), QUARANTINED, "bad_size"),
    "a path for a UID": (with_path_for_uid, QUARANTINED, "bad_uid"),
}
