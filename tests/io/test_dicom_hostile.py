"""Files made to do harm, or broken on the way: each refused by a code, quickly, before anything is decoded."""

import os
import resource
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from dicom_files import dataset, encapsulated, save, write
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.uid import (
    UID,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from clinimm.errors import DamagedInput, InputError
from clinimm.io.dicom_inspection import inspect_dicom
from clinimm.io.scan import Limits, read_scan

PIXELS = np.arange(64, dtype=np.uint16).reshape(8, 8)


def refusal(path: Path, limits: Limits | None = None, *, at_the_door: str | None = "the same") -> InputError:
    """Of reading. The door, which decodes nothing, refuses by the same code unless told otherwise; None lets it in."""
    with pytest.raises(InputError) as caught:
        read_scan([path], limits=limits)
    assert "CANARY" not in str(caught.value)
    if at_the_door is None:
        inspect_dicom(path, limits or Limits())
        return caught.value
    with pytest.raises(InputError) as turned_away:
        inspect_dicom(path, limits or Limits())
    assert "CANARY" not in str(turned_away.value)
    assert turned_away.value.code == (caught.value.code if at_the_door == "the same" else at_the_door)
    return caught.value


@pytest.mark.parametrize(
    ("code", "described"),
    [
        ("bits_stored", {"BitsStored": 17}),
        ("high_bit", {"HighBit": 3}),
        ("bad_size", {"Rows": 0}),
        ("truncated_pixels", {"Rows": 9}),
        ("excess_pixels", {"Rows": 7}),
        ("truncated_pixels", {"NumberOfFrames": 2}),
        ("bad_size", {"NumberOfFrames": -1}),
        ("bad_header_value", {"NumberOfFrames": "1A"}),
        ("samples_per_pixel", {"SamplesPerPixel": 2}),
        ("planar_configuration", {"PlanarConfiguration": 7}),
        ("unsupported_bits", {"BitsAllocated": 12, "BitsStored": 12}),
        ("missing_element", {"BitsAllocated": None}),
        ("unsupported_photometric", {"PhotometricInterpretation": "CMYK"}),
        ("nonfinite_rescale", {"RescaleSlope": "NaN"}),
        ("nonfinite_rescale", {"RescaleIntercept": "inf"}),
        ("bad_rescale", {"RescaleSlope": 0, "RescaleIntercept": 0}),
        ("bad_rescale", {"RescaleSlope": "1e300", "RescaleIntercept": 0}),
        ("nonfinite_window", {"WindowCenter": "NaN", "WindowWidth": 10}),
        ("bad_window", {"WindowCenter": "1e200", "WindowWidth": 10}),
        ("bad_geometry", {"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}),
        ("nonfinite_geometry", {"ImagePositionPatient": ["NaN", "0", "0"]}),
        ("too_many_pixels", {"Rows": 40000, "Columns": 40000}),
        ("too_many_frames", {"NumberOfFrames": 1_000_000}),
        ("bad_header_value", {"WindowCenter": "CANARY", "WindowWidth": "CANARY"}),
    ],
)
def test_a_header_that_cannot_be_is_refused(tmp_path: Path, code: str, described: dict[str, object]) -> None:
    assert refusal(raw(tmp_path / "film", described)).code == code


def raw(path: Path, described: dict[str, object]) -> Path:
    """Saved although pydicom would not allow the values."""
    made = dataset(PIXELS)
    for keyword, value in described.items():
        if value is None:
            delattr(made, keyword)
        elif isinstance(value, str) or (isinstance(value, list) and "NaN" in value):
            made.add_new(keyword, "CS" if keyword.startswith("Photo") else "LO", value)
        else:
            setattr(made, keyword, value)
    return save(made, path, ImplicitVRLittleEndian)


@pytest.mark.parametrize("keep", [200, 400, -1])
def test_a_cut_off_file_is_refused(tmp_path: Path, keep: int) -> None:
    path = write(tmp_path / "film", PIXELS)
    path.write_bytes(path.read_bytes()[:keep])
    assert refusal(path).code in ("truncated_pixels", "bad_length", "not_an_image", "truncated_header")


def test_a_file_that_is_no_image_is_named(tmp_path: Path) -> None:
    report = dataset(PIXELS, SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11", PixelData=None)
    error = refusal(save(report, tmp_path / "report"))
    assert error.code == "not_an_image"
    assert "Basic Text SR Storage" in error.what


@pytest.mark.parametrize("named_in", ["data set", "file meta", "document"])
def test_a_document_or_video_beside_pixels_is_no_image(tmp_path: Path, named_in: str) -> None:
    made = dataset(PIXELS, SOPClassUID="1.2.840.10008.5.1.4.1.1.104.1" if named_in == "data set" else CTImageStorage)
    if named_in == "document":
        made.add_new(0x00420011, "OB", b"%PDF-1.4 CANARY.")
    path = save(made, tmp_path / "film")
    if named_in == "file meta":
        made.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.77.1.1.1"
        made.save_as(path)
    assert refusal(path).code == "not_an_image"


@pytest.mark.parametrize("offsets", [(0, 1 << 20), (1 << 20, 1 << 20)])
def test_offsets_that_lead_to_no_frame_are_refused(tmp_path: Path, offsets: tuple[int, int]) -> None:
    path = write(tmp_path / "cine", np.stack([PIXELS] * 2), RLELossless, NumberOfFrames=2)
    data = path.read_bytes()
    table = data.index(b"\xfe\xff\x00\xe0\x08\0\0\0") + 8
    path.write_bytes(data[:table] + b"".join(at.to_bytes(4, "little") for at in offsets) + data[table + 8 :])
    assert refusal(path).code in ("truncated_pixels", "undecodable_pixels")


def test_an_allocation_bomb_costs_nothing(tmp_path: Path) -> None:
    """586 bytes that declare 40000 x 40000: pydicom alone would take 3 GB for it."""
    made = encapsulated(dataset(PIXELS, Rows=40000, Columns=40000), [b"\x01" + b"\0" * 499])
    path = save(made, tmp_path / "bomb", RLELossless)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert refusal(path).code == "too_many_pixels"
    made.Rows = made.Columns = 2000
    assert refusal(save(made, path, RLELossless)).code == "truncated_pixels"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024


def test_a_deflate_bomb_is_stopped_at_the_limit(tmp_path: Path) -> None:
    path = write(tmp_path / "film", PIXELS, DeflatedExplicitVRLittleEndian)
    data = path.read_bytes()
    head = data[: 144 + int.from_bytes(data[140:144], "little")]
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    path.write_bytes(head + b"".join(deflater.compress(bytes(1 << 20)) for _ in range(64)) + deflater.flush())
    assert refusal(path, Limits(inflated_bytes=1 << 24)).code == "inflated_too_large"


def test_a_cut_off_deflate_stream_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "film", PIXELS, DeflatedExplicitVRLittleEndian)
    path.write_bytes(path.read_bytes()[:-20])
    assert refusal(path).code in ("truncated_deflate", "bad_deflate")


@pytest.mark.parametrize("depth", [65, 500, 100_000])
@pytest.mark.parametrize("undefined", [True, False])
def test_deep_nesting_is_refused_at_once(tmp_path: Path, depth: int, undefined: bool) -> None:
    if depth > 1000 and not undefined:
        depth = 5000  # defined lengths grow with the depth; this is 2 MB of nesting
    path = write(tmp_path / "film", PIXELS)
    data = path.read_bytes()
    at = data.index(b"\x28\x00\x02\x00US")
    path.write_bytes(data[:at] + nested(depth, undefined) + data[at:])
    start = time.perf_counter()
    assert refusal(path).code == "nested_too_deep"
    assert time.perf_counter() - start < 1


def nested(depth: int, undefined: bool) -> bytes:
    """A private sequence in a sequence in a sequence, in explicit little endian."""
    opening = b"\x09\x00\x10\x10SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    if undefined:
        return opening * depth + (b"\xfe\xff\x0d\xe0\0\0\0\0" + b"\xfe\xff\xdd\xe0\0\0\0\0") * depth
    inner = b""
    for _ in range(depth):
        item = b"\xfe\xff\x00\xe0" + len(inner).to_bytes(4, "little") + inner
        inner = b"\x09\x00\x10\x10SQ\0\0" + len(item).to_bytes(4, "little") + item
    return inner


def test_nesting_within_the_limit_is_read(tmp_path: Path) -> None:
    made = dataset(PIXELS)
    item = Dataset()
    for _ in range(20):
        outer = Dataset()
        outer.ReferencedImageSequence = [item]
        item = outer
    made.ReferencedImageSequence = [item]
    assert read_scan([save(made, tmp_path / "film")]).pixels.shape == (8, 8)


def test_too_many_elements_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "film", PIXELS)
    data = path.read_bytes()
    at = data.index(b"\x28\x00\x02\x00US")
    path.write_bytes(data[:at] + b"\x09\x00\x10\x10LO\0\0" * 100_001 + data[at:])
    assert refusal(path).code == "too_many_elements"


def test_a_path_for_a_uid_is_never_passed_on(tmp_path: Path) -> None:
    path = write(tmp_path / "film", PIXELS)
    data = path.read_bytes()
    uid = path.read_bytes()[data.rindex(b"\x08\x00\x18\x00UI") + 8 :][:20]
    path.write_bytes(data.replace(uid, b"../../../../tmp/evil"[: len(uid)]))
    scan = read_scan([path])
    assert scan.facts["sop_instance_uid"] is None
    assert "bad_uid" in scan.flags
    assert "evil" not in str(scan)
    with pytest.raises(DamagedInput) as turned_away:
        inspect_dicom(path, Limits())
    assert turned_away.value.code == "bad_uid"
    assert "evil" not in str(turned_away.value)


def test_a_frame_of_another_size_than_declared_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "film", np.zeros((64, 64), np.uint8), JPEG2000Lossless)
    rows = b"\x28\x00\x10\x00US\x02\x00"
    path.write_bytes(path.read_bytes().replace(rows + b"\x40\x00", rows + b"\x41\x00"))
    assert refusal(path).code == "size_mismatch"


def test_missing_frames_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "cine", np.stack([PIXELS] * 3), RLELossless, NumberOfFrames=3)
    data = path.read_bytes()
    path.write_bytes(data.replace(b"\x28\x00\x08\x00IS\x02\x003 ", b"\x28\x00\x08\x00IS\x02\x005 "))
    assert refusal(path).code in ("truncated_pixels", "undecodable_pixels")


