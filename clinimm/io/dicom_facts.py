"""What a scan says about its file: plain JSON types, and nothing of the patient."""

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from pydicom.dataset import Dataset

from clinimm.io.dicom_geometry import Plane
from clinimm.io.dicom_header import Instance, bad_uids, code_text, named_uid, uid_text
from clinimm.io.dicom_layout import Layout

MOMENTS = (
    ("AcquisitionDateTime", None),
    ("AcquisitionDate", "AcquisitionTime"),
    ("ContentDate", "ContentTime"),
    ("SeriesDate", "SeriesTime"),
    ("StudyDate", "StudyTime"),
)
MOMENT = re.compile(r"(\d{8})(\d{2})?(\d{2})?(\d{2})?")
ZONE = re.compile(r"[+-](?:0\d|1[0-4])[0-5]\d")

# The views of CID 4010 that a chest film has, as SNOMED CT and as the older SNOMED RT write them.
VIEW_CODES = {
    "272479007": "PA",
    "R-10214": "PA",
    "R-40888": "PA",
    "399348003": "AP",
    "R-10206": "AP",
    "399173006": "LL",
    "R-10236": "LL",
    "399198007": "RL",
    "R-10232": "RL",
    "399067008": "LATERAL",
}


def read_facts(instance: Instance, layout: Layout, plane: Plane) -> dict[str, Any]:
    """The facts of one instance. A value that has not the form of its kind is None, never passed on."""
    header = instance.header
    return {
        "format": "DICOM",
        "dicom_modality": code_text(header, "Modality"),
        "body_part": code_text(header, "BodyPartExamined"),
        "view": code_text(header, "ViewPosition") or _coded_view(header),
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
        ("bad_uid", bool(bad_uids(header))),
    )
    return instance.flags + layout.flags + tuple(code for code, holds in asked if holds)


def moment(header: Dataset, date_keyword: str, time_keyword: str | None) -> str | None:
    """A date, with its time where given, as ISO 8601; None where there is none or it is no date. It has an offset from
    UTC only where the file gives one: at the end of the value, or in Timezone Offset From UTC."""
    date, time = str(header.get(date_keyword) or ""), str((time_keyword and header.get(time_keyword)) or "")
    match = MOMENT.match(date.replace(".", "") + time if time_keyword else date)
    if match is None:
        return None
    day, *clock = match.groups()
    zone = ZONE.search(date[8:]) or ZONE.fullmatch(str(header.get("TimezoneOffsetFromUTC") or "").strip())
    try:
        local = datetime.strptime(day + "".join(part or "00" for part in clock), "%Y%m%d%H%M%S").isoformat()  # noqa: DTZ007
    except ValueError:
        return None
    return local if zone is None else f"{local}{zone.group()[:3]}:{zone.group()[3:]}"


def latest(moments: Iterable[str | None]) -> str | None:
    """The last of the moments that are known. Of some with an offset and some without, which cannot be compared, the
    first."""
    known = [datetime.fromisoformat(one) for one in moments if one is not None]
    if not known:
        return None
    comparable = len({one.tzinfo is None for one in known}) == 1
    return (max(known) if comparable else known[0]).isoformat()


def _coded_view(header: Dataset) -> str | None:
    """The view that a DX file gives as a code."""
    items = [item for item in header.get("ViewCodeSequence") or [] if isinstance(item, Dataset)]
    return next((view for item in items if (view := VIEW_CODES.get(str(item.get("CodeValue"))))), None)
