"""Films in gray, and over them, pixel on pixel, what the model made of them: red raises an answer, blue lowers it."""

import base64
import io
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image
from scipy.ndimage import gaussian_filter

from clinimm.data.geometry import Geometry
from clinimm.io.scan_types import Orientation

Pixels: TypeAlias = Float[np.ndarray, "h w"] | Float[np.ndarray, "h w d"]
Plane: TypeAlias = Float[np.ndarray, "rows columns"]

RAISES, LOWERS = (215, 25, 28), (44, 123, 229)
SMOOTHING = 0.015
"""Standard deviation of the smoothing for display, as a fraction of the longer side: single pixels are not legible."""
LONGEST_SIDE = 768
"""Of a film on the page, in pixels: a series of any length then makes three small pictures."""

_TOP = 99.8  # percentile of the map that gets the full color: a few hot pixels would leave all else blank


@dataclass(frozen=True)
class Film:
    """A film or volume as it is shown: `pixels` in [0, 1] stand for `shrunk` stored ones each, axis by axis, and the
    model's grid lies over the stored ones as `geometry` says. `spacing_mm` is between stored pixels."""

    pixels: Pixels
    shrunk: tuple[int, ...]
    geometry: Geometry
    spacing_mm: tuple[float, ...] | None = None
    orientation: Orientation | None = None


@dataclass(frozen=True)
class View:
    """One plane, in stored pixels: the size of what `film` shows, where the edges of `heat` lie on it (top, left,
    bottom, right), and the (row, column) of the map's strongest pixel, None for an empty map. `letters` say what lies
    beyond the top, right, bottom and left: R(ight), L(eft), A(nterior), P(osterior), H(ead), F(eet)."""

    name: str
    film: str
    heat: str | None
    size: tuple[int, int]
    box: tuple[int, int, int, int]
    peak: tuple[float, float] | None = None
    spacing_mm: tuple[float, float] | None = None
    letters: tuple[str, str, str, str] | None = None


@dataclass(frozen=True)
class Picture:
    """Views of a film (one) or a volume (three planes through its peak). `limit` is the value that gets the full color,
    in logits per pixel of the model's grid; `padding` is the share of the map that lies beside the picture; `heat` is
    the map itself, smoothed, where it lies on the picture."""

    views: tuple[View, ...]
    limit: float = 0.0
    padding: float = 0.0
    heat: Pixels | None = field(default=None, compare=False)


def draw(film: Film, heat: Pixels | None = None) -> Picture:
    """`film`, and over it `heat`, a map on the model's grid in logits, smoothed."""
    if heat is None:
        middle = tuple((n - 1) / 2 for n in film.geometry.stored)
        return Picture(tuple(_view(film, None, axes, middle, 0.0) for axes in _planes(film)))
    on_film = film.geometry.of_picture(np.asarray(heat, dtype=np.float64))
    whole, inside = float(np.abs(heat).sum()), float(np.abs(on_film).sum())
    smooth = gaussian_filter(on_film, SMOOTHING * max(on_film.shape), mode="constant")
    limit = float(np.percentile(np.abs(smooth), _TOP)) or float(np.abs(smooth).max())
    through = _stored(film.geometry, _peak(smooth) if limit else tuple((n - 1) / 2 for n in smooth.shape))
    views = tuple(_view(film, smooth, axes, through, limit) for axes in _planes(film))
    return Picture(views, limit, max(0.0, 1 - inside / whole) if whole else 0.0, smooth)


@dataclass(frozen=True)
class Slice:
    """What a layer of the model's grid holds of the map: `middle` is its middle in stored slices, the first being 0;
    `net` and `gross` are the sums of its numbers and of their magnitudes, in logits."""

    middle: float
    net: float
    gross: float


def by_slice(film: Film, heat: Pixels) -> tuple[Slice, ...]:
    """The layers of a volume's map from feet to head; none of a film. Not smoothed: with what lies beside the volume
    they sum to the map."""
    if film.pixels.ndim == 2:
        return ()
    layers = np.moveaxis(film.geometry.of_picture(np.asarray(heat, dtype=np.float64)), 2, 0)
    first = film.geometry.first[2]
    return tuple(
        Slice(film.geometry.to_stored((0.0, 0.0, first + at))[2], float(layer.sum()), float(np.abs(layer).sum()))
        for at, layer in enumerate(layers)
    )


def _planes(film: Film) -> list[tuple[int, int]]:
    """(axis down, axis across) of each plane. The slices of a volume go up, from feet to head."""
    return [(0, 1)] if film.pixels.ndim == 2 else [(0, 1), (2, 1), (2, 0)]


