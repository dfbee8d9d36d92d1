"""Rescale, lookup tables and windows, against the formulas of PS3.3 C.11."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_files import AXIAL, dataset, save, write
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.pixels import apply_modality_lut, apply_windowing

from clinimm.io.scan import read_scan
from clinimm.io.window import Window

RAMP = np.arange(256, dtype=np.uint16).reshape(16, 16) * 16


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_windows_follow_the_standard(tmp_path: Path, function: str) -> None:
    described: dict[str, Any] = {"RescaleSlope": 0.5, "RescaleIntercept": -1024, "VOILUTFunction": function}
    made = dataset(RAMP, stored=12, WindowCenter=40, WindowWidth=400, **described)
    scan = read_scan([save(made, tmp_path / "ct")])
    reference = apply_windowing(apply_modality_lut(RAMP, made), made)
    low, high = 0.5 * 0 - 1024, 0.5 * 4095 - 1024
    np.testing.assert_allclose(scan.pixels, (reference - low) / (high - low), atol=2e-3)
    assert scan.facts["window"] == {"center": 40.0, "width": 400.0, "function": function, "source": "voi"}


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    st.sampled_from(["LINEAR", "LINEAR_EXACT", "SIGMOID"]),
    st.floats(-3000, 3000, width=32),
    st.floats(0.5, 5000, width=32),
)
def test_windows_rise_and_stay_between_0_and_1(function: str, center: float, width: float) -> None:
    values = np.linspace(-5000, 5000, 201, dtype=np.float32)
    Window(center, width, function).apply(values)
    assert values.min() >= 0
    assert values.max() <= 1
    assert (np.diff(values) >= 0).all()


def test_a_window_that_is_asked_for_is_in_hounsfield_units(tmp_path: Path) -> None:
    described = {"RescaleSlope": 1, "RescaleIntercept": -1024, "WindowCenter": 0, "WindowWidth": 9}
    path = write(tmp_path / "ct", RAMP, stored=12, **described)
    scan = read_scan([path], (-600.0, 1500.0))
    expected = np.clip((RAMP - 1024.0 + 600.5) / 1499 + 0.5, 0, 1)
    np.testing.assert_allclose(scan.pixels, expected, atol=1e-5)


def test_without_a_window_a_few_hot_pixels_do_not_darken_the_rest(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(100, 200, (100, 100)).astype(np.uint16)
    pixels[0, :2] = 60000
    scan = read_scan([write(tmp_path / "film", pixels)])
    assert np.median(scan.pixels) == pytest.approx(0.5, abs=0.05)
    assert scan.facts["window"]["source"] == "robust"


def test_modality_and_voi_tables_are_applied(tmp_path: Path) -> None:
    pixels = np.array([[8, 10, 11, 13]], np.uint16)
    made = dataset(pixels)
    made.ModalityLUTSequence = [lut(10, [100, 200, 300, 400], 16)]
    made.VOILUTSequence = [lut(200, list(range(0, 201, 2)), 8)]
    scan = read_scan([save(made, tmp_path / "cr")])
    # 8 and 10 -> 100, below the table -> its first entry; 11 -> 200 -> 0; 13 -> 400, beyond -> its last, 200 of 255
    np.testing.assert_allclose(scan.pixels, [[0, 0, 0, 200 / 255]], atol=1e-6)
    assert scan.facts["window"]["source"] == "voi_lut"


def lut(first: int, entries: list[int], bits: int) -> Dataset:
    item = Dataset()
    item.add_new(0x00283002, "US", [len(entries), first, bits])
    item.add_new(0x00283006, "OW", np.asarray(entries, "<u2").tobytes())
    return item


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_inverse_shape_and_monochrome1_invert_once(tmp_path: Path, photometric: str) -> None:
    """DX files say both and mean one inversion."""
    path = write(tmp_path / "dx", RAMP, photometric=photometric, PresentationLUTShape="INVERSE")
    np.testing.assert_allclose(read_scan([path], "full").pixels, 1 - RAMP / 4080, atol=1e-6)


def test_a_window_of_no_width_is_left_aside_and_flagged(tmp_path: Path) -> None:
    scan = read_scan([write(tmp_path / "film", RAMP, WindowCenter=100, WindowWidth=0)])
    assert scan.flags == ("window_ignored",)
    assert scan.facts["window"]["source"] == "robust"


def test_dose_is_scaled_by_its_own_element(tmp_path: Path) -> None:
    path = write(tmp_path / "dose", RAMP.astype(np.uint32), DoseGridScaling=0.01)
    np.testing.assert_allclose(read_scan([path], (20.0, 40.0)).pixels[-1, -1], 1, atol=1e-6)


def test_frames_of_an_enhanced_file_have_their_own_rescale(tmp_path: Path) -> None:
    made = enhanced(np.stack([np.full((4, 4), 100, np.uint16)] * 3), slopes=[1, 2, 3])
    scan = read_scan([save(made, tmp_path / "enhanced")], "full")
    np.testing.assert_allclose(scan.pixels[0, 0], [0, 0.5, 1], atol=1e-6)
    assert scan.spacing_mm == (0.5, 0.5, 2.0)


def enhanced(frames: np.ndarray, slopes: list[float]) -> Dataset:
    """A multi-frame file with functional groups, its frames stored from the head down."""
    made = dataset(frames)
    measures, plane_directions, shared = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, plane_directions.ImageOrientationPatient = [0.5, 0.5], AXIAL
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [plane_directions]
    made.SharedFunctionalGroupsSequence, made.PerFrameFunctionalGroupsSequence = [shared], []
    for index, slope in enumerate(slopes):
        group, place, rescale = Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = [0, 0, 2 * index]
        rescale.RescaleSlope, rescale.RescaleIntercept = slope, 0
        group.PlanePositionSequence, group.PixelValueTransformationSequence = [place], [rescale]
        made.PerFrameFunctionalGroupsSequence.append(group)
    return made