@pytest.mark.parametrize("content", [b"", b"\0" * 200, b"%PDF-1.4 CANARY", b"CANARY " * 100, b"\x1f\x8b" + b"\0" * 50])
def test_what_is_no_picture_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "thing.dcm"
    path.write_bytes(content)
    assert refusal(path, at_the_door="unknown_format").code in ("unknown_format", "bad_deflate")


def test_pipes_and_missing_files_are_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert refusal(tmp_path / "pipe").code == "unreadable_file"
    assert refusal(tmp_path / "absent").code == "unreadable_file"


@pytest.fixture(scope="module", params=[ExplicitVRLittleEndian, RLELossless], ids=lambda uid: uid.name)
def sound_film(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    described = {"stored": 12, "WindowCenter": 30, "WindowWidth": 60}
    return write(tmp_path_factory.mktemp("sound") / "film", PIXELS, request.param, **described)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(data=st.data())
def test_random_damage_is_refused_or_read_but_never_crashes(sound_film: Path, data: st.DataObject) -> None:
    content = bytearray(sound_film.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(132, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = sound_film.with_name("damaged")
    path.write_bytes(content)
    limits = Limits(frame_pixels=1 << 16, voxels=1 << 18)
    turned_away = code_of(lambda: inspect_dicom(path, limits))
    try:
        scan = read_scan([path], limits=limits)
    except InputError as error:
        # What the door lets in may only fail in decoding, or as a volume.
        assert turned_away == error.code or turned_away in ("bad_uid", None)  # noqa: PT017
    else:
        assert turned_away in (None, "bad_uid")
        assert np.isfinite(scan.pixels).all()
        assert scan.pixels.min() >= 0
        assert scan.pixels.max() <= 1


def code_of(work: Callable[[], object]) -> str | None:
    try:
        work()
    except InputError as error:
        return error.code
    return None


@pytest.mark.parametrize("syntax", [JPEGBaseline8Bit, JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless, RLELossless])
@pytest.mark.parametrize("kept", [0.3, 0.9])
def test_a_compressed_frame_that_ends_early_is_refused_at_once(tmp_path: Path, syntax: UID, kept: float) -> None:
    """Decoders fill in what is missing, or search for it for ten seconds."""
    noise = np.random.default_rng(0).integers(0, 255, (256, 256)).astype(np.uint8)
    made = dcmread(write(tmp_path / "film", noise, syntax))
    (frame,) = generate_frames(made.PixelData, number_of_frames=1)
    path = save(encapsulated(made, [frame[: int(kept * len(frame)) // 2 * 2]]), tmp_path / "cut", syntax)
    start = time.perf_counter()
    # A run-length frame ends without a mark: only decoding tells that it is short.
    door = None if syntax == RLELossless else "the same"
    assert refusal(path, at_the_door=door).code in ("truncated_pixels", "undecodable_pixels")
    assert time.perf_counter() - start < 2


def test_run_length_bytes_that_overflow_the_picture_are_refused(tmp_path: Path) -> None:
    """The decoder, written in Rust, panics over them."""
    segment = b"\x81\x07" * 4
    header = b"".join(n.to_bytes(4, "little") for n in (2, 64, 64 + len(segment))).ljust(64, b"\0")
    made = encapsulated(dataset(PIXELS), [header + segment * 2])
    assert refusal(save(made, tmp_path / "film", RLELossless), at_the_door=None).code == "undecodable_pixels"
