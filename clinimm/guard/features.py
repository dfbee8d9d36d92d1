"""What a picture looks like, in fixed numbers: no weights, nothing fitted. v views, g side of the grid, f features.

Three kinds of number. The coarse picture and the histogram of oriented gradients say where things are; both are taken
of stretched tones, so that exposure hardly counts. The statistics (quantiles, borders, symmetry, spectrum) say what
sort of thing it is. Source of the second: Dalal & Triggs 2005, Histograms of Oriented Gradients; ours keeps the sign of
a gradient, for an inverted film differs from a right one in nothing else."""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, interpolate

GRID = 64
_CELLS, _ORIENTATIONS, _COARSE, _RINGS = 8, 8, 16, 12
_QUANTILES = (0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98)
_FLAT = 1e-6


def views(pixels: Float[Tensor, "b 1 ..."]) -> Float[Tensor, "b v g g"]:
    """A film as the one view it is, a volume as its mean along each axis, in [0, 1] on the guard's own grid.

    Each axis is fitted to the grid by itself: proportions are the preparer's matter."""
    flat = [pixels] if pixels.ndim == 4 else [pixels.mean(dim=axis) for axis in (4, 3, 2)]
    seen = [interpolate(view.float(), size=(GRID, GRID), mode="bilinear", antialias=True) for view in flat]
    return torch.cat(seen, dim=1).clamp(0, 1)


def features(pictures: Float[Tensor, "b v g g"]) -> Float[Tensor, "b f"]:
    """All features of all views. Rows do not know each other."""
    each = pictures.flatten(0, 1)
    levels = _quantiles(each)
    toned = _stretched(each, levels)
    parts = (_coarse(toned), _gradients(toned), levels, _statistics(each, toned), _spectrum(toned), _tones(toned))
    return torch.cat(parts, dim=1).reshape(len(pictures), -1)


def _quantiles(pictures: Float[Tensor, "b g g"]) -> Float[Tensor, "b _"]:
    """Quantiles of the pixels that are not exactly 0, which is what the grid is padded with; 0 where none is left."""
    flat = pictures.flatten(1)
    rising = torch.where(flat > 0, flat, torch.inf).sort(dim=1).values
    last = (flat > 0).sum(1, keepdim=True) - 1
    at = (last * torch.tensor(_QUANTILES)).round().long().clamp(min=0)
    return rising.gather(1, at).where(last >= 0, 0.0)


def _stretched(pictures: Float[Tensor, "b g g"], levels: Float[Tensor, "b _"]) -> Float[Tensor, "b g g"]:
    """Tones from the lowest of the quantiles to the highest onto [0, 1], so that exposure hardly counts."""
    low, reach = levels[:, :1], (levels[:, -1:] - levels[:, :1]).clamp_min(0.02)
    return ((pictures - low[..., None]) / reach[..., None]).clamp(0, 1)


def _coarse(toned: Float[Tensor, "b g g"]) -> Float[Tensor, "b _"]:
    small = adaptive_avg_pool2d(toned[:, None], _COARSE).flatten(1)
    return small - small.mean(1, keepdim=True)


def _gradients(toned: Float[Tensor, "b g g"]) -> Float[Tensor, "b _"]:
    """Share of each signed direction in the edges of each cell; a cell counts by the square root of its energy."""
    dy, dx = torch.gradient(toned, dim=(1, 2))
    angle = (torch.atan2(dy, dx) / (2 * math.pi) * _ORIENTATIONS) % _ORIENTATIONS
    strength = torch.hypot(dx, dy)
    below = angle.floor()
    share = angle - below
    planes = torch.zeros(len(toned), _ORIENTATIONS, *toned.shape[1:], dtype=toned.dtype)
    first = (below.long() % _ORIENTATIONS)[:, None]
    planes.scatter_add_(1, first, (strength * (1 - share))[:, None])
    planes.scatter_add_(1, (first + 1) % _ORIENTATIONS, (strength * share)[:, None])
    cells = adaptive_avg_pool2d(planes, _CELLS)
    norm = cells.square().sum((1, 2, 3), keepdim=True).sqrt()
    return (cells / (norm + _FLAT)).sqrt().flatten(1)


def _statistics(pictures: Float[Tensor, "b g g"], toned: Float[Tensor, "b g g"]) -> Float[Tensor, "b _"]:
    rim = max(1, GRID // 16)
    borders = [toned[:, :rim], toned[:, -rim:], toned[:, :, :rim], toned[:, :, -rim:]]
    flat = pictures.flatten(1)
    steps = pictures.diff(dim=2).abs().flatten(1)
    few = [
        flat.mean(1), flat.std(1), steps.mean(1), steps.std(1), (flat < 1e-3).float().mean(1),
        (flat > 1 - 1e-3).float().mean(1),
        _likeness(toned, toned.flip(2)), _likeness(toned, toned.flip(1)),
        _likeness(toned[:, :, 1:], toned[:, :, :-1]), _likeness(toned[:, 1:], toned[:, :-1]),
        *(part.flatten(1).mean(1) for part in borders), *(part.flatten(1).std(1) for part in borders),
    ]  # fmt: skip
    return torch.stack(few, 1)


def _likeness(left: Float[Tensor, "b _ _"], right: Float[Tensor, "b _ _"]) -> Float[Tensor, " b"]:
    """Pearson's correlation, picture by picture; 0 where one is flat."""
    left, right = left.flatten(1), right.flatten(1)
    left, right = left - left.mean(1, keepdim=True), right - right.mean(1, keepdim=True)
    return (left * right).sum(1) / (left.norm(dim=1) * right.norm(dim=1) + _FLAT)


def _spectrum(toned: Float[Tensor, "b g g"]) -> Float[Tensor, "b _"]:
    """Logarithm of the mean power in rings of spatial frequency."""
    window = torch.hann_window(GRID, periodic=False)
    centered = (toned - toned.mean((1, 2), keepdim=True)) * window[:, None] * window[None]
    power = torch.fft.rfft2(centered).abs().square()
    frequency = torch.hypot(torch.fft.fftfreq(GRID)[:, None], torch.fft.rfftfreq(GRID)[None])
    ring = (frequency * 2 * _RINGS).long().clamp(max=_RINGS - 1).flatten()
    total = torch.zeros(len(toned), _RINGS).index_add_(1, ring, power.flatten(1))
    return (total / ring.bincount(minlength=_RINGS) + 1e-4).log()


def _tones(toned: Float[Tensor, "b g g"]) -> Float[Tensor, "b _"]:
    """How many pixels each of eight tones has, as square roots."""
    band = (toned * 8).long().clamp(max=7)
    return torch.stack([(band == tone).float().mean((1, 2)).sqrt() for tone in range(8)], dim=1)
