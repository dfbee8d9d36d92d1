"""PNG and JPEG: gray or luminance, upright, deep or shallow; damage refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from clinimm.errors import InputError
from clinimm.io.scan import Limits, read_scan

RAMP = np.arange(256, dtype=np.uint8).reshape(16, 16)


def save(path: Path, pixels: np.ndarray, form: str = "PNG", **options: Any) -> Path:
    Image.fromarray(pixels).save(path, form, **options)
    return path


def test_8_bits_are_taken_as_they_are(tmp_path: Path) -> None:
    scan = read_scan([save(tmp_path / "picture.dcm", RAMP[4:12])])
    np.testing.assert_allclose(scan.pixels, RAMP[4:12] / 255, atol=1e-6)
    assert scan.facts["format"] == "PNG"
    assert scan.spacing_mm is None


def test_16_bits_are_stretched_over_their_robust_range(tmp_path: Path) -> None:
    deep = RAMP.astype(np.uint16) * 16
    scan = read_scan([save(tmp_path / "deep", deep)])
    assert scan.pixels.max() == 1
    np.testing.assert_allclose(scan.pixels, deep / 4080, atol=0.01)
    given = read_scan([save(tmp_path / "deep", deep)], (2048.0, 4096.0))
    np.testing.assert_allclose(given.pixels, deep / 4095, atol=1e-6)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_every_mode_of_png_becomes_gray(tmp_path: Path, mode: str) -> None:
    picture = Image.fromarray(RAMP).convert("L") if mode == "I;16" else Image.fromarray(RAMP).convert(mode)
    if mode == "I;16":
        picture = Image.fromarray(RAMP.astype(np.uint16) * 257)
    picture.save(tmp_path / "picture", "PNG")
    scan = read_scan([tmp_path / "picture"], "full")
    expected = (RAMP > 127).astype(float) if mode == "1" else RAMP / 255
    assert np.abs(scan.pixels - expected).mean() < (0.5 if mode == "1" else 0.02)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_jpegs_are_read_by_content(tmp_path: Path, mode: str) -> None:
    smooth = np.add.outer(np.arange(64), np.arange(64)).astype(np.uint8)
    Image.fromarray(smooth).convert(mode).save(tmp_path / "no_name", "JPEG", quality=95)
    scan = read_scan([tmp_path / "no_name"])
    assert np.abs(scan.pixels - smooth / 255).max() < 0.05
    assert scan.facts["format"] == "JPEG"


def test_transparency_lies_on_black(tmp_path: Path) -> None:
    clear = np.zeros((4, 4, 4), np.uint8)
    clear[..., :3], clear[:2, :, 3] = 200, 255
    scan = read_scan([save(tmp_path / "clear", clear)])
    np.testing.assert_allclose(scan.pixels[:, 0] * 255, [200, 200, 0, 0], atol=0.5)


def test_a_turned_camera_picture_is_set_upright(tmp_path: Path) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    scan = read_scan([save(tmp_path / "photo", RAMP[:8], "PNG", exif=turned)])
    np.testing.assert_allclose(scan.pixels, np.rot90(RAMP[:8], -1) / 255, atol=1e-6)


def test_shrinking_averages_blocks(tmp_path: Path) -> None:
    scan = read_scan([save(tmp_path / "picture", RAMP)], at_least=4)
    np.testing.assert_allclose(scan.pixels, RAMP.reshape(4, 4, 4, 4).mean((1, 3)) / 255, atol=1e-6)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.sampled_from(["PNG", "JPEG"]), st.floats(0.1, 0.95))
def test_a_cut_off_picture_is_refused(tmp_path_factory: pytest.TempPathFactory, form: str, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64)).astype(np.uint8)
    path = save(tmp_path_factory.mktemp("cut") / "picture", noise, form)
    data = path.read_bytes()
    path.write_bytes(data[: max(12, int(share * len(data)))])
    with pytest.raises(InputError) as refusal:
        read_scan([path])
    assert refusal.value.code in ("truncated_pixels", "unreadable_header")


def test_a_picture_over_the_limit_is_refused_unread(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="256 pixels") as refusal:
        read_scan([save(tmp_path / "picture", RAMP)], limits=Limits(frame_pixels=255))
    assert refusal.value.code == "too_many_pixels"


def test_two_pictures_are_no_series(tmp_path: Path) -> None:
    paths = [save(tmp_path / name, RAMP) for name in "ab"]
    with pytest.raises(InputError) as refusal:
        read_scan(paths)
    assert refusal.value.code == "several_pictures"
