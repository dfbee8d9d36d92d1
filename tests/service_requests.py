"""Cases to post: small real DICOM films, and multipart bodies."""

import io
import json
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian, generate_uid

Image = tuple[str, bytes]


def cohort_film(cohort: Path, number: int = 0, patient: str = "p-1") -> bytes:
    """A film of a synthetic cohort, which a guard fitted on it knows, under a patient's name that must not leak."""
    paths = sorted(path for path in cohort.rglob("*.dcm"))
    ds = dcmread(paths[number])
    ds.PatientName, ds.PatientID = "Canary^Film", patient
    whole = io.BytesIO()
    ds.save_as(whole)
    return whole.getvalue()


def film(seed: int = 0, size: int = 48, preamble: bytes = bytes(128), patient: str = "p-1") -> bytes:
    """A sound CR film of noise over a ramp; the same seed gives the same bytes."""
    rng = np.random.default_rng(seed)
    pixels = (np.linspace(200, 3000, size)[None] + rng.integers(0, 900, (size, size))).astype(np.uint16)
    ds = Dataset()
    ds.SOPClassUID, ds.Modality = ComputedRadiographyImageStorage, "CR"
    ds.SOPInstanceUID, ds.StudyInstanceUID, ds.SeriesInstanceUID = (
        generate_uid(entropy_srcs=[f"{part}{seed}"]) for part in ("sop", "study", "series")
    )
    ds.PatientName, ds.PatientID = "Canary^Film", patient
    ds.Rows, ds.Columns, ds.SamplesPerPixel, ds.PhotometricInterpretation = size, size, 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.PixelData = pixels.tobytes()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    buffer = io.BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    return preamble + buffer.getvalue()[128:]


def damaged_film(seed: int = 0) -> bytes:
    """Starts as DICOM and stops amid its pixels."""
    whole = film(seed)
    return whole[: len(whole) // 2]


def case(reference: str = "order-1", **changes: Any) -> dict[str, Any]:
    """A case part of a note and two labs; None takes a field out."""
    given: dict[str, Any] = {
        "reference": reference,
        "patient": {"id": "p-1"},
        "index_time": "2026-01-17T10:00:00+00:00",
        "note": {"text": "Fever and cough. No edema.", "acquired_at": "2026-01-17T09:00:00+00:00"},
        "labs": [
            {"name": "crp", "value": 84.5, "unit": "mg/L", "collected_at": "2026-01-17T08:00:00+00:00"},
            {"name": "wbc", "value": 14.25, "unit": "10*9/L", "collected_at": "2026-01-17T08:00:00+00:00"},
        ],
    }
    return {name: value for name, value in (given | changes).items() if value is not None}


def post(
    client: httpx.Client,
    content: dict[str, Any] | bytes,
    images: Sequence[Image] = (),
    *,
    key: str | None = "",
    headers: dict[str, str] | None = None,
) -> httpx.Response:
    """Posts a case under a fresh Idempotency-Key, a given one, or (None) none."""
    return client.send(request_of(client, content, images, key=key, headers=headers))


def request_of(
    client: httpx.Client,
    content: dict[str, Any] | bytes,
    images: Sequence[Image] = (),
    *,
    key: str | None = "",
    headers: dict[str, str] | None = None,
) -> httpx.Request:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    files: list[tuple[str, Any]] = [("case", (None, body, "application/json"))]
    files += [(name, ("canary-name.dcm", data, "application/dicom")) for name, data in images]
    known = {} if key is None else {"Idempotency-Key": key or uuid.uuid4().hex}
    return client.build_request("POST", "/v1/cases", files=files, headers=known | (headers or {}))
