"""A scan for a viewer: NIfTI-1, which every viewer reads, with 16 bits a pixel and the window to begin with. It is made
from pixels alone: no header of the file it came from goes along."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import UInt16
from nibabel.nifti1 import Nifti1Header

from clinimm.io.nifti import LPS_FROM_RAS
from clinimm.io.scan_types import Orientation, Scan
from clinimm.io.window import robust_range

TOP = 65535


def as_nifti(scan: Scan) -> bytes:
    """The pixels of a scan that was read with the window "full": columns, rows and slices, brighter where greater.

    scl_slope and scl_inter give modality units, such as HU (the slope is negative where a film is stored inverted);
    cal_min to cal_max is the window that the file asks for, else a robust range; descrip is DICOM's modality."""
    window = scan.facts["window"]
    low, high = window["center"] - window["width"] / 2, window["center"] + window["width"] / 2
    dark, bright = (high, low) if scan.facts["inverted"] else (low, high)
    header = Nifti1Header()
    pixels = _pixels(scan)
    header.set_data_dtype(np.uint16)
    header.set_data_shape(pixels.shape[::-1])
    spacing = scan.spacing_mm or ()
    if len(spacing) == scan.pixels.ndim:
        down, across, *through = spacing
        header.set_zooms((across, down, *(through or (1.0,))))
        header.set_xyzt_units("mm")
    if (affine := _affine(scan.orientation)) is not None:
        header.set_sform(affine, "scanner")
    header["scl_slope"], header["scl_inter"] = (bright - dark) / TOP, dark
    header["cal_min"], header["cal_max"] = _shown(scan, dark, bright)
    header["descrip"] = str(scan.facts.get("dicom_modality") or "").encode("ascii", "replace")[:79]
    header["vox_offset"], header["magic"] = 352, b"n+1"
    return b"".join((header.binaryblock, bytes(4), pixels.data))


def _pixels(scan: Scan) -> UInt16[np.ndarray, "d h w"]:
    """Slice by slice, so that a volume is not in memory thrice."""
    planes = scan.pixels[None] if scan.pixels.ndim == 2 else np.moveaxis(scan.pixels, -1, 0)
    stored = np.empty(planes.shape, "<u2")
    for plane, into in zip(planes, stored, strict=True):
        into[...] = np.rint(plane * TOP)
    return stored


def _affine(orientation: Orientation | None) -> np.ndarray | None:
    """NIfTI's: from (column, row, slice) to millimeters to the right, the front and the head."""
    if orientation is None or orientation.affine is None:
        return None
    return LPS_FROM_RAS @ np.asarray(orientation.affine)[:, [1, 0, 2, 3]]


def _shown(scan: Scan, dark: float, bright: float) -> tuple[float, float]:
    """(lowest, highest) value of the window to begin with, in modality units."""
    asked: Mapping[str, Any] = scan.facts.get("asked_window") or {}
    if "entries" in asked:
        return asked["first"], asked["first"] + asked["entries"] - 1
    if "center" in asked:
        return asked["center"] - asked["width"] / 2, asked["center"] + asked["width"] / 2
    ends = [dark + share * (bright - dark) for share in robust_range(scan.pixels)]
    return min(ends), max(ends)
