"""What a read picture is, what may be asked of the reader, and how much it may cost."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from jaxtyping import Float32

Vector = tuple[float, float, float]
Affine = tuple[tuple[float, ...], ...]
WindowChoice = Literal["voi", "full"] | tuple[float, float]

SpatialPixels = Float32[np.ndarray, "h w"] | Float32[np.ndarray, "h w d"]


@dataclass(frozen=True)
class Orientation:
    """Where a picture lies in the patient, in DICOM's LPS millimetres (x to the left, y to the back, z to the head).

    `row` points along increasing columns and `column` along increasing rows, as in Image Orientation (Patient);
    `normal` is their cross product. `affine` is 4 x 4 and takes (row, column, slice, 1) of `Scan.pixels` to
    (x, y, z, 1); it is None where the position of the first pixel or a spacing is unknown."""

    row: Vector
    column: Vector
    normal: Vector
    affine: Affine | None = None


@dataclass(frozen=True)
class Scan:
    """One film, picture or volume, ready for preparation.

    `pixels` are float32 in [0, 1] after windowing, (h, w), or (h, w, d) with slices along the normal; bright is dense.
    A volume may be a transposed view. `spacing_mm` is (row, column[, slice]) between pixel centers. `facts` are plain
    JSON types about the file, never the patient; `flags` are codes of what a careful reader should know."""

    pixels: SpatialPixels
    spacing_mm: tuple[float, ...] | None = None
    orientation: Orientation | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    flags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Limits:
    """The most that one input may cost; more is a ResourceLimit before anything is decoded."""

    frame_pixels: int = 1 << 26
    voxels: int = 1 << 28
    frames: int = 1 << 14
    files: int = 1 << 12
    file_bytes: int = 1 << 29
    total_bytes: int = 1 << 30
    inflated_bytes: int = 1 << 28
    depth: int = 64
    elements: int = 100_000
