"""Where a map on the model's grid lies on the film: the way back from what the model saw to what its file stores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from clinimm.data.picture import Placement


@dataclass(frozen=True)
class Geometry:
    """Axis by axis: of a picture of `stored` pixels, those from edge `start` to edge `end` were averaged into the
    `cells` of the model's grid from `first` on; the grid's other cells are padding and show nothing.

    Stored pixels are counted as a reader sees the picture, upright. `axes` says along which axis of the file, from 1,
    each of these runs, negative where it runs against it: (1, 2) of a film that was stored upright."""

    stored: tuple[int, ...]
    start: tuple[int, ...]
    end: tuple[int, ...]
    first: tuple[int, ...]
    cells: tuple[int, ...]
    axes: tuple[int, ...]

    def of_picture(self, grid: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
        """What of a map on the model's grid lies on the picture."""
        return grid[tuple(slice(first, first + n) for first, n in zip(self.first, self.cells, strict=True))]

    def to_stored(self, cell: Sequence[float]) -> tuple[float, ...]:
        """The point of the upright picture, in stored pixels, under a point of the grid. A whole number is the center
        of a pixel on both."""
        return tuple(
            start + (at + 0.5 - first) * (end - start) / n - 0.5
            for at, start, end, first, n in zip(cell, self.start, self.end, self.first, self.cells, strict=True)
        )

    def in_file(self, point: Sequence[float]) -> tuple[float, ...]:
        """The same point of the upright picture, along the axes of the file."""
        found = [0.0] * len(point)
        for at, n, axis in zip(point, self.stored, self.axes, strict=True):
            found[abs(axis) - 1] = at if axis > 0 else n - 1 - at
        return tuple(found)


def geometry_of(placement: Placement, facts: Mapping[str, Any]) -> Geometry:
    """The geometry of a picture that a reader told `facts` of: its stored size, by how much it was shrunk while it was
    read (slices never are), and how it was turned."""
    shrunk = (facts["shrunk_by"], facts["shrunk_by"], 1)[: len(placement.size)]
    stored = tuple(facts[name] for name in ("rows", "columns", "slices")[: len(placement.size)])
    covered = zip(placement.start, placement.covered, shrunk, strict=True)
    return Geometry(
        stored=stored,
        start=tuple(start * by for start, by in zip(placement.start, shrunk, strict=True)),
        end=tuple((start + n) * by for start, n, by in covered),
        first=placement.offset,
        cells=placement.resized,
        axes=tuple(facts.get("axes", (1, 2, 3)))[: len(stored)],
    )
