"""Films and heat maps as PNG: what the model saw in gray, what it made of it in red (raises) and blue (lowers)."""

import base64
import io
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image
from scipy.ndimage import gaussian_filter

Film: TypeAlias = Float[np.ndarray, "h w"] | Float[np.ndarray, "h w d"]
Plane: TypeAlias = Float[np.ndarray, "rows columns"]

RAISES, LOWERS = (215, 25, 28), (44, 123, 229)
SMOOTHING = 0.015
"""Standard deviation of the smoothing for display, as a fraction of the longer side: single pixels are not legible."""

_TOP = 99.8  # percentile of the map that gets the full color: a few hot pixels would leave all else blank


@dataclass(frozen=True)
class View:
    """One plane. `peak` is (row, column) of the strongest pixel of the plane, None for an empty map."""

    name: str
    film: str
    heat: str | None
    peak: tuple[int, ...] | None


@dataclass(frozen=True)
class Picture:
    """Views of a film (one) or a volume (three planes through its peak). `limit` is the value that gets the full color,
    in logits per pixel."""

    views: tuple[View, ...]
    limit: float


def draw(film: Film, heat: Film | None) -> Picture:
    """`film` in [0, 1] and, aligned with it, `heat` in logits, smoothed."""
    if heat is None:
        return Picture(tuple(_view(name, plane, None, 0.0) for name, plane in _planes(film, _middle(film))), 0.0)
    smooth = gaussian_filter(np.asarray(heat, dtype=np.float64), SMOOTHING * max(heat.shape), mode="constant")
    limit = float(np.percentile(np.abs(smooth), _TOP)) or float(np.abs(smooth).max())
    through = _peak(smooth) if limit else _middle(film)
    planes = zip(_planes(film, through), _planes(smooth, through), strict=True)
    return Picture(tuple(_view(name, plane, hot, limit) for (name, plane), (_, hot) in planes), limit)


def _peak(heat: Film) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(int(np.abs(heat).argmax()), heat.shape))


def _middle(film: Film) -> tuple[int, ...]:
    return tuple(side // 2 for side in film.shape)


def _planes(values: Film, through: tuple[int, ...]) -> list[tuple[str, Plane]]:
    """A film as it is; of a volume the slice, the row and the column that go through a point."""
    if values.ndim == 2:
        return [("film", values)]
    (row, column, index), (rows, columns, slices) = through, values.shape
    return [
        (f"slice {index + 1} of {slices}", values[:, :, index]),
        (f"through all slices at row {row + 1} of {rows}", values[row].T),
        (f"through all slices at column {column + 1} of {columns}", values[:, column].T),
    ]


def _view(name: str, film: Plane, heat: Plane | None, limit: float) -> View:
    gray = _png(np.rint(np.clip(film, 0, 1) * 255).astype(np.uint8))
    if heat is None:
        return View(name, gray, None, None)
    return View(name, gray, _png(overlay(heat, limit)), _peak(heat) if limit else None)


def overlay(heat: Plane, limit: float) -> UInt8[np.ndarray, "rows columns 4"]:
    """Red where it raises, blue where it lowers, the more opaque the stronger; exactly transparent at 0."""
    strength = np.clip(np.abs(heat) / limit, 0, 1) if limit else np.zeros_like(heat)
    color = np.where((heat > 0)[..., None], RAISES, LOWERS)
    return np.concatenate([color, np.rint(230 * strength)[..., None]], axis=-1).astype(np.uint8)


def _png(pixels: UInt8[np.ndarray, "rows columns *rest"]) -> str:
    """The picture as a base64 PNG; the same pixels give the same text."""
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(stream, format="PNG")
    return base64.b64encode(stream.getvalue()).decode("ascii")
