"""A scan of any size onto the model's grid, and where each of its pixels went."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import interpolate, pad

Crop = tuple[float, float, float, float]


@dataclass(frozen=True)
class Placement:
    """How a picture lies on the model's grid, axis by axis: of its pixels `extent` from `start` on are shrunk by about
    `scale`, and the grid's pixels from `offset` on show them; geometry.py leads back exactly."""

    start: tuple[int, ...]
    extent: tuple[int, ...]
    scale: tuple[float, ...]
    offset: tuple[int, ...]
    size: tuple[int, ...]

    @property
    def resized(self) -> tuple[int, ...]:
        """Size of the picture on the grid, before padding."""
        return tuple(max(1, round(n * s)) for n, s in zip(self.extent, self.scale, strict=True))

    @property
    def covered(self) -> tuple[int, ...]:
        """How many pixels from `start` the resized picture stands for: of a volume whole blocks alone."""
        if len(self.size) == 2:
            return self.extent
        return tuple(
            n // block * block for n, block in zip(self.extent, _blocks(self.extent, self.resized), strict=True)
        )


def place(shape: Sequence[int], size: Sequence[int], crop: Crop | None = None) -> Placement:
    """A picture of `shape`, cut to `crop`, on a grid of `size`: rows and columns keep their proportion and stand in the
    middle of what they do not fill; slices fill their axis."""
    start, extent = [0] * len(shape), list(shape)
    if crop is not None:
        left, top, right, bottom = crop
        for axis, (low, high) in enumerate(((top, bottom), (left, right))):
            start[axis] = min(int(low * shape[axis]), shape[axis] - 1)
            extent[axis] = max(1, min(round(high * shape[axis]), shape[axis]) - start[axis])
    in_plane = min(size[0] / extent[0], size[1] / extent[1])
    scale = [in_plane, in_plane, *(size[axis] / extent[axis] for axis in range(2, len(shape)))]
    offset = [
        (size[axis] - max(1, round(extent[axis] * scale[axis]))) // 2 if axis < 2 else 0 for axis in range(len(shape))
    ]
    return Placement(tuple(start), tuple(extent), tuple(scale), tuple(offset), tuple(size))


def onto_grid(pixels: Float[Tensor, "..."], placement: Placement) -> Float[Tensor, "1 ..."]:
    """The picture on the grid, (1, h, w[, d]), averaged where it shrinks and 0 where it does not reach."""
    window = tuple(slice(s, s + n) for s, n in zip(placement.start, placement.extent, strict=True))
    resized = resize(pixels[window], placement.resized)
    padding: list[int] = []
    for axis in reversed(range(resized.ndim)):
        before = placement.offset[axis]
        padding += [before, placement.size[axis] - before - resized.shape[axis]]
    return pad(resized, padding)[None]


def resize(pixels: Float[Tensor, "..."], size: Sequence[int]) -> Float[Tensor, "..."]:
    """Films by antialiased bilinear interpolation; volumes by averaging whole blocks first, then trilinear."""
    if pixels.ndim == 2:
        return interpolate(pixels[None, None], size=tuple(size), mode="bilinear", antialias=True)[0, 0]
    coarse = torch.nn.functional.avg_pool3d(pixels[None, None], _blocks(pixels.shape, size))
    return interpolate(coarse, size=tuple(size), mode="trilinear", align_corners=False)[0, 0]


def _blocks(shape: Sequence[int], size: Sequence[int]) -> list[int]:
    return [max(1, n // m) for n, m in zip(shape, size, strict=True)]
