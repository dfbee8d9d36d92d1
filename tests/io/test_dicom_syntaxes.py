"""The same pixels come out of every transfer syntax; what has no decoder is refused by name."""

from pathlib import Path

import numpy as np
import pytest
from dicom_files import LOSSLESS, dataset, encapsulated, save, write
from pydicom import dcmread
from pydicom.encaps import generate_frames
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    RLELossless,
)

from clinimm.errors import UnsupportedInput
from clinimm.io.dicom_codecs import DECODERS
from clinimm.io.dicom_inspection import inspect_dicom
from clinimm.io.scan import Limits, read_scan
from clinimm.io.transfer_syntaxes import COMPRESSED, SUPPORTED


def smooth(rows: int = 64, columns: int = 48, most: int = 4095) -> np.ndarray:
    y, x = np.mgrid[0:rows, 0:columns]
    return ((np.sin(x / 9) * np.cos(y / 7) + 1) / 2 * most).astype(np.uint16)


@pytest.mark.parametrize("syntax", LOSSLESS, ids=lambda uid: uid.name)
@pytest.mark.parametrize("signed", [False, True])
def test_lossless_syntaxes_give_back_every_pixel(tmp_path: Path, syntax: UID, signed: bool) -> None:
    pixels = smooth().astype(np.int16) - 1000 if signed else smooth()
    path = write(tmp_path / "film", pixels, syntax, stored=16 if signed else 12)
    scan = read_scan([path], (1000.0, 4096.0))
    np.testing.assert_allclose(scan.pixels, np.clip((pixels - 999.5) / 4095 + 0.5, 0, 1), atol=1e-6)
    assert str(syntax) in scan.facts["transfer_syntax"]
    seen = inspect_dicom(path, Limits())
    assert (seen.transfer_syntax, seen.rows, seen.columns, seen.frames) == (syntax, 64, 48, 1)
    assert seen.flags == ()


