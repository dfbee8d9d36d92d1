"""What a sandboxed child says of a scan, as the scan again."""

from typing import Any

import numpy as np

from clinimm.io.scan_types import Orientation, Scan


def scan_of(answer: dict[str, Any], pixels: bytearray) -> Scan:
    """The scan that an answer and its pixels describe; the pixels are not copied."""
    shape = tuple(answer["shape"])
    stored = np.frombuffer(pixels, np.float32).reshape(shape)
    orientation = answer["orientation"]
    return Scan(
        pixels=stored if len(shape) == 2 else np.moveaxis(stored, 0, -1),
        spacing_mm=None if answer["spacing_mm"] is None else tuple(answer["spacing_mm"]),
        orientation=None if orientation is None else Orientation(**_tuples(orientation)),
        facts=answer["facts"],
        flags=tuple(answer["flags"]),
    )


def _tuples(orientation: dict[str, Any]) -> dict[str, Any]:
    """JSON knows lists alone; the affine is a tuple of tuples again."""
    affine = orientation.pop("affine")
    vectors = {name: tuple(vector) for name, vector in orientation.items()}
    return {**vectors, "affine": None if affine is None else tuple(tuple(row) for row in affine)}
