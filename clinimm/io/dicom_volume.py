"""The frames of checked files, decoded one at a time into one array of modality units."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from jaxtyping import Float32

from clinimm.errors import ResourceLimit
from clinimm.io.dicom_geometry import Plane
from clinimm.io.dicom_header import Instance, damage_is_named
from clinimm.io.dicom_layout import Layout
from clinimm.io.dicom_pixels import stored_frames
from clinimm.io.dicom_tone import Tone
from clinimm.io.scan_types import Limits
from clinimm.io.series import Stack
from clinimm.io.shrink import shrink_factor


@dataclass(frozen=True)
class Piece:
    """One opened file with all that is known of it before decoding, a plane and a tone for each frame. `series` is
    Series Instance UID as it stands, `number` Instance Number."""

    instance: Instance
    layout: Layout
    planes: tuple[Plane, ...]
    tones: tuple[Tone, ...]
    facts: Mapping[str, Any]
    flags: tuple[str, ...]
    series: str
    number: int


@dataclass(frozen=True, eq=False)
class Volume:
    """Modality units, slice first. Each side is `factor` times smaller than stored, and the first pixel's center lies
    `first_center` (row, column) stored pixels from that of the first stored one."""

    values: Float32[np.ndarray, "d h w"]
    factor: int
    first_center: tuple[float, float]
    flags: tuple[str, ...]


def frame_of(pieces: Sequence[Piece], index: int) -> tuple[Piece, Plane, Tone]:
    """The piece, plane and tone of slice `index`: a frame of the one file, or the one frame of a file."""
    if len(pieces) == 1:
        return pieces[0], pieces[0].planes[index], pieces[0].tones[index]
    return pieces[index], pieces[index].planes[0], pieces[index].tones[0]


def decode_volume(pieces: Sequence[Piece], stack: Stack, at_least: int | None, limits: Limits) -> Volume:
    """The slices in the order of `stack`. Raises ResourceLimit before decoding, DamagedInput for a broken frame."""
    layout = pieces[0].layout
    factor = shrink_factor(layout.rows, layout.columns, at_least)
    values = _allocate(pieces, stack, factor, limits)
    slots = {index: slot for slot, index in enumerate(stack.order)}
    base = 0
    for piece in pieces:
        _fill(values, piece, {index - base: slot for index, slot in slots.items()}, factor)
        base += piece.layout.frames
    return Volume(values, factor, ((factor - 1) / 2, (factor - 1) / 2), _make_finite(values))


def _allocate(pieces: Sequence[Piece], stack: Stack, factor: int, limits: Limits) -> Float32[np.ndarray, "d h w"]:
    layout, where = pieces[0].layout, pieces[0].instance.where
    shape = len(stack.order), layout.rows // factor, layout.columns // factor
    if prod(shape) > limits.voxels:
        raise ResourceLimit("too_many_pixels", f"makes {prod(shape)} voxels, limit {limits.voxels}", where=where)
    return np.empty(shape, np.float32)


def _fill(values: Float32[np.ndarray, "d h w"], piece: Piece, slots: dict[int, int], factor: int) -> None:
    """Decode the frames of one file into their slots. Only values that need no table may be averaged while decoding."""
    layout = piece.layout
    linear = all(tone.table is None and tone.palette is None and tone.padding is None for tone in piece.tones)
    halvings = factor.bit_length() - 1 if linear else 0
    with damage_is_named("undecodable_pixels", "its pixels cannot be decoded", piece.instance.where):
        for number, stored in enumerate(stored_frames(piece.instance, layout, halvings)):
            if number in slots:
                rest = factor if stored.shape == (layout.rows, layout.columns) else 1
                values[slots[number]] = piece.tones[number].modality_values(stored, rest)


def _make_finite(values: Float32[np.ndarray, "d h w"]) -> tuple[str, ...]:
    """Floating pixels may hold NaN and infinity for "no value"; they become the smallest finite value, and a flag."""
    if all(np.isfinite(plane).all() for plane in values):
        return ()
    finite = np.isfinite(values)
    values[~finite] = values[finite].min() if finite.any() else 0
    return ("nonfinite_pixels",)
