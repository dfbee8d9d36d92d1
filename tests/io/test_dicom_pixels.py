"""From stored bits to bright-is-dense values: depth, sign, photometrics, colors, palettes, padding."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from dicom_files import dataset, save, write
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.pixels import apply_color_lut
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from clinimm.errors import UnsupportedInput
from clinimm.io.scan import read_scan

NATIVE = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian)
LUMA = np.array([0.299, 0.587, 0.114])


@st.composite
def stored_pixels(draw: st.DrawFn) -> tuple[np.ndarray, int]:
    """Random pixels of any depth and sign, and the bits they are stored in."""
    allocated, signed = draw(st.sampled_from([8, 16, 32])), draw(st.booleans())
    stored = draw(st.integers(2, min(allocated, 24)))
    shape = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    low, high = (-(1 << stored - 1), (1 << stored - 1) - 1) if signed else (0, (1 << stored) - 1)
    values = np.random.default_rng(draw(st.integers(0, 99))).integers(low, high + 1, shape)
    return values.astype(f"{'i' if signed else 'u'}{allocated // 8}"), stored


@settings(max_examples=60, deadline=None, derandomize=True)
@given(stored_pixels(), st.sampled_from(NATIVE))
def test_any_depth_and_sign_comes_back(made: tuple[np.ndarray, int], syntax: str) -> None:
    pixels, stored = made
    with tempfile.TemporaryDirectory() as folder:
        scan = read_scan([write(Path(folder) / "film", pixels, syntax, stored=stored)], "full")
    low, high = float(pixels.min()), float(pixels.max())
    expected = (pixels - low) / (high - low) if high > low else np.zeros(pixels.shape)
    np.testing.assert_allclose(scan.pixels, expected, atol=1e-5)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(stored_pixels())
def test_monochrome1_of_the_inverse_is_monochrome2(made: tuple[np.ndarray, int]) -> None:
    pixels, stored = made
    with tempfile.TemporaryDirectory() as folder:
        plain = read_scan([write(Path(folder) / "plain", pixels, stored=stored)], "full")
        inverse = write(Path(folder) / "i", ~pixels & mask(pixels, stored), stored=stored, photometric="MONOCHROME1")
        turned = read_scan([inverse], "full")
    if pixels.min() < pixels.max():
        np.testing.assert_allclose(turned.pixels, plain.pixels, atol=1e-5)
    assert turned.facts["inverted"]
    assert not plain.facts["inverted"]


def mask(pixels: np.ndarray, stored: int) -> np.generic:
    """Bits that the inverse of an unsigned pixel may have; a signed one's inverse stays in range by itself."""
    return pixels.dtype.type(-1) if pixels.dtype.kind == "i" else pixels.dtype.type((1 << stored) - 1)


@pytest.mark.parametrize("high", [11, 13, 15])
def test_bits_beside_the_stored_ones_are_ignored(tmp_path: Path, high: int) -> None:
    """Old files keep overlays there."""
    pixels = np.random.default_rng(0).integers(0, 4096, (8, 8)).astype(np.uint16)
    moved = (pixels << (high - 11)) | (np.uint16(0xFFFF) ^ np.uint16(0xFFF << (high - 11)))
    path = write(tmp_path / "film", moved.astype(np.uint16), stored=12, HighBit=high)
    scan = read_scan([path], (2048.0, 4096.0))
    np.testing.assert_allclose(scan.pixels, pixels / 4095, atol=1e-6)


def test_signed_bits_above_the_stored_ones_are_ignored(tmp_path: Path) -> None:
    values = np.array([[-2048, -1], [0, 2047]], np.int16)
    path = write(tmp_path / "film", values & 0x0FFF, stored=12)
    np.testing.assert_allclose(read_scan([path], "full").pixels, (values + 2048) / 4095, atol=1e-6)


@pytest.mark.parametrize("planar", [0, 1])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_colors_become_luminance(tmp_path: Path, planar: int, dtype: type[np.generic]) -> None:
    most = np.iinfo(dtype).max
    colors = np.random.default_rng(0).integers(0, most, (6, 4, 3)).astype(dtype)
    made = dataset(colors, photometric="RGB", PlanarConfiguration=planar)
    made.PixelData = (np.moveaxis(colors, -1, 0) if planar else colors).tobytes()
    np.testing.assert_allclose(read_scan([save(made, tmp_path / "photo")]).pixels, colors @ LUMA / most, atol=1e-5)


def test_ybr_gives_its_own_luminance(tmp_path: Path) -> None:
    ybr = np.random.default_rng(0).integers(0, 255, (4, 4, 3)).astype(np.uint8)
    full = read_scan([write(tmp_path / "full", ybr, photometric="YBR_FULL")])
    np.testing.assert_allclose(full.pixels, ybr[..., 0] / 255, atol=1e-6)
    made = dataset(ybr, photometric="YBR_FULL_422")
    pairs = ybr[..., 0].reshape(-1, 2)
    made.PixelData = np.concatenate([pairs, np.full_like(pairs, 128)], axis=1).tobytes()
    np.testing.assert_array_equal(read_scan([save(made, tmp_path / "halved")]).pixels, full.pixels)


