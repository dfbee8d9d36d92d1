"""A scan for a viewer: what is written is what was read, in the same place of the patient."""

from pathlib import Path
from tempfile import TemporaryDirectory

import nibabel
import numpy as np
import pytest
from dicom_files import AXIAL, write
from hypothesis import given
from hypothesis import strategies as st

from clinimm.io.display import as_nifti
from clinimm.io.scan import read_scan
from clinimm.io.scan_types import Scan


def reread(scan: Scan) -> nibabel.Nifti1Image:
    return nibabel.Nifti1Image.from_bytes(as_nifti(scan))


def film(folder: Path, pixels: np.ndarray, **described: object) -> Scan:
    return read_scan([write(folder / "film.dcm", pixels, stored=12, **described)], "full")


@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.tuples(st.integers(2, 40), st.integers(2, 40)),
    photometric=st.sampled_from(["MONOCHROME1", "MONOCHROME2"]),
    slope=st.sampled_from([0.5, 1, 3]),
    intercept=st.sampled_from([-1024, 0, 7]),
)
def test_values_are_those_of_the_file_at_their_place_and_bright_is_great(
    seed: int, size: tuple[int, int], photometric: str, slope: float, intercept: float
) -> None:
    stored = np.random.default_rng(seed).integers(0, 4096, size).astype(np.uint16)
    stored[0, 0], stored[-1, -1] = 0, 4095
    with TemporaryDirectory() as folder:
        scan = film(Path(folder), stored, photometric=photometric, RescaleSlope=slope, RescaleIntercept=intercept)
    found = reread(scan)
    values = np.asarray(found.dataobj)[..., 0].T
    np.testing.assert_allclose(values, stored.astype(float) * slope + intercept, atol=4095 * slope / 65535)
    bright = np.asarray(found.dataobj.get_unscaled())[..., 0].T
    brightest = 0 if photometric == "MONOCHROME1" else 4095
    assert (bright[stored == brightest] == 65535).all()


def test_window_to_begin_with_is_the_file_s_own_or_a_robust_one(tmp_path: Path) -> None:
    pixels = np.linspace(0, 4000, 1600).reshape(40, 40).astype(np.uint16)
    asked = reread(film(tmp_path, pixels, WindowCenter=500, WindowWidth=200)).header
    assert (float(asked["cal_min"]), float(asked["cal_max"])) == (400, 600)
    robust = reread(film(tmp_path, pixels)).header
    assert float(robust["cal_min"]) == pytest.approx(4, abs=3)
    assert float(robust["cal_max"]) == pytest.approx(3996, abs=3)


def test_volume_lies_where_it_lay_in_the_patient(tmp_path: Path) -> None:
    paths = [
        write(
            tmp_path / f"{z}.dcm",
            np.full((6, 8), 100 * z, np.uint16),
            ImagePositionPatient=[10, 20, 5.0 * z],
            ImageOrientationPatient=AXIAL,
            PixelSpacing=[2, 3],
            SeriesInstanceUID="1.2.3",
            SOPInstanceUID=f"1.2.3.{z}",
            Modality="CT",
        )
        for z in (2, 0, 1, 3)
    ]
    found = reread(read_scan(paths, "full"))
    assert found.shape == (8, 6, 4)
    assert found.header.get_zooms() == (3, 2, 5)
    assert bytes(found.header["descrip"]).rstrip(b"\0") == b"CT"
    np.testing.assert_allclose(found.affine @ [1, 2, 3, 1], [-13, -24, 15, 1])  # to the right, the front and the head
    np.testing.assert_allclose(np.asarray(found.dataobj)[0, 0], [0, 100, 200, 300], atol=0.01)


def test_nothing_of_the_header_goes_along(tmp_path: Path) -> None:
    made = as_nifti(film(tmp_path, np.arange(16, dtype=np.uint16).reshape(4, 4), PatientName="CANARY^NAME"))
    assert b"CANARY" not in made
