"""A mark on a stored film is found again under its place on the model's grid, through the reader and the preparer."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
from dicom_files import write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nibabel.orientations import axcodes2ornt, inv_ornt_aff, ornt_transform
from PIL import Image

from clinimm.data.geometry import geometry_of
from clinimm.data.picture import place
from clinimm.data.picture_door import Look, PictureDoor
from clinimm.io.sandbox import Sandbox
from clinimm.types import ImageFile, Kind, Modality

SANDBOX = Sandbox()


def look(path: Path, grid: tuple[int, ...], crop: tuple[float, float, float, float] | None = None) -> Look:
    door = PictureDoor(Modality("film", Kind.IMAGE, (1, *grid)), SANDBOX, window="full")
    return door.look(ImageFile((path,), crop=crop))


def center_of(mass: np.ndarray) -> tuple[float, ...]:
    """The center of what stands out, in pixels."""
    weights = np.clip(mass.astype(np.float64) - 1e-4, 0, None)
    axes = np.meshgrid(*(np.arange(n) for n in mass.shape), indexing="ij")
    return tuple(float((weights * axis).sum() / weights.sum()) for axis in axes)


@st.composite
def marked_films(draw):
    """A dark film with one bright square near a corner of what the crop keeps, and a grid to put it on."""
    rows = draw(st.integers(160, 700))
    shape = (rows, int(rows * draw(st.floats(0.6, 1.6))))
    grid = draw(st.tuples(st.integers(32, 64), st.integers(32, 64)))
    crop = draw(st.sampled_from([None, (0.0, 0.0, 1.0, 1.0), (0.1, 0.2, 0.9, 0.95), (0.3, 0.05, 0.8, 1.0)]))
    left, top, right, bottom = crop or (0.0, 0.0, 1.0, 1.0)
    low, high = (int(top * shape[0]), int(left * shape[1])), (int(bottom * shape[0]), int(right * shape[1]))
    cell = max((b - a) / n for a, b, n in zip(low, high, grid, strict=True))
    side = int(2 * cell) + 3  # wide enough that a cell sees it
    far = draw(st.tuples(st.booleans(), st.booleans()))
    margin = int(2 * cell) + 2  # the filter is cut off at the very edge
    at = [b - margin - side if end else a + margin for a, b, end in zip(low, high, far, strict=True)]
    return shape, grid, crop, side, at, draw(st.sampled_from(["MONOCHROME1", "MONOCHROME2"]))


@settings(derandomize=True, deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(marked_films())
def test_rep_11_a_corner_mark_is_found_within_a_stored_pixel(tmp_path: Path, drawn) -> None:
    shape, grid, crop, side, (row, column), photometric = drawn
    film = np.zeros(shape, np.uint16)
    film[row : row + side, column : column + side] = 4000
    stored = 4095 - film if photometric == "MONOCHROME1" else film
    seen = look(write(tmp_path / "film.dcm", stored, photometric=photometric, stored=12), grid, crop)
    found = seen.geometry.to_stored(center_of(seen.pixels[0].numpy()))
    assert found == pytest.approx(center_of(film), abs=1.0)
    inside = seen.geometry.of_picture(seen.pixels[0].numpy())
    assert inside.sum() == pytest.approx(float(seen.pixels.sum()), rel=1e-6)  # what is left out is padding


@pytest.mark.parametrize("shrunk", [1, 4])
@pytest.mark.parametrize("turn", range(1, 9))
def test_a_picture_turned_by_its_camera_leads_back_to_the_file_s_own_axes(
    tmp_path: Path, turn: int, shrunk: int
) -> None:
    film = np.zeros((40 * 4 * shrunk, 30 * 4 * shrunk), np.uint8)
    film[8 * shrunk : 20 * shrunk, 90 * shrunk : 102 * shrunk] = 255
    note = Image.Exif()
    note[0x0112] = turn
    Image.fromarray(film).save(tmp_path / "film.png", exif=note)
    seen = look(tmp_path / "film.png", (28, 28))
    assert seen.facts["shrunk_by"] == shrunk
    upright = seen.geometry.to_stored(center_of(seen.pixels[0].numpy()))
    assert seen.geometry.in_file(upright) == pytest.approx(center_of(film), abs=1.0)


@pytest.mark.parametrize("codes", ["LPS", "RAS", "PSL", "SAR"])
@pytest.mark.parametrize("depth", [7, 16, 61])
def test_a_volume_leads_back_to_the_voxel_whichever_way_it_was_stored(tmp_path: Path, depth: int, codes: str) -> None:
    volume, at = np.zeros((90, 75, depth), np.int16), (60, 15, depth - 4)
    volume[56:65, 11:20, depth - 7 :] = 1000  # its middle is `at`
    affine = inv_ornt_aff(ornt_transform(axcodes2ornt("RAS"), axcodes2ornt(codes)), volume.shape)
    nibabel.save(nibabel.Nifti1Image(volume, affine), tmp_path / "volume.nii")
    seen = look(tmp_path / "volume.nii", (32, 28, 16))
    assert nibabel.aff2axcodes(affine) == tuple(codes)
    found = seen.geometry.in_file(seen.geometry.to_stored(center_of(seen.pixels[0].numpy())))
    widths = zip(seen.geometry.start, seen.geometry.end, seen.geometry.cells, strict=True)
    assert np.abs(np.subtract(found, at)).max() <= max(1.0, *((end - start) / n for start, end, n in widths))


def test_whole_blocks_of_a_volume_alone_are_on_its_grid() -> None:
    facts = {"rows": 91, "columns": 81, "slices": 61, "shrunk_by": 1}
    found = geometry_of(place((91, 81, 61), (32, 32, 16)), facts)
    assert found.end == (90, 80, 60)  # blocks of 2, 2 and 3
    assert found.to_stored((-0.5, found.first[1] - 0.5, -0.5)) == (-0.5, -0.5, -0.5)
