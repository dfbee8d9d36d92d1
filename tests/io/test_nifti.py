"""NIfTI volumes come out with the axes of a DICOM series, and their place in the patient."""

import gzip
from pathlib import Path

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinimm.errors import InputError
from clinimm.io.scan import Limits, read_scan

VOLUME = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)
AFFINE = np.array([[2.0, 0, 0, -10], [0, 3, 0, 20], [0, 0, 4, 30], [0, 0, 0, 1]])


def save(path: Path, values: np.ndarray, affine: np.ndarray = AFFINE, form: type = nibabel.Nifti1Image) -> Path:
    nibabel.save(form(values, affine), path)
    return path


@pytest.mark.parametrize("name", ["volume.nii", "volume.nii.gz"])
@pytest.mark.parametrize("form", [nibabel.Nifti1Image, nibabel.Nifti2Image])
def test_a_volume_is_turned_to_back_left_head(tmp_path: Path, name: str, form: type) -> None:
    scan = read_scan([save(tmp_path / name, VOLUME, form=form)], "full")
    # NIfTI's axes run right, front, up: two of them are turned round, and rows come first.
    np.testing.assert_allclose(scan.pixels, VOLUME[::-1, ::-1].transpose(1, 0, 2) / VOLUME.max(), atol=1e-6)
    assert scan.spacing_mm == (3, 2, 4)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.permutations(range(3)), st.lists(st.sampled_from([-1, 1]), min_size=3, max_size=3), st.data())
def test_every_voxel_keeps_its_place_in_the_patient(
    tmp_path_factory: pytest.TempPathFactory, axes: list[int], signs: list[int], data: st.DataObject
) -> None:
    affine = np.eye(4)
    affine[:3, :3] = np.eye(3)[axes] * np.array(signs) * [2, 3, 4]
    affine[:3, 3] = [7, -8, 9]
    scan = read_scan([save(tmp_path_factory.mktemp("turned") / "v.nii", VOLUME, affine)], "full")
    voxel = [data.draw(st.integers(0, size - 1)) for size in VOLUME.shape]
    assert scan.orientation is not None
    place = np.array([-1, -1, 1, 1]) * (affine @ [*voxel, 1])
    row, column, slice_, _ = np.rint(np.linalg.solve(np.array(scan.orientation.affine), place)).astype(int)
    assert scan.pixels[row, column, slice_] == pytest.approx(VOLUME[tuple(voxel)] / VOLUME.max(), abs=1e-6)


def test_scaling_and_display_range_of_the_header_are_used(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(VOLUME, AFFINE)
    image.header["cal_min"], image.header["cal_max"] = 10, 60
    nibabel.save(image, tmp_path / "v.nii")
    scan = read_scan([tmp_path / "v.nii"])
    expected = np.clip((VOLUME[::-1, ::-1].transpose(1, 0, 2) - 10) / 50, 0, 1)
    np.testing.assert_allclose(scan.pixels, expected, atol=1e-6)
    assert scan.facts["window"]["source"] == "voi"


def test_one_slice_is_a_picture_and_nan_is_named(tmp_path: Path) -> None:
    flat = VOLUME[:, :, :1].astype(np.float32)
    flat[0, 0] = np.nan
    scan = read_scan([save(tmp_path / "v.nii", flat)])
    assert scan.pixels.shape == (5, 4)
    assert scan.flags == ("nonfinite_pixels",)


@pytest.mark.parametrize(
    ("code", "values", "affine"),
    [
        ("time_series", np.zeros((2, 2, 2, 3), np.int16), AFFINE),
        ("unsupported_bits", np.zeros((2, 2, 2), np.complex64), AFFINE),
        ("bad_geometry", VOLUME, np.diag([0.0, 1, 1, 1])),
    ],
)
def test_what_is_no_volume_is_refused(tmp_path: Path, code: str, values: np.ndarray, affine: np.ndarray) -> None:
    path = save(tmp_path / "v.nii", values)
    data = bytearray(path.read_bytes())
    data[280:328] = affine[:3].astype("<f4").tobytes()
    path.write_bytes(data)
    assert refused(path) == code


def refused(path: Path, limits: Limits | None = None) -> str:
    with pytest.raises(InputError) as refusal:
        read_scan([path], limits=limits)
    return refusal.value.code


def test_sizes_that_are_declared_and_not_there_are_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "v.nii", VOLUME)
    data = bytearray(path.read_bytes())
    for extent, code in ((7, "truncated_pixels"), (30000, "too_many_pixels")):
        data[42:48] = np.array([extent] * 3, "<i2").tobytes()
        path.write_bytes(data)
        assert refused(path) == code


def test_inflation_is_bounded(tmp_path: Path) -> None:
    bomb = tmp_path / "v.nii.gz"
    bomb.write_bytes(gzip.compress(bytes(1 << 24)))
    assert refused(bomb, Limits(inflated_bytes=1 << 20)) == "inflated_too_large"
    assert refused(bomb) == "unknown_format"


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, 351), st.integers(0, 255)), min_size=1, max_size=4))
def test_a_random_header_is_refused_or_read(
    tmp_path_factory: pytest.TempPathFactory, damage: list[tuple[int, int]]
) -> None:
    path = save(tmp_path_factory.mktemp("random") / "v.nii", VOLUME)
    data = bytearray(path.read_bytes())
    for at, byte in damage:
        data[at] = byte
    path.write_bytes(data)
    try:
        scan = read_scan([path], limits=Limits(voxels=1 << 12))
    except InputError as error:
        assert error.code  # noqa: PT017
    else:
        assert np.isfinite(scan.pixels).all()
