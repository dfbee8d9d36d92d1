"""Pictures and volumes as DICOM files that differ as real devices' files do. The same input gives the same bytes."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from jaxtyping import Float
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    CTImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
    RLELossless,
)

from clinimm.data.synthetic.plan import Patient

IMPLEMENTATION = "2.25.310244770152718390627460551170"
"""Named by hand: pydicom would write its own version into every file."""


@dataclass(frozen=True)
class Device:
    """How one machine writes its films."""

    maker: str
    syntax: UID
    photometric: str
    bits: int


DEVICES = (
    Device("Alder", ExplicitVRLittleEndian, "MONOCHROME2", 12),
    Device("Alder", ImplicitVRLittleEndian, "MONOCHROME2", 12),
    Device("Birch", RLELossless, "MONOCHROME1", 12),
    Device("Cedar", JPEGLSLossless, "MONOCHROME2", 10),
    Device("Cedar", ExplicitVRLittleEndian, "MONOCHROME1", 14),
)


def uid(*parts: object) -> UID:
    """A UID that follows from `parts` alone (2.25 and 128 bits; DICOM PS3.5, B.2)."""
    digest = hashlib.sha256("/".join(str(part) for part in parts).encode()).digest()
    return UID(f"2.25.{int.from_bytes(digest[:16], 'big')}")


def write_film(
    path: Path, brightness: Float[np.ndarray, "h w"], device: Device, patient: Patient, name: str, at: datetime
) -> None:
    """A CR film of `brightness` (0 dark, 1 bright) as `device` writes it; `name` is what its UIDs follow from."""
    top = 2**device.bits - 1
    stored = np.rint(brightness * top * 0.94 + top * 0.03).astype(np.uint16)
    window = (0.5 * top, 0.94 * top)
    ds = _dataset(ComputedRadiographyImageStorage, "CR", patient, name, at)
    ds.update(_film_facts(device, brightness.shape[0]))
    ds.WindowCenter, ds.WindowWidth = (f"{value:.0f}" for value in window)
    _set_pixels(ds, top - stored if device.photometric == "MONOCHROME1" else stored, device.photometric, device.bits)
    _save(ds, path, device.syntax)


def write_series(
    folder: Path,
    hounsfield: Float[np.ndarray, "h w d"],
    spacing_mm: tuple[float, float, float],
    order: Sequence[int],
    patient: Patient,
    name: str,
    at: datetime,
) -> None:
    """A CT series, one file per slice from the feet up. `order` numbers the files: theirs is not the slices' order."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, number in enumerate(order):
        ds = _dataset(CTImageStorage, "CT", patient, f"{name}/{index}", at)
        ds.SeriesInstanceUID, ds.FrameOfReferenceUID = uid(name, "series"), uid(name, "frame")
        ds.StudyInstanceUID = uid(name, "study")
        ds.InstanceNumber = str(number + 1)
        ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        ds.ImagePositionPatient = [-160.0, -160.0, round(index * spacing_mm[2], 3)]
        ds.PixelSpacing, ds.SliceThickness = list(spacing_mm[:2]), spacing_mm[2]
        ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = "-1024", "1", "HU"
        ds.WindowCenter, ds.WindowWidth = "-300", "1400"
        _set_pixels(ds, np.rint(hounsfield[..., index] + 1024).clip(0, 4095).astype(np.uint16), "MONOCHROME2", 12)
        _save(ds, folder / f"{number + 1:03d}.dcm", ExplicitVRLittleEndian)


def _dataset(sop_class: UID, modality: str, patient: Patient, name: str, at: datetime) -> Dataset:
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.SOPClassUID, ds.SOPInstanceUID = sop_class, uid(name, "instance")
    ds.StudyInstanceUID, ds.SeriesInstanceUID = uid(name, "study"), uid(name, "series")
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = at.strftime("%Y%m%d")
    ds.StudyTime = ds.SeriesTime = ds.AcquisitionTime = ds.ContentTime = at.strftime("%H%M%S")
    ds.Modality, ds.BodyPartExamined = modality, "CHEST"
    ds.PatientID, ds.PatientName = patient.patient_id, f"SYNTHETIC^{patient.patient_id.upper()}"
    ds.PatientSex, ds.PatientAge = patient.sex, f"{patient.age:03d}Y"
    ds.InstitutionName, ds.InstanceNumber = patient.site, "1"
    return ds


def _film_facts(device: Device, rows: int) -> Dataset:
    ds = Dataset()
    ds.Manufacturer, ds.ViewPosition, ds.PatientOrientation = device.maker, "PA", ["L", "F"]
    ds.ImagerPixelSpacing = [round(400 / rows, 4)] * 2
    ds.PixelSpacing = ds.ImagerPixelSpacing
    return ds


def _set_pixels(ds: Dataset, stored: np.ndarray, photometric: str, bits: int) -> None:
    ds.Rows, ds.Columns = stored.shape
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PixelRepresentation = 1, photometric, 0
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, bits, bits - 1
    ds.PixelData = np.ascontiguousarray(stored, dtype="<u2").tobytes()


def _save(ds: Dataset, path: Path, syntax: UID) -> None:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    meta.ImplementationClassUID, meta.ImplementationVersionName = UID(IMPLEMENTATION), "CLINIMM"
    meta.TransferSyntaxUID = ExplicitVRLittleEndian if syntax.is_compressed else syntax
    ds.file_meta = meta
    if syntax.is_compressed:
        ds.compress(syntax, generate_instance_uid=False)
    ds.save_as(path, enforce_file_format=True)