@pytest.mark.parametrize("syntax", LOSSLESS, ids=lambda uid: uid.name)
def test_multi_frame_is_a_volume_in_every_syntax(tmp_path: Path, syntax: UID) -> None:
    frames = np.stack([smooth(), smooth()[::-1], smooth() // 2])
    scan = read_scan([write(tmp_path / "cine", frames, syntax, stored=12)], (2048.0, 4096.0))
    assert scan.pixels.shape == (64, 48, 3)
    np.testing.assert_allclose(scan.pixels[:, :, 2], np.clip((frames[2] - 2047.5) / 4095 + 0.5, 0, 1), atol=1e-6)


@pytest.mark.parametrize(("syntax", "most"), [(JPEGBaseline8Bit, 255), (JPEGExtended12Bit, 4095)])
def test_lossy_jpeg_is_read_in_8_and_12_bits(tmp_path: Path, syntax: UID, most: int) -> None:
    pixels = smooth(most=most).astype(np.uint8 if most == 255 else np.uint16)
    path = write(tmp_path / "film", pixels, syntax, stored=8 if most == 255 else 12)
    scan = read_scan([path], (most / 2 + 0.5, most + 1.0))
    assert np.abs(scan.pixels - pixels / most).max() < 0.02


def test_a_lossy_overshoot_stays_white(tmp_path: Path) -> None:
    """Decoded values over 10 bits must not lose their top bit and turn black."""
    pixels = np.where(np.arange(64 * 64).reshape(64, 64) % 16 < 8, 1023, 900).astype(np.uint16)
    path = write(tmp_path / "film", pixels, JPEGExtended12Bit, stored=10)
    scan = read_scan([path], (512.0, 1024.0))
    assert scan.pixels.min() > 0.8


@pytest.mark.parametrize("size", [(512, 512), (509, 387)])
def test_shrinking_gives_nearly_the_same_from_a_wavelet(tmp_path: Path, size: tuple[int, int]) -> None:
    pixels = smooth(*size) // 2 + np.random.default_rng(0).integers(0, 400, size).astype(np.uint16)
    raw = read_scan([write(tmp_path / "raw", pixels, stored=12)], (2048.0, 4096.0), at_least=90)
    wavelet = read_scan([write(tmp_path / "j2k", pixels, JPEG2000Lossless, stored=12)], (2048.0, 4096.0), at_least=90)
    assert raw.pixels.shape == wavelet.pixels.shape == (size[0] // 4, size[1] // 4)
    assert np.abs(raw.pixels - wavelet.pixels).mean() < 0.01
    assert np.corrcoef(raw.pixels.ravel(), wavelet.pixels.ravel())[0, 1] > 0.99


@pytest.mark.parametrize("uid", ["1.2.840.10008.1.2.4.103", "1.2.840.10008.1.2.4.140", "1.3.6.1.4.1.99999.7"])
def test_syntaxes_without_a_decoder_are_refused_by_name(tmp_path: Path, uid: str) -> None:
    made = dataset(smooth())
    encapsulated(made, [b"\0" * 64])
    with pytest.raises(UnsupportedInput, match=uid) as refusal:
        read_scan([save(made, tmp_path / "video", UID(uid))])
    assert refusal.value.code == "unsupported_transfer_syntax"
    with pytest.raises(UnsupportedInput) as turned_away:
        inspect_dicom(tmp_path / "video", Limits())
    assert turned_away.value.code == "unsupported_transfer_syntax"
    assert turned_away.value.code == "unsupported_transfer_syntax"


def test_every_compressed_syntax_of_the_table_has_a_decoder() -> None:
    assert set(DECODERS) == set(COMPRESSED)
    assert set(LOSSLESS) | {JPEGBaseline8Bit, JPEGExtended12Bit} <= set(SUPPORTED)


def test_one_bit_frames_need_not_start_at_a_byte(tmp_path: Path) -> None:
    masks = np.random.default_rng(0).integers(0, 2, (3, 7, 5), dtype=np.uint8)
    made = dataset(masks, BitsAllocated=1, BitsStored=1, HighBit=0)
    packed = np.packbits(masks.reshape(-1), bitorder="little").tobytes()
    made.PixelData = packed + b"\0" * (len(packed) % 2)
    scan = read_scan([save(made, tmp_path / "mask")])
    np.testing.assert_array_equal(np.moveaxis(scan.pixels, -1, 0), masks)


def test_one_bit_run_length_is_read(tmp_path: Path) -> None:
    mask = np.zeros((16, 16), np.uint8)
    mask[4:9, 3:12] = 1
    packed = np.packbits(mask.reshape(-1), bitorder="little").tobytes()
    header = (1).to_bytes(4, "little") + (64).to_bytes(4, "little") + b"\0" * 56
    made = dataset(mask, BitsAllocated=1, BitsStored=1, HighBit=0)
    encapsulated(made, [header + bytes([len(packed) - 1]) + packed + b"\x80"])
    np.testing.assert_array_equal(read_scan([save(made, tmp_path / "mask", RLELossless)]).pixels, mask)


def test_a_fragmented_frame_is_put_together(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole", smooth(), JPEG2000Lossless, stored=12)
    made = dataset(smooth(), stored=12)
    frame = next(generate_frames(dcmread(whole).PixelData, number_of_frames=1))
    parts = save(encapsulated(made, [frame], fragments_per_frame=3), tmp_path / "parts", JPEG2000Lossless)
    np.testing.assert_array_equal(read_scan([parts]).pixels, read_scan([whole]).pixels)


def test_big_endian_words_of_8_bit_pixels_are_turned_round(tmp_path: Path) -> None:
    pixels = np.arange(64, dtype=np.uint8).reshape(8, 8)
    made = dataset(pixels)
    made.PixelData = pixels.reshape(-1, 2)[:, ::-1].tobytes()
    made["PixelData"].VR = "OW"
    scan = read_scan([save(made, tmp_path / "film", UID("1.2.840.10008.1.2.2"))], "full")
    np.testing.assert_allclose(scan.pixels, pixels / 63, atol=1e-6)


def test_an_explicit_file_that_says_implicit_is_still_read(tmp_path: Path) -> None:
    explicit = write(tmp_path / "film", smooth(), ExplicitVRLittleEndian)
    data = explicit.read_bytes()
    lying = tmp_path / "lying"
    lying.write_bytes(data.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2\0\0\0", 1))
    np.testing.assert_array_equal(read_scan([lying]).pixels, read_scan([explicit]).pixels)
