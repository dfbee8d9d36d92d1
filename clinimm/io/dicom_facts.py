"""What a scan says about its file: plain JSON types, and nothing of the patient."""

import re
from datetime import datetime
from typing import Any

from pydicom.dataset import Dataset

from clinimm.io.dicom_geometry import Plane
from clinimm.io.dicom_header import Instance, code_text, named_uid, uid_text
from clinimm.io.dicom_layout import Layout

MOMENTS = (
    ("AcquisitionDateTime", None),
    ("AcquisitionDate", "AcquisitionTime"),
    ("ContentDate", "ContentTime"),
    ("SeriesDate", "SeriesTime"),
)
MOMENT = re.compile(r"(\d{8})(\d{2})?(\d{2})?(\d{2})?")


def read_facts(instance: Instance, layout: Layout, plane: Plane) -> dict[str, Any]:
    """The facts of one instance. A value that has not the form of its kind is None, never passed on."""
    header = instance.header
    return {
        "format": "DICOM",
        "dicom_modality": code_text(header, "Modality"),
        "body_part": code_text(header, "BodyPartExamined"),
        "view": code_text(header, "ViewPosition"),
        "photometric": layout.photometric,
        "transfer_syntax": named_uid(str(instance.syntax)),
        "sop_class": named_uid(uid_text(header, "SOPClassUID") or "") or None,
        "sop_instance_uid": uid_text(header, "SOPInstanceUID"),
        "study_uid": uid_text(header, "StudyInstanceUID"),
        "series_uid": uid_text(header, "SeriesInstanceUID"),
        "study_at": moment(header, "StudyDate", "StudyTime"),
        "acquired_at": next((found for pair in MOMENTS if (found := moment(header, *pair))), None),
        "bits_allocated": layout.allocated,
        "bits_stored": layout.stored,
        "signed": layout.signed,
        "rows": layout.rows,
        "columns": layout.columns,
        "frames": layout.frames,
        "spacing_source": plane.spacing_source,
        "burned_in_annotation": code_text(header, "BurnedInAnnotation"),
        "lossy": code_text(header, "LossyImageCompression") == "01",
    }


def read_flags(instance: Instance, layout: Layout) -> tuple[str, ...]:
    """What a careful reader should know of one instance before its pixels are seen."""
    header = instance.header
    asked = (
        ("burned_in_annotation", code_text(header, "BurnedInAnnotation") == "YES"),
        ("for_processing", code_text(header, "PresentationIntentType") == "FOR PROCESSING"),
        (
            "bad_uid",
            any(header.get(key) and not uid_text(header, key) for key in ("SOPInstanceUID", "SeriesInstanceUID")),
        ),
    )
    return instance.flags + layout.flags + tuple(code for code, holds in asked if holds)


def moment(header: Dataset, date_keyword: str, time_keyword: str | None) -> str | None:
    """A date, with its time where given, as ISO 8601 without a zone; None where there is none or it is no date."""
    date, time = str(header.get(date_keyword) or ""), str((time_keyword and header.get(time_keyword)) or "")
    match = MOMENT.match(date.replace(".", "") + time if time_keyword else date)
    if match is None:
        return None
    day, *clock = match.groups()
    try:
        return datetime.strptime(day + "".join(part or "00" for part in clock), "%Y%m%d%H%M%S").isoformat()  # noqa: DTZ007
    except ValueError:
        return None
