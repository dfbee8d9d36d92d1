"""NIfTI volumes, turned to the axes of a DICOM series: rows to the back, columns to the left, slices to the head."""

from struct import error as StructError
from typing import Any

import nibabel
import numpy as np
from jaxtyping import Float
from nibabel.filebasedimages import ImageFileError
from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff, io_orientation, ornt_transform
from nibabel.spatialimages import HeaderDataError

from clinimm.errors import DamagedInput, InputError, ResourceLimit, UnsupportedInput
from clinimm.io.inflate import GZIP, inflate
from clinimm.io.scan_types import Affine, Limits, Orientation, Scan, Vector, WindowChoice
from clinimm.io.shrink import block_mean, shrink_factor
from clinimm.io.window import Window, choose_window, spanning

LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
FORMS = {b"n+1\0": nibabel.Nifti1Image, b"n+2\0": nibabel.Nifti2Image}


def read_nifti(data: bytes, where: str, window: WindowChoice, limits: Limits, at_least: int | None = None) -> Scan:
    """The volume in a .nii or .nii.gz file, (h, w, d), or (h, w) where it has one slice.

    For "voi" the display range of the header (cal_min, cal_max) is used where there is one. Raises DamagedInput,
    ResourceLimit, or UnsupportedInput for pairs of files, complex values and time series."""
    if data[:2] == b"\x1f\x8b":
        data = inflate(data, GZIP, limits.inflated_bytes, where)
    form = FORMS.get(data[344:348]) or FORMS.get(data[4:8])
    if form is None:
        raise UnsupportedInput("unknown_format", "is not a single NIfTI file", where=where, mend="join .hdr and .img")
    try:
        image = form.from_bytes(data)
        _check(image, limits, len(data), where)
        return _scan(image, window, at_least)
    except InputError:
        raise
    except (ImageFileError, HeaderDataError, StructError, ValueError, OSError, EOFError, TypeError, OverflowError) as e:
        raise DamagedInput("unreadable_header", f"is no sound NIfTI ({type(e).__name__})", where=where) from None


def _check(image: Any, limits: Limits, size: int, where: str) -> None:
    """Before any voxel is touched: what the header declares must be allowed, sane and there."""
    header, shape = image.header, image.shape
    if header.get_data_dtype().kind not in "iuf":
        raise UnsupportedInput("unsupported_bits", "its values are complex or colors", where=where)
    if len(shape) < 2 or any(n < 1 for n in shape):
        raise DamagedInput("bad_size", "its size is not a volume's", where=where)
    if any(n > 1 for n in shape[3:]):
        raise UnsupportedInput("time_series", "holds more than one volume", where=where, mend="give one volume")
    voxels = int(np.prod([int(n) for n in shape], dtype=object))
    if voxels > limits.voxels:
        raise ResourceLimit("too_many_pixels", f"declares {voxels} voxels, the limit is {limits.voxels}", where=where)
    if int(header["vox_offset"]) + voxels * header.get_data_dtype().itemsize > size:
        raise DamagedInput("truncated_pixels", f"ends before its {voxels} voxels do", where=where)
    if not np.isfinite(image.affine).all() or abs(np.linalg.det(image.affine)) < 1e-12:
        raise DamagedInput("bad_geometry", "its affine is not finite or flat", where=where)
    _check_scale(float(header["scl_slope"]), float(header["scl_inter"]), where)


def _check_scale(slope: float, intercept: float, where: str) -> None:
    """NaN and a slope of 0 mean "no scaling" in NIfTI-1; infinity means a damaged file."""
    if np.isinf(slope) or np.isinf(intercept):
        raise DamagedInput("nonfinite_rescale", "its slope or intercept is not finite", where=where)


def _scan(image: Any, window: WindowChoice, at_least: int | None) -> Scan:
    turned, affine, axes = _turned(image)
    factor = shrink_factor(turned.shape[0], turned.shape[1], at_least)
    volume = np.stack([block_mean(turned[:, :, k], factor) for k in range(turned.shape[2])])
    finite = np.isfinite(volume)
    flags = () if finite.all() else ("nonfinite_pixels",)
    volume[~finite] = volume[finite].min() if finite.any() else 0
    chosen = choose_window(volume, window, _display_range(image.header))
    chosen.apply(volume)
    zooms = np.linalg.norm(affine[:3, :3], axis=0)
    placed = int(image.header["sform_code"]) > 0 or int(image.header["qform_code"]) > 0
    facts = {
        "format": "NIfTI",
        "rows": turned.shape[0],
        "columns": turned.shape[1],
        "slices": turned.shape[2],
        "bits_stored": 8 * image.header.get_data_dtype().itemsize,
        "window": chosen.facts(),
        "inverted": False,
        "shrunk_by": factor,
        "axes": axes,
    }
    flat = len(volume) == 1
    spacing = (float(zooms[0]) * factor, float(zooms[1]) * factor, float(zooms[2]))
    return Scan(
        pixels=volume[0] if flat else np.moveaxis(volume, 0, -1),
        spacing_mm=spacing[:2] if flat else spacing,
        orientation=_orientation(affine, factor) if placed else None,
        facts=facts,
        flags=flags if placed else (*flags, "orientation_unknown"),
    )


def _turned(image: Any) -> tuple[Float[np.ndarray, "h w d"], Float[np.ndarray, "4 4"], list[int]]:
    """Voxels with axes nearest to back, left and head, the affine that takes them to LPS, and along which axis of the
    file, from 1, each of them runs, negative where it runs against it."""
    shape = (*image.shape[:3], 1, 1)[:3]
    values = np.asarray(image.dataobj, np.float32).reshape(shape)
    turn = ornt_transform(io_orientation(image.affine), axcodes2ornt("PLS"))
    axes = [0, 0, 0]
    for i, (axis, flip) in enumerate(turn):
        axes[int(axis)] = (i + 1) * int(flip)
    return apply_orientation(values, turn), LPS_FROM_RAS @ image.affine @ inv_ornt_aff(turn, shape), axes


def _display_range(header: Any) -> Window | None:
    low, high = float(header["cal_min"]), float(header["cal_max"])
    return spanning(low, high, "voi") if np.isfinite([low, high]).all() and high > low else None


def _orientation(affine: Float[np.ndarray, "4 4"], factor: int) -> Orientation:
    start = (factor - 1) / 2
    shrunk = affine @ np.array([[factor, 0, 0, start], [0, factor, 0, start], [0, 0, 1, 0], [0, 0, 0, 1]])
    rows: Affine = tuple(tuple(float(v) for v in row) for row in shrunk)
    down, right, up = (_unit(affine[:3, axis]) for axis in range(3))
    return Orientation(row=right, column=down, normal=up, affine=rows)


def _unit(axis: Float[np.ndarray, "3"]) -> Vector:
    x, y, z = axis / np.linalg.norm(axis)
    return float(x), float(y), float(z)