def _view(film: Film, heat: Pixels | None, axes: tuple[int, int], through: tuple[float, ...], limit: float) -> View:
    """The plane of two axes that goes through a stored point."""
    geometry, (down, across) = film.geometry, axes
    rest = next((axis for axis in range(film.pixels.ndim) if axis not in axes), None)
    gray = _cut(film.pixels, axes, rest, 0 if rest is None else int((through[rest] + 0.5) / film.shrunk[rest]))
    size = gray.shape[0] * film.shrunk[down], gray.shape[1] * film.shrunk[across]
    view = View(
        name=_name(rest, through, geometry),
        film=_png(_small(np.rint(np.clip(_upward(gray, down), 0, 1) * 255).astype(np.uint8))),
        heat=None,
        size=size,
        box=(geometry.start[down], geometry.start[across], geometry.end[down], geometry.end[across]),
        spacing_mm=None if film.spacing_mm is None else (film.spacing_mm[down], film.spacing_mm[across]),
        letters=None if film.orientation is None else _letters(film.orientation, axes),
    )
    if heat is not None:
        plane = _cut(heat, axes, rest, 0 if rest is None else _cell(geometry, rest, through[rest]))
        at = _stored(geometry, _at(_peak(plane), axes, rest, heat.ndim))
        view = replace(
            view, heat=_png(overlay(_upward(plane, down), limit)), peak=(at[down], at[across]) if limit else None
        )
    return _head_up(view) if down == 2 else view


def _upward(plane: Plane, down: int) -> Plane:
    """Slices are stored from feet to head, and read with the head on top."""
    return plane[::-1] if down == 2 else plane


def _head_up(view: View) -> View:
    """Where things lie once the plane is turned over."""
    rows, (top, left, bottom, right) = view.size[0], view.box
    return replace(
        view,
        box=(rows - bottom, left, rows - top, right),
        peak=view.peak and (rows - 1 - view.peak[0], view.peak[1]),
        letters=view.letters and (view.letters[2], view.letters[1], view.letters[0], view.letters[3]),
    )


def _stored(geometry: Geometry, cell: tuple[float, ...]) -> tuple[float, ...]:
    """The stored point under a point of the part of the grid that shows the picture."""
    return geometry.to_stored(tuple(at + first for at, first in zip(cell, geometry.first, strict=True)))


def _cell(geometry: Geometry, axis: int, at: float) -> int:
    """The cell of the picture's part of the grid over a stored point of one axis."""
    start, end, cells = geometry.start[axis], geometry.end[axis], geometry.cells[axis]
    return min(max(int((at + 0.5 - start) * cells / (end - start)), 0), cells - 1)


def _cut(values: Pixels, axes: tuple[int, int], rest: int | None, index: int) -> Plane:
    if rest is None:
        return values
    plane = values.take(min(index, values.shape[rest] - 1), axis=rest)
    return plane if axes[0] < axes[1] else plane.T


def _at(peak: tuple[float, ...], axes: tuple[int, int], rest: int | None, dimensions: int) -> tuple[float, ...]:
    """A point of a plane as one of the whole; where it lies on the axis that is left out does not matter."""
    found = dict(zip(axes, peak, strict=True)) | ({} if rest is None else {rest: 0.0})
    return tuple(found[axis] for axis in range(dimensions))


def _peak(heat: Pixels) -> tuple[float, ...]:
    return tuple(float(i) for i in np.unravel_index(int(np.abs(heat).argmax()), heat.shape))


def _name(rest: int | None, through: tuple[float, ...], geometry: Geometry) -> str:
    if rest is None:
        return "film"
    place = f"{round(through[rest]) + 1} of {geometry.stored[rest]}"
    return f"slice {place}" if rest == 2 else f"through all slices at {('row', 'column')[rest]} {place}"


def _letters(orientation: Orientation, axes: tuple[int, int]) -> tuple[str, str, str, str]:
    """In DICOM's axes x grows to the left, y to the back and z to the head."""
    along = (orientation.column, orientation.row, orientation.normal)
    down, across = (np.asarray(along[axis], dtype=np.float64) for axis in axes)
    return _letter(-down), _letter(across), _letter(down), _letter(-across)


def _letter(direction: Float[np.ndarray, "3"]) -> str:
    axis = int(np.abs(direction).argmax())
    return ("LPH" if direction[axis] > 0 else "RAF")[axis]


def overlay(heat: Plane, limit: float) -> UInt8[np.ndarray, "rows columns 4"]:
    """Red where it raises, blue where it lowers, the more opaque the stronger; exactly transparent at 0."""
    strength = np.clip(np.abs(heat) / limit, 0, 1) if limit else np.zeros_like(heat)
    color = np.where((heat > 0)[..., None], RAISES, LOWERS)
    return np.concatenate([color, np.rint(230 * strength)[..., None]], axis=-1).astype(np.uint8)


def _small(gray: UInt8[np.ndarray, "rows columns"]) -> UInt8[np.ndarray, "_ _"]:
    """No side longer than LONGEST_SIDE; edges stay on edges."""
    by = LONGEST_SIDE / max(gray.shape)
    if by >= 1:
        return gray
    rows, columns = (max(1, round(n * by)) for n in gray.shape)
    return np.asarray(Image.fromarray(gray).resize((columns, rows), Image.Resampling.BOX))


def _png(pixels: UInt8[np.ndarray, "rows columns *rest"]) -> str:
    """The picture as a base64 PNG; the same pixels give the same text."""
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(stream, format="PNG")
    return base64.b64encode(stream.getvalue()).decode("ascii")
