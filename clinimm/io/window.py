"""From modality units to [0, 1]: the windows of PS3.3 C.11.2.1.2, and a robust range where a file asks for none."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32

from clinimm.io.scan_types import WindowChoice

ROBUST = (0.001, 0.999)
SAMPLES = 1 << 16
SMALLEST = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True)
class Window:
    """`function` is LINEAR, LINEAR_EXACT or SIGMOID; `source` says who asked for it."""

    center: float
    width: float
    function: str = "LINEAR"
    source: str = "voi"

    def apply(self, values: Float32[np.ndarray, "..."]) -> None:
        """Replace `values` by the window's output in [0, 1], in place."""
        FUNCTIONS[self.function](values, self.center, self.width)

    def facts(self) -> dict[str, Any]:
        return {"center": self.center, "width": self.width, "function": self.function, "source": self.source}


@dataclass(frozen=True, eq=False)
class Lookup:
    """A VOI lookup table: value `first` and all below become `table[0]`, which is in [0, 1] already."""

    first: int
    table: Float32[np.ndarray, " entries"]
    source: str = "voi_lut"

    def apply(self, values: Float32[np.ndarray, "..."]) -> None:
        values -= np.float32(self.first)
        np.clip(values, 0, self.table.size - 1, out=values)
        np.rint(values, out=values)
        np.take(self.table, values.astype(np.int32), out=values, mode="clip")

    def facts(self) -> dict[str, Any]:
        return {"first": self.first, "entries": int(self.table.size), "function": "LUT", "source": self.source}


def choose_window(
    values: Float32[np.ndarray, "..."], choice: WindowChoice, asked: Window | Lookup | None
) -> Window | Lookup:
    """The window that `choice` means for `values`; `asked` is the file's own, used for "voi"."""
    if not isinstance(choice, str):
        return Window(choice[0], choice[1], source="given")
    if choice == "voi" and asked is not None:
        return asked
    low, high = extremes(values) if choice == "full" else robust_range(values)
    return spanning(low, high, "full" if choice == "full" else "robust")


def spanning(low: float, high: float, source: str) -> Window:
    """The window that maps `low` to 0 and `high` to 1."""
    return Window((low + high) / 2, max(high - low, SMALLEST), "LINEAR_EXACT", source)


def extremes(values: Float32[np.ndarray, "..."]) -> tuple[float, float]:
    return float(values.min()), float(values.max())


def robust_range(values: Float32[np.ndarray, "..."]) -> tuple[float, float]:
    """The 0.1 % and 99.9 % quantiles of an evenly spread sample, or the extremes where the two are one."""
    flat = values.reshape(-1) if values.flags.c_contiguous else np.ravel(values, order="K")
    # An odd step, so that the sample does not march down the same columns of a picture whose width is a power of two.
    sample = flat[:: max(1, flat.size // SAMPLES) | 1]
    low, high = (float(edge) for edge in np.quantile(sample, ROBUST))
    return (low, high) if high > low else extremes(values)


def _linear(values: Float32[np.ndarray, "..."], center: float, width: float) -> None:
    """PS3.3 C.11.2.1.2.1: ((x - (c - 0.5)) / (w - 1) + 0.5), clipped. Width 1 is a threshold."""
    if width <= 1:
        # The standard asks for a width of 1 or more here; files with values in [0, 1] mean LINEAR_EXACT.
        _linear_exact(values, center, width)
        return
    _ramp(values, center - 0.5 - (width - 1) / 2, width - 1)


def _linear_exact(values: Float32[np.ndarray, "..."], center: float, width: float) -> None:
    """PS3.3 C.11.2.1.3.2: (x - c) / w + 0.5, clipped."""
    _ramp(values, center - width / 2, width)


def _sigmoid(values: Float32[np.ndarray, "..."], center: float, width: float) -> None:
    """PS3.3 C.11.2.1.3.1: 1 / (1 + exp(-4 (x - c) / w))."""
    values -= np.float32(center)
    values *= np.float32(-4 / width)
    np.clip(values, -80, 80, out=values)
    np.exp(values, out=values)
    values += 1
    np.reciprocal(values, out=values)


def _ramp(values: Float32[np.ndarray, "..."], low: float, width: float) -> None:
    # Subtract first: for 32-bit pixels a fused scale and offset would lose the low bits.
    values -= np.float32(low)
    values *= np.float32(1 / width)
    np.clip(values, 0, 1, out=values)


FUNCTIONS: dict[str, Callable[[Float32[np.ndarray, "..."], float, float], None]] = {
    "LINEAR": _linear,
    "LINEAR_EXACT": _linear_exact,
    "SIGMOID": _sigmoid,
}