@pytest.mark.parametrize("syntax", NATIVE[1:], ids=lambda uid: uid.name)
def test_a_palette_becomes_luminance(tmp_path: Path, syntax: str) -> None:
    pixels = np.arange(16, dtype=np.uint8).reshape(4, 4)
    tables = np.random.default_rng(0).integers(0, 65536, (3, 16)).astype(np.uint16)
    made = dataset(pixels, photometric="PALETTE COLOR")
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    for name, table in zip(("Red", "Green", "Blue"), tables, strict=True):
        setattr(made, f"{name}PaletteColorLookupTableDescriptor", [16, 0, 16])
        setattr(made, f"{name}PaletteColorLookupTableData", table.astype(f"{order}u2").tobytes())
    expected = (tables.T @ LUMA / 65535).reshape(4, 4)
    np.testing.assert_allclose(read_scan([save(made, tmp_path / "us", syntax)]).pixels, expected, atol=1e-5)


def test_floating_pixels_are_read_and_nan_is_named(tmp_path: Path) -> None:
    values = np.linspace(-1, 3, 16, dtype=np.float32).reshape(4, 4)
    holed = values.copy()
    holed[2, 2] = np.nan
    plain = read_scan([save(floating(values), tmp_path / "plain")], "full")
    np.testing.assert_allclose(plain.pixels, (values + 1) / 4, atol=1e-6)
    scan = read_scan([save(floating(holed), tmp_path / "holed")], "full")
    assert scan.flags == ("nonfinite_pixels",)
    assert scan.pixels[2, 2] == 0


def floating(values: np.ndarray) -> Dataset:
    made = dataset(values)
    del made.PixelData, made.BitsStored, made.HighBit, made.PixelRepresentation
    made.FloatPixelData = values.tobytes()
    return made


def test_overlays_and_icons_are_not_the_picture(tmp_path: Path) -> None:
    pixels = np.arange(16, dtype=np.uint8).reshape(4, 4)
    made = dataset(pixels)
    icon = dataset(np.zeros((2, 2), np.uint8))
    made.IconImageSequence = [icon]
    made.add_new(0x60003000, "OW", b"\xff" * 2)
    np.testing.assert_allclose(read_scan([save(made, tmp_path / "film")], "full").pixels, pixels / 15, atol=1e-6)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_is_black_and_moves_no_window(tmp_path: Path, photometric: str) -> None:
    pixels = np.random.default_rng(0).integers(1000, 2000, (64, 64)).astype(np.int16)
    padded = pixels.copy()
    padded[:16] = -2000
    path = write(tmp_path / "film", padded, photometric=photometric, PixelPaddingValue=-2000)
    scan = read_scan([path], "full")
    assert (scan.pixels[:16] == 0).all()
    real = (pixels[16:] - pixels[16:].min()) / np.ptp(pixels[16:])
    np.testing.assert_allclose(scan.pixels[16:], real if photometric == "MONOCHROME2" else 1 - real, atol=1e-5)


def test_nothing_of_the_patient_is_kept(tmp_path: Path) -> None:
    path = write(tmp_path / "film", np.eye(4, dtype=np.uint8), BurnedInAnnotation="YES", ViewPosition="PA")
    scan = read_scan([path])
    assert "CANARY" not in str(scan.facts) + str(scan.flags)
    assert scan.facts["view"] == "PA"
    assert scan.flags == ("burned_in_annotation",)


def test_a_photometric_that_is_not_given_is_assumed_and_flagged(tmp_path: Path) -> None:
    path = write(tmp_path / "film", np.eye(4, dtype=np.uint8), PhotometricInterpretation=None)
    assert read_scan([path]).flags == ("photometric_assumed",)


def test_a_file_without_preamble_is_read_and_flagged(tmp_path: Path) -> None:
    path = write(tmp_path / "film", np.arange(16, dtype=np.uint8).reshape(4, 4), ImplicitVRLittleEndian)
    data = path.read_bytes()
    bare = tmp_path / "bare"
    bare.write_bytes(data[data.index(b"\x08\x00\x16\x00") :])
    scan = read_scan([bare])
    assert scan.flags == ("headerless_dicom", "transfer_syntax_assumed")
    np.testing.assert_array_equal(scan.pixels, read_scan([path]).pixels)


def test_a_segmented_palette_is_that_of_pydicom(tmp_path: Path) -> None:
    # two values, a line up to 60000 over 100 entries, one more value, and a line down to 500
    path = segmented(tmp_path / "us", [0, 2, 0, 9000, 1, 100, 60000, 0, 1, 65535, 1, 153, 500])
    made = dcmread(path)
    reference = apply_color_lut(made.pixel_array, made) @ LUMA / 65535
    np.testing.assert_allclose(read_scan([path]).pixels, reference, atol=1e-4)


def test_a_palette_that_refers_to_itself_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedInput, match="indirect"):
        read_scan([segmented(tmp_path / "us", [0, 2, 0, 9000, 2, 1, 0, 0])])


def segmented(path: Path, segments: list[int]) -> Path:
    made = dataset(np.arange(256, dtype=np.uint8).reshape(16, 16), photometric="PALETTE COLOR")
    for name in ("Red", "Green", "Blue"):
        setattr(made, f"{name}PaletteColorLookupTableDescriptor", [256, 0, 16])
        setattr(made, f"Segmented{name}PaletteColorLookupTableData", np.array(segments, "<u2").tobytes())
    return save(made, path)
