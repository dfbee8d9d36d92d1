"""What is shown of a case's films: all of a series in its order, at a size that can be shown, and only as it came."""

from pathlib import Path

import httpx
import nibabel
import numpy as np
import pytest
from dicom_files import AXIAL, content, dataset
from service_requests import case, film, post

from clinimm.io.sandbox import Sandbox
from services.artifacts import facts
from services.blobs import Blobs
from services.cases.scans import AT_ONCE, VOXELS, Scans, shorter_side
from services.cases.stored import Instance, StoredImage
from services.db import Database
from services.errors import NotFound, Refused, Unavailable
from services.settings import Settings

SLICES = 600


@pytest.fixture
def scans(settings: Settings):
    database, sandbox = Database(settings.url), Sandbox()
    yield Scans(database, Blobs(settings.data / "blobs"), facts.read(settings.model), sandbox)
    sandbox.close()
    database.close()


def a_slice(z: int) -> bytes:
    described = {
        "ImagePositionPatient": [0, 0, 1.25 * z],
        "ImageOrientationPatient": AXIAL,
        "PixelSpacing": [0.7, 0.7],
        "StudyInstanceUID": "1.2.3",
        "SeriesInstanceUID": "1.2.3.4",
        "SOPInstanceUID": f"1.2.3.4.{z + 1}",
        "PatientID": "p-1",
        "Modality": "CT",
    }
    return content(dataset(np.full((8, 6), z, np.uint16), stored=12, **described))


@pytest.mark.slow
def test_six_hundred_slices_come_in_their_order(api: httpx.Client, scans: Scans) -> None:
    order = np.random.default_rng(0).permutation(SLICES)
    taken = post(api, case("series"), [("image", a_slice(int(z))) for z in order])
    assert taken.status_code == 202, taken.text
    found = nibabel.Nifti1Image.from_bytes(scans.nifti(taken.json()["id"], 1, "cxr"))
    assert found.shape == (6, 8, SLICES)
    np.testing.assert_allclose(np.asarray(found.dataobj)[3, 3], range(SLICES), atol=0.01)


def test_a_changed_or_lost_file_is_not_shown(api: httpx.Client, scans: Scans) -> None:
    case_id = post(api, case("film"), [("image", film())]).json()["id"]
    assert nibabel.Nifti1Image.from_bytes(scans.nifti(case_id, 1, "cxr")).shape == (48, 48, 1)
    [part] = [part for part in api.get(f"/v1/cases/{case_id}").json()["parts"] if part["modality"]]
    path: Path = scans.blobs.path(part["sha256"])
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(Refused, match="gone, or was changed"):
        scans.nifti(case_id, 1, "cxr")
    path.unlink()
    with pytest.raises(Refused, match="gone, or was changed"):
        scans.nifti(case_id, 1, "cxr")


def test_what_the_case_did_not_hold_is_not_there(api: httpx.Client, scans: Scans) -> None:
    case_id = post(api, case("no-film")).json()["id"]
    for name in ("cxr", "note", "../x"):
        with pytest.raises(NotFound):
            scans.nifti(case_id, 1, name)


def test_who_comes_while_enough_are_read_is_told_to_come_again(api: httpx.Client, scans: Scans) -> None:
    case_id = post(api, case("film"), [("image", film())]).json()["id"]
    for _ in range(AT_ONCE):
        scans.reading.acquire()
    with pytest.raises(Unavailable):
        scans.nifti(case_id, 1, "cxr")
    scans.reading.release()
    assert scans.nifti(case_id, 1, "cxr")


@pytest.mark.parametrize(
    ("slices", "side", "kept"), [(1, 4096, None), (64, 512, None), (600, 512, 256), (1200, 1024, 128)]
)
def test_a_volume_is_shrunk_by_whole_blocks_until_it_can_be_given_out(slices: int, side: int, kept: int | None) -> None:
    films = [an_image(n, {"rows": side, "columns": side, "frames": 1}) for n in range(slices)]
    assert shorter_side(films) == kept
    assert slices * (kept or side) ** 2 <= VOXELS


def an_image(position: int, told: dict[str, int]) -> StoredImage:
    instance = Instance(str(position), "1", "1", "a", "a", 1, False, facts=told)
    return StoredImage(position, 1, "ct", "accepted", "", 1, "a", "a", False, instance)
