"""Where a picture ends: empty borders, anatomy that runs off the edge, and its proportions."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

OUTLINE = ("border", "cut_off", "aspect")

_SAMPLE = 256  # pixels a side that are enough to see it
_EVEN = 0.02  # standard deviation of a row or column that holds nothing
_RIM = 0.02  # of the side: how wide an edge is
_SHOWS = 0.5  # of the mean: what is no background


def outline(plane: Float[Tensor, "h w"]) -> tuple[float, float, float]:
    """The share of the picture in even rows and columns that run in from its edges; of what they leave, the share of
    the edge that shows something (a film cropped too tightly shows anatomy all around); and the logarithm of height
    over width."""
    height, width = plane.shape
    small = plane[:: max(1, height // _SAMPLE), :: max(1, width // _SAMPLE)].contiguous()
    kept = small[_inside(small.std(1, correction=0) > _EVEN)][:, _inside(small.std(0, correction=0) > _EVEN)]
    aspect = math.log(height / width)
    return 1 - kept.numel() / small.numel(), _cut_off(kept), min(2.0, max(-2.0, aspect))


def _inside(uneven: Bool[Tensor, " n"]) -> slice:
    """From the first to the last that is uneven; nothing where none is."""
    at = uneven.nonzero()[:, 0]
    return slice(int(at[0]), int(at[-1]) + 1) if len(at) else slice(0, 0)


def _cut_off(plane: Float[Tensor, "h w"]) -> float:
    if not plane.numel():
        return 0.0
    high, wide = (max(1, round(_RIM * n)) for n in plane.shape)
    rim = torch.cat([part.flatten() for part in (plane[:high], plane[-high:], plane[:, :wide], plane[:, -wide:])])
    return float((rim > _SHOWS * plane.mean()).float().mean())
