"""Letters burned into a picture, names, markers, scanner settings: told by tiles near its edges full of strokes."""

import numpy as np
from jaxtyping import Bool, Float, Int16
from torch import Tensor

_SIDE = 448  # pixels of the shorter side, about, that keep a letter's strokes apart
_REACH = 2  # pixels from the middle of a stroke to its background
_LEVELS = 100  # gray levels, few enough to count with in 16 bits
_STROKE, _BACKGROUND = 30, 15  # levels from a stroke to its background, and from this to that on the other side
_TILES = 12  # a side
_RIM = 2  # tiles from the edge: where letters are
_FULL = 0.15  # of a tile of letters is strokes


def lettering(plane: Float[Tensor, "h w"]) -> float:
    """How full of thin strokes the fullest tile near the edge is, more than the fullest in the middle: 0 for no
    letters, 1 for a line of them and more.

    A stroke is far brighter, or far darker, than what lies to both its sides, and that is even. Anatomy has few such
    pixels. Cables cross the middle as well and noise is everywhere alike, so what the middle has is taken off."""
    step = max(1, round(min(plane.shape) / _SIDE))
    small = (plane[::step, ::step].numpy() * _LEVELS).astype(np.int16)
    if min(small.shape) < 4 * _TILES:
        return 0.0
    full = _by_tile(_strokes(small) | _strokes(small.T).T)
    middle = full[_RIM:-_RIM, _RIM:-_RIM].max()
    full[_RIM:-_RIM, _RIM:-_RIM] = 0
    return float(min(1.0, max(0.0, full.max() - middle) / _FULL))


def _strokes(levels: Int16[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """True for pixels of strokes that run across the picture; the outermost rows, of which it cannot be told, are
    False."""
    before, here, after = levels[: -2 * _REACH], levels[_REACH:-_REACH], levels[2 * _REACH :]
    found = np.zeros(levels.shape, bool)
    inner = found[_REACH:-_REACH]
    np.greater(np.abs(here - before), _STROKE, out=inner)
    inner &= np.abs(here - after) > _STROKE
    inner &= np.abs(before - after) < _BACKGROUND
    return found


def _by_tile(strokes: Bool[np.ndarray, "h w"]) -> Float[np.ndarray, "t t"]:
    """The share of strokes in each of equal tiles; rows and columns that fill none are left out."""
    high, wide = (n // _TILES for n in strokes.shape)
    tiles = strokes[: high * _TILES, : wide * _TILES].reshape(_TILES, high, _TILES, wide)
    counts: Float[np.ndarray, "t t"] = tiles.sum(axis=(1, 3), dtype=np.int32) / (high * wide)
    return counts
