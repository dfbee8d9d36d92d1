"""Where something lies in a picture."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Ellipse:
    """An upright ellipse in pixels of the stored grid of `shape`: (row, column), or (row, column, slice) with slices
    counted from the feet up. A pixel's center has whole coordinates."""

    center: tuple[float, ...]
    radii: tuple[float, ...]
    shape: tuple[int, ...]

    def mask(self, shape: tuple[int, ...] | None = None, scale: float = 1.0) -> np.ndarray:
        """True within `scale` times the radii, on the stored grid or on one of `shape` over the same field of view."""
        shape = shape or self.shape
        axes = np.meshgrid(*(self._axis(i, n) for i, n in enumerate(shape)), indexing="ij", sparse=True)
        return sum(axis**2 for axis in axes) <= scale**2

    def _axis(self, i: int, n: int) -> np.ndarray:
        stored = (np.arange(n) + 0.5) * self.shape[i] / n - 0.5
        return (stored - self.center[i]) / self.radii[i]
