"""Letters burned into a picture: names, markers, scanner settings. Told by thin strokes around its edges."""

from jaxtyping import Bool, Float
from torch import Tensor

_SIDE = 512  # pixels of the shorter side that keep a letter's strokes apart
_REACH = 3  # pixels from the middle of a stroke to its background
_STROKE, _BACKGROUND = 0.35, 0.15  # how far a stroke is from its background, and this from itself on the other side
_RIM = 0.2  # of each side: where letters are
_SCALE = 25.0


def lettering(plane: Float[Tensor, "h w"]) -> float:
    """How much of the rim is thin strokes, more than of the middle: 0 for none, 1 for a line of text and more.

    A stroke is far brighter, or far darker, than what lies to both its sides, and that is even. Anatomy has few such
    pixels; noise has them everywhere alike, so those of the middle are taken off."""
    step = max(1, min(plane.shape) // _SIDE)
    small = plane[::step, ::step].contiguous()
    if min(small.shape) < 8 * _REACH:
        return 0.0
    strokes = _strokes(small, 0) | _strokes(small, 1)
    high, wide = (round(_RIM * n) for n in strokes.shape)
    middle = strokes[high:-high, wide:-wide]
    inside = int(middle.sum())
    rim = (int(strokes.sum()) - inside) / (strokes.numel() - middle.numel())
    return min(1.0, max(0.0, _SCALE * (rim - inside / middle.numel())))


def _strokes(plane: Float[Tensor, "h w"], axis: int) -> Bool[Tensor, "H W"]:
    """True for pixels of strokes across an axis. The outermost, of which it cannot be told, are left out."""
    inner = plane.narrow(1 - axis, _REACH, plane.shape[1 - axis] - 2 * _REACH)
    length = inner.shape[axis] - 2 * _REACH
    before, here, after = (inner.narrow(axis, start * _REACH, length) for start in range(3))
    found = (here - before).abs_() > _STROKE
    found &= (here - after).abs_() > _STROKE
    return found.logical_and_((before - after).abs_() < _BACKGROUND)
