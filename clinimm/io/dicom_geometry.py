"""Where a frame lies in the patient: position, directions and pixel spacing."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import hypot

import numpy as np
from pydicom.dataset import Dataset

from clinimm.errors import DamagedInput
from clinimm.io.dicom_header import Instance, numbers
from clinimm.io.scan_types import Affine, Orientation, Vector

SPACING_SOURCES = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
ROUND_OFF, FARTHEST_MM = 1e-2, 1e4


@dataclass(frozen=True)
class Plane:
    """One frame in space. `spacing` is (between rows, between columns) in mm, from the attribute `spacing_source`."""

    position: Vector | None = None
    row: Vector | None = None
    column: Vector | None = None
    spacing: tuple[float, float] | None = None
    spacing_source: str | None = None
    flags: tuple[str, ...] = ()

    @cached_property
    def normal(self) -> Vector | None:
        """Row x column, by hand: numpy's cross costs more than reading the header."""
        if self.row is None or self.column is None:
            return None
        (a, b, c), (x, y, z) = self.row, self.column
        return b * z - c * y, c * x - a * z, a * y - b * x

    @cached_property
    def along_normal(self) -> float | None:
        """The projection of the position on the slice normal, in mm."""
        normal = self.normal
        if normal is None or self.position is None:
            return None
        return sum(p * n for p, n in zip(self.position, normal, strict=True))


def frame_groups(header: Dataset, frames: int) -> list[list[Dataset]]:
    """Where each frame keeps its attributes; the same list for every frame of a file without functional groups."""
    if "PerFrameFunctionalGroupsSequence" not in header:
        return [_groups(header, 0)] * frames
    return [_groups(header, index) for index in range(frames)]


def read_planes(instance: Instance, groups: Sequence[Sequence[Dataset]]) -> tuple[Plane, ...]:
    """The plane of every frame. Frames that share one position are placed by their offsets from it (RT dose), or not
    at all: only the first is then known to lie there."""
    if len(groups) == 1 or groups[0] is not groups[1]:
        return tuple(read_plane(instance, group) for group in groups)
    plane = read_plane(instance, groups[0])
    offsets = numbers(instance.header, "GridFrameOffsetVector", instance.where)
    if plane.position is None or plane.normal is None or len(offsets) != len(groups):
        return (replace(plane, position=None),) * len(groups)
    x, y, z = plane.position
    a, b, c = plane.normal
    # Offsets that start at 0 are relative to the position, others are absolute along the axis (PS3.3 C.8.8.3.2).
    steps = [offset - offsets[0] for offset in offsets]
    return tuple(replace(plane, position=(x + step * a, y + step * b, z + step * c)) for step in steps)


def _groups(header: Dataset, index: int) -> list[Dataset]:
    """Nearest first: the frame's own functional groups, those shared by all frames, and the data set itself."""
    groups: list[Dataset] = []
    per_frame = header.get("PerFrameFunctionalGroupsSequence") or []
    for macros in [*per_frame[index : index + 1], *(header.get("SharedFunctionalGroupsSequence") or [])[:1]]:
        groups += [macros[tag].value[0] for tag in macros.keys() if macros[tag].VR == "SQ" and macros[tag].value]  # noqa: SIM118
    return [*groups, header]


def read_plane(instance: Instance, groups: Sequence[Dataset]) -> Plane:
    """The plane of a frame; parts that the file does not give are None.

    A spacing that is no distance (0 is common) is not used and flagged. Raises DamagedInput `bad_geometry` for
    directions that are no two perpendicular unit vectors."""
    where = instance.where
    directions = _first(groups, "ImageOrientationPatient", 6, where)
    at = _first(groups, "ImagePositionPatient", 3, where)
    position = None if at is None else (at[0], at[1], at[2])
    row, column = _directions(directions, where) if directions is not None else (None, None)
    for source in SPACING_SOURCES:
        spacing = _first(groups, source, 2, where)
        if spacing is not None:
            if min(spacing) <= 0 or max(spacing) > FARTHEST_MM:
                return Plane(position, row, column, flags=("bad_spacing",))
            return Plane(position, row, column, (spacing[0], spacing[1]), source)
    return Plane(position, row, column)


def orientation(plane: Plane, spacing_mm: tuple[float, ...] | None, offset: tuple[float, float]) -> Orientation | None:
    """The orientation of pixels that start at `plane`, `offset` (row, column) stored pixels inside its first one."""
    if plane.row is None or plane.column is None or plane.normal is None:
        return None
    return Orientation(plane.row, plane.column, plane.normal, _affine(plane, spacing_mm, offset))


def _affine(plane: Plane, spacing_mm: tuple[float, ...] | None, offset: tuple[float, float]) -> Affine | None:
    if plane.position is None or plane.spacing is None or spacing_mm is None:
        return None
    down, right, up = (np.asarray(v) for v in (plane.column, plane.row, plane.normal))
    first = np.asarray(plane.position) + down * offset[0] * plane.spacing[0] + right * offset[1] * plane.spacing[1]
    through = spacing_mm[2] if len(spacing_mm) == 3 else 1.0
    columns = [down * spacing_mm[0], right * spacing_mm[1], up * through, first]
    rows = np.vstack([np.stack(columns, axis=1), [0, 0, 0, 1]])
    return tuple(tuple(float(v) for v in row) for row in rows)


def _directions(values: tuple[float, ...], where: str) -> tuple[Vector, Vector]:
    (a, b, c), (x, y, z) = values[:3], values[3:]
    lengths = hypot(a, b, c), hypot(x, y, z)
    if max(abs(length - 1) for length in lengths) > ROUND_OFF or abs(a * x + b * y + c * z) > ROUND_OFF:
        raise DamagedInput("bad_geometry", "its directions are not perpendicular unit vectors", where=where)
    return (a / lengths[0], b / lengths[0], c / lengths[0]), (x / lengths[1], y / lengths[1], z / lengths[1])


def _first(groups: Sequence[Dataset], keyword: str, count: int, where: str) -> tuple[float, ...] | None:
    for group in groups:
        values = numbers(group, keyword, where)
        if len(values) == count:
            return values
    return None
