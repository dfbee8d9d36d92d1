"""When a file was acquired and how its patient stood: what the header says of it, in whichever place it says it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_files import write
from pydicom.dataset import Dataset

from clinimm.io.dicom_facts import latest
from clinimm.io.scan import read_scan

PIXELS = np.eye(4, dtype=np.uint8)


def facts(folder: Path, **described: Any) -> Any:
    return read_scan([write(folder / "film.dcm", PIXELS, **described)]).facts


@pytest.mark.parametrize(
    ("described", "moment"),
    [
        ({"AcquisitionDateTime": "20240517083015.250+0200"}, "2024-05-17T08:30:15+02:00"),
        ({"AcquisitionDateTime": "20240517083015-0530"}, "2024-05-17T08:30:15-05:30"),
        ({"AcquisitionDateTime": "20240517"}, "2024-05-17T00:00:00"),
        ({"ContentDate": "20240517", "ContentTime": "0830"}, "2024-05-17T08:30:00"),
        (
            {"ContentDate": "20240517", "ContentTime": "0830", "TimezoneOffsetFromUTC": "+0100"},
            "2024-05-17T08:30:00+01:00",
        ),
        (
            {"ContentDate": "20240517", "ContentTime": "0830", "TimezoneOffsetFromUTC": "MESZ"},
            "2024-05-17T08:30:00",
        ),
        ({"StudyDate": "20240517", "AcquisitionDate": "20240518"}, "2024-05-18T00:00:00"),
        ({"StudyDate": "20240517", "StudyTime": "235959"}, "2024-05-17T23:59:59"),
        ({"StudyDate": "2024"}, None),
        ({"StudyDate": "20241399"}, None),
        ({}, None),
    ],
)
def test_the_time_of_acquisition_is_found(tmp_path: Path, described: dict[str, str], moment: str | None) -> None:
    assert facts(tmp_path, **described)["acquired_at"] == moment


def test_a_series_was_acquired_when_its_last_slice_was() -> None:
    assert latest([None, "2024-05-17T08:00:00", "2024-05-17T09:00:00"]) == "2024-05-17T09:00:00"
    assert latest(["2024-05-17T09:00:00+02:00", "2024-05-17T08:00:00+00:00"]) == "2024-05-17T08:00:00+00:00"
    assert latest(["2024-05-17T08:00:00", "2024-05-17T09:00:00+00:00"]) == "2024-05-17T08:00:00"
    assert latest([None]) is None


def coded(value: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator = value, "SCT"
    return item


@pytest.mark.parametrize(
    ("described", "view"),
    [
        ({"ViewPosition": "AP"}, "AP"),
        ({"ViewCodeSequence": [coded("272479007")]}, "PA"),
        ({"ViewCodeSequence": [coded("399173006")]}, "LL"),
        ({"ViewPosition": "AP", "ViewCodeSequence": [coded("272479007")]}, "AP"),
        ({"ViewCodeSequence": [coded("1"), coded("R-10206")]}, "AP"),
        ({"ViewPosition": "so to say upright"}, None),
        ({}, None),
    ],
)
def test_the_view_is_found_as_a_word_or_as_a_code(tmp_path: Path, described: dict[str, Any], view: str | None) -> None:
    assert facts(tmp_path, **described)["view"] == view
