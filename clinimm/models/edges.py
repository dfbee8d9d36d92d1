"""Which way the edges of a film run, and how strong they are, cell by cell."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

WAYS, CELLS = 8, 8
_STILL = 1e-4  # what is added to a gradient's size, so that its direction has a slope where there is none


def edges(films: Float[Tensor, "b c h w"]) -> Float[Tensor, "b p"]:
    """The strength of the edges in each of 8 directions, averaged over 8 x 8 cells; p = 512 c.

    Source: histograms of oriented gradients (Dalal and Triggs 2005). Differs: a pixel's gradient is shared smoothly
    among the directions, by the square of the cosine of twice the angle where that is positive, so that an attribution
    can follow it; and cells are not normalized by their neighbors, for a bright or a sharp film differs from others in
    that too."""
    across = films[..., 1:-1, 2:] - films[..., 1:-1, :-2]
    down = films[..., 2:, 1:-1] - films[..., :-2, 1:-1]
    square = across.square() + down.square() + _STILL**2
    cosine, sine = (across.square() - down.square()) / square, 2 * across * down / square  # of twice the angle
    angles = [math.pi * way / WAYS for way in range(WAYS)]
    shares = [(cosine * math.cos(2 * a) + sine * math.sin(2 * a)).clamp_min(0).square() for a in angles]
    strength = torch.stack([square.sqrt() * share for share in shares], dim=2).flatten(1, 2)
    return F.adaptive_avg_pool2d(strength, CELLS).flatten(1)


def edges_of(shape: tuple[int, ...]) -> int:
    """How many numbers `edges` gives for a film (c, h, w); 0 for a volume."""
    return shape[0] * WAYS * CELLS**2 if len(shape) == 3 else 0
