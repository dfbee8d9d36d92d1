"""Slices become a volume: in order along the normal whatever their names, with gaps and duplicates found."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_files import AXIAL, dataset, save, write
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.uid import generate_uid

from clinimm.errors import InputError
from clinimm.io.scan import Limits, Scan, read_scan

SHAPE = (6, 5)
SAGITTAL = [0, 1, 0, 0, 0, -1]


def write_slice(path: Path, place: float, number: int = 0, **described: Any) -> Path:
    """A slice `place` mm up whose pixels are all `place`."""
    pixels = np.full(SHAPE, round(place), np.int16)
    described = {"ImagePositionPatient": [-10, -20, place], "InstanceNumber": number, "Modality": "CT"} | described
    common = {"ImageOrientationPatient": AXIAL, "PixelSpacing": [0.5, 0.7], "SeriesInstanceUID": "1.2.3"}
    return write(path, pixels, **(common | {"SOPInstanceUID": generate_uid()} | described))


def places(scan: Scan, places_of: list[float]) -> list[float]:
    """The place that each slice of a scan read with "full" was written for."""
    low, high = min(places_of), max(places_of)
    return [round(float(value) * (high - low) + low, 3) for value in scan.pixels[0, 0]]


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.permutations(range(6)), st.permutations(range(6)), st.permutations(range(6)))
def test_neither_names_nor_numbers_nor_order_matter(names: list[int], numbers: list[int], order: list[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        paths = [write_slice(Path(folder) / f"{names[i]}.dcm", 2.0 * i, numbers[i]) for i in range(6)]
        scan = read_scan([paths[i] for i in order], "full")
        assert places(scan, [0, 10]) == [0, 2, 4, 6, 8, 10]
        assert scan.spacing_mm == (0.5, 0.7, 2.0)
        assert scan.flags == ()
        assert scan.orientation is not None
        assert scan.orientation.affine == ((0, 0.7, 0, -10), (0.5, 0, 0, -20), (0, 0, 2, 0), (0, 0, 0, 1))


def test_the_affine_leads_to_where_the_slices_lie(tmp_path: Path) -> None:
    paths = [
        write_slice(
            tmp_path / f"{i}", 3.0 * i, ImageOrientationPatient=SAGITTAL, ImagePositionPatient=[5 - 3 * i, 2, 9]
        )
        for i in range(4)
    ]
    scan = read_scan(paths)
    assert scan.orientation is not None
    assert scan.orientation.normal == (-1, 0, 0)
    affine = np.array(scan.orientation.affine)
    for index in range(4):
        np.testing.assert_allclose(affine @ [0, 0, index, 1], [5 - 3 * index, 2, 9, 1], atol=1e-9)
    np.testing.assert_allclose(affine @ [1, 0, 0, 1] - affine @ [0, 0, 0, 1], [0, 0, -0.5, 0], atol=1e-9)


def test_shrinking_moves_the_first_pixel_to_the_middle_of_its_block(tmp_path: Path) -> None:
    described = {"ImageOrientationPatient": AXIAL, "ImagePositionPatient": [0, 0, 7], "PixelSpacing": [0.5, 1.0]}
    scan = read_scan([write(tmp_path / "film", np.eye(16, dtype=np.uint8), **described)], at_least=4)
    assert scan.spacing_mm == (2.0, 4.0)
    assert scan.facts["rows"] == 16
    assert scan.facts["shrunk_by"] == 4
    assert scan.orientation is not None
    affine = np.array(scan.orientation.affine)
    np.testing.assert_allclose(affine[:3, 3], [1.5, 0.75, 7])


@pytest.mark.parametrize(
    ("steps", "flags", "spacing"),
    [
        ([0, 1, 2, 3, 4], (), 1.0),
        ([0, 1, 2, 5, 6, 7], ("gap_in_series:2",), 1.0),
        ([0, 1, 2, 4, 5, 7, 8, 9], ("gap_in_series:2",), 1.0),
        ([0, 1, 2.2, 3, 4], ("irregular_spacing",), 1.0),
        ([0, 1, 1, 2, 3, 3, 3], ("duplicate_slice:3",), 1.0),
        ([0, 0], ("duplicate_slice:1",), None),
    ],
)
def test_gaps_duplicates_and_uneven_steps_are_found(
    tmp_path: Path, steps: list[float], flags: tuple[str, ...], spacing: float | None
) -> None:
    scan = read_scan([write_slice(tmp_path / f"{i}", step, i) for i, step in enumerate(steps)])
    assert scan.flags == flags
    counted = {code: int(count) for code, _, count in (flag.partition(":") for flag in flags) if count}
    assert scan.facts["missing_slices"] == counted.get("gap_in_series", 0)
    assert scan.facts["duplicate_slices"] == counted.get("duplicate_slice", 0)
    assert scan.spacing_mm is not None
    assert scan.spacing_mm[2:] == (() if spacing is None else (pytest.approx(spacing),))


def test_of_two_slices_in_one_place_the_first_by_number_is_kept(tmp_path: Path) -> None:
    paths = [write_slice(tmp_path / "a", 5, 9, ImagePositionPatient=[0, 0, 0])]
    paths += [write_slice(tmp_path / "b", 7, 3, ImagePositionPatient=[0, 0, 0]), write_slice(tmp_path / "c", 10, 4)]
    assert places(read_scan(paths, "full"), [7, 10]) == [7, 10]


@pytest.mark.parametrize(
    ("code", "described"),
    [
        ("several_series", {"SeriesInstanceUID": "1.2.4"}),
        ("mixed_geometry", {"ImageOrientationPatient": SAGITTAL}),
        ("mixed_geometry", {"photometric": "MONOCHROME1"}),
        ("several_films", {"NumberOfFrames": 2, "Rows": 3}),
    ],
)
def test_what_makes_no_volume_is_refused(tmp_path: Path, code: str, described: dict[str, Any]) -> None:
    paths = [write_slice(tmp_path / "a", 0), write_slice(tmp_path / "b", 1, **described)]
    with pytest.raises(InputError) as refusal:
        read_scan(paths)
    assert refusal.value.code == code


def test_two_films_are_not_a_volume(tmp_path: Path) -> None:
    unplaced = {"Modality": "DX", "SeriesInstanceUID": "1.2.3"}
    paths = [write(tmp_path / name, np.eye(4, dtype=np.uint8), **unplaced) for name in "ab"]
    with pytest.raises(InputError, match="2 films"):
        read_scan(paths)


def test_slices_without_positions_follow_their_numbers(tmp_path: Path) -> None:
    common = {"SeriesInstanceUID": "1.2.3", "Modality": "MR"}
    paths = [
        write(tmp_path / f"{i}", np.full(SHAPE, value, np.uint8), InstanceNumber=number, **common)
        for i, (value, number) in enumerate([(30, 3), (10, 1), (20, 2)])
    ]
    scan = read_scan(paths, "full")
    assert places(scan, [10, 30]) == [10, 20, 30]
    assert scan.flags == ("no_positions",)


def test_a_folder_is_read_as_its_series(tmp_path: Path) -> None:
    for index in range(3):
        write_slice(tmp_path / "study" / "ct" / f"{index}", index)
    save(dataset(np.zeros(SHAPE, np.uint8), PixelData=None), tmp_path / "study" / "report")
    (tmp_path / "study" / "readme.txt").write_text("a word to the reader")
    scan = read_scan([tmp_path / "study"])
    assert scan.pixels.shape == (*SHAPE, 3)
    assert scan.flags == ("skipped_files:2",)


def test_windows_that_differ_between_slices_are_named(tmp_path: Path) -> None:
    paths = [write_slice(tmp_path / f"{i}", i, WindowCenter=i, WindowWidth=100) for i in range(3)]
    scan = read_scan(paths)
    assert scan.flags == ("window_varies",)
    assert scan.facts["window"]["center"] == 1


def test_dose_planes_are_placed_by_their_offsets(tmp_path: Path) -> None:
    frames = np.stack([np.full(SHAPE, i, np.uint16) for i in range(3)])
    path = write(
        tmp_path / "dose",
        frames,
        ImageOrientationPatient=AXIAL,
        ImagePositionPatient=[0, 0, 100],
        PixelSpacing=[1, 1],
        GridFrameOffsetVector=[0, -4, -8],
    )
    scan = read_scan([path], "full")
    assert scan.spacing_mm == (1, 1, 4)
    assert places(scan, [0, 2]) == [2, 1, 0]
    assert scan.orientation is not None
    assert np.array(scan.orientation.affine)[2, 3] == 92


def test_too_many_files_and_voxels_are_refused_before_decoding(tmp_path: Path) -> None:
    paths = [write_slice(tmp_path / f"{i}", i) for i in range(4)]
    for limits, code in ((Limits(files=3), "too_many_files"), (Limits(voxels=119), "too_many_pixels")):
        with pytest.raises(InputError) as refusal:
            read_scan(paths, limits=limits)
        assert refusal.value.code == code
    with pytest.raises(InputError, match="bytes"):
        read_scan(paths, limits=Limits(total_bytes=2000))
