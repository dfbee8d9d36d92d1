"""The frames of one series in order along their normal: gaps, duplicates and spacing found."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clinimm.errors import DamagedInput, UnsupportedInput
from clinimm.io.dicom_geometry import Plane

PARALLEL = 1e-3
SAME_PLACE_MM = 1e-2
IRREGULAR = 0.05
GAP = 1.5


@dataclass(frozen=True)
class Slice:
    """One frame awaiting its place. `form` is rows, columns and photometric; `number` is Instance Number and `uid`
    SOP Instance UID, which break ties alone."""

    index: int
    plane: Plane
    form: tuple[int, int, str]
    number: int
    uid: str


@dataclass(frozen=True)
class Stack:
    """Which slices make the volume, in order, and how far apart they are (None where the file does not tell); how many
    are `missing` between them, and how many lay where another did."""

    order: tuple[int, ...]
    spacing_mm: float | None
    flags: tuple[str, ...]
    missing: int = 0
    duplicates: int = 0


def stack_slices(slices: Sequence[Slice], where: str, *, drop_duplicates: bool) -> Stack:
    """The order of the slices by the projection of their positions on the normal, whatever order they came in.

    Of slices in one place the first by Instance Number is kept, unless `drop_duplicates` is False; then the stored
    order stands. Raises UnsupportedInput `mixed_geometry` for slices of different forms or directions."""
    if len({piece.form for piece in slices}) > 1:
        raise UnsupportedInput("mixed_geometry", "its slices differ in size or photometric", where=where)
    if any(piece.plane.along_normal is None for piece in slices):
        return _unplaced(slices)
    _check_parallel(slices, where)
    ordered = sorted(slices, key=lambda piece: (_place(piece), piece.number, piece.uid))
    kept = _one_a_place(ordered)
    repeats = len(ordered) - len(kept)
    if repeats and not drop_duplicates:
        return Stack(tuple(piece.index for piece in slices), None, ("repeated_positions",))
    spacing, missing, uneven = _spacing([_place(piece) for piece in kept])
    flags = _counted("duplicate_slice", repeats) + _counted("gap_in_series", missing)
    flags += ("irregular_spacing",) * uneven
    return Stack(tuple(piece.index for piece in kept), spacing, flags, missing, repeats)


def _unplaced(slices: Sequence[Slice]) -> Stack:
    ordered = sorted(slices, key=lambda piece: (piece.number, piece.uid, piece.index))
    return Stack(tuple(piece.index for piece in ordered), None, ("no_positions",))


def _place(piece: Slice) -> float:
    place = piece.plane.along_normal
    if place is None:
        raise DamagedInput("bad_geometry", "a slice has no position")
    return round(place, 4)


def _check_parallel(slices: Sequence[Slice], where: str) -> None:
    normals = np.array([piece.plane.normal for piece in slices])
    rows = np.array([piece.plane.row for piece in slices])
    if (normals @ normals[0]).min() < 1 - PARALLEL or (rows @ rows[0]).min() < 1 - PARALLEL:
        raise UnsupportedInput("mixed_geometry", "its slices are not parallel", where=where)


def _one_a_place(ordered: Sequence[Slice]) -> list[Slice]:
    kept: list[Slice] = []
    for piece in ordered:
        if not kept or _place(piece) - _place(kept[-1]) > SAME_PLACE_MM:
            kept.append(piece)
    return kept


def _spacing(places: Sequence[float]) -> tuple[float | None, int, bool]:
    """The median step in mm, the slices missing and whether what is there is uneven: a step of 1.5 medians or more is a
    gap of whole slices."""
    if len(places) < 2:
        return None, 0, False
    steps = np.diff(places)
    median = float(np.median(steps))
    gaps = steps >= GAP * median
    missing = int(np.sum(np.rint(steps[gaps] / median) - 1)) if gaps.any() else 0
    return median, missing, bool((np.abs(steps[~gaps] - median) > IRREGULAR * median).any())


def _counted(code: str, count: int) -> tuple[str, ...]:
    return (f"{code}:{count}",) if count else ()
