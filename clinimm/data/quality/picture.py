"""How a picture looks, measured where it matters: tones and sharpness on the grid that the model sees, noise, borders
and lettering on the picture as stored. A few milliseconds, whatever the picture's size."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from clinimm.data.quality.lettering import lettering
from clinimm.data.quality.outline import OUTLINE, outline

TONE = ("contrast", "brightness", "dark", "bright", "clipped", "entropy")
HEADER = ("gaps", "duplicates", "view_pa", "view_ap", "view_lateral", "view_unknown")
PICTURE = (*TONE, "sharpness", "noise", *OUTLINE, "lettering", *HEADER)

_VIEWS = ({"PA"}, {"AP"}, {"LL", "RL", "LATERAL"})  # in the order of HEADER
_CLIPPED, _DARK, _BRIGHT, _BINS = 1e-3, 0.1, 0.9, 64
_SAMPLE = 1 << 16  # pixels that are enough for tones
_FLAT = 0.02  # a standard deviation below which ratios to it say nothing
_PLANES = 8  # of a volume that are looked at
_MIDDLE = 256  # side of the middle of the stored picture in which noise is looked for
_MOST = 2.0
_WHITE = math.sqrt(20.0)  # standard deviation of the Laplacian of white noise of standard deviation 1
_NORMAL_MAD = 0.6745  # median absolute deviation of the standard normal distribution
_MASK_GAIN = 6.0  # standard deviation of Immerkaer's mask over white noise of standard deviation 1


def picture_quality(
    seen: Float[Tensor, "h w *d"], stored: Float[Tensor, "H W *D"], facts: Mapping[str, Any]
) -> Float[Tensor, " q"]:
    """The features named in PICTURE, of pixels in [0, 1]: those that the model sees, without padding, and those that
    they were made from. Of a volume, some slices are looked at. `facts` are the scan's."""
    planes = seen[None] if seen.ndim == 2 else seen[..., :: -(-seen.shape[-1] // _PLANES)].movedim(-1, 0).contiguous()
    plane = stored if stored.ndim == 2 else stored[..., stored.shape[-1] // 2].contiguous()
    contrast = max(_FLAT, float(planes.std(correction=0)))
    ratios = (sharpness(planes) / contrast, noise(_middle(plane)) / contrast)
    roots = (min(_MOST, math.sqrt(ratio)) for ratio in ratios)  # few are over a tenth
    return torch.tensor([*tones(planes), *roots, *outline(plane), lettering(plane), *_header(facts)])


def tones(pixels: Float[Tensor, "p h w"]) -> tuple[float, ...]:
    """Four times the standard deviation, the mean, the shares that are dark, bright, and at an end of the range, and
    the entropy of the histogram as a share of the most there could be: 0 for a picture of one color."""
    flat = pixels.flatten()
    flat = flat[:: -(-len(flat) // _SAMPLE)]
    dark, bright = flat < _DARK, flat > _BRIGHT
    clipped = (flat < _CLIPPED) | (flat > 1 - _CLIPPED)
    shares = torch.histc(flat, _BINS, 0.0, 1.0) / len(flat)
    entropy = -torch.special.xlogy(shares, shares).sum() / math.log(_BINS)
    means = torch.stack([dark.float().mean(), bright.float().mean(), clipped.float().mean()])
    return 4 * float(flat.std(correction=0)), float(flat.mean()), *means.tolist(), max(0.0, float(entropy))


def sharpness(planes: Float[Tensor, "p h w"]) -> float:
    """Standard deviation of the Laplacian over that which white noise of the same contrast would have, before division
    by the contrast; 0 where there are no pixels inside. Source: Pech-Pacheco et al. 2000, "Diatom autofocusing in
    brightfield microscopy: a comparative study", LAPV. Differs: a ratio, so that exposure does not matter."""
    if min(planes.shape[1:]) < 3:
        return 0.0
    down, across = planes.diff(n=2, dim=1)[:, :, 1:-1], planes.diff(n=2, dim=2)[:, 1:-1]
    return float((down + across).std(correction=0)) / _WHITE


def noise(plane: Float[Tensor, "h w"]) -> float:
    """Standard deviation of the noise. Source: Immerkaer 1996, "Fast noise variance estimation", whose mask no slope
    and no straight edge moves. Differs: the median of the residuals, so that what has detail counts as little."""
    if min(plane.shape) < 3:
        return 0.0
    residual = plane.diff(n=2, dim=0).diff(n=2, dim=1)
    return float(residual.abs().median()) / (_NORMAL_MAD * _MASK_GAIN)


def _middle(plane: Float[Tensor, "H W"]) -> Float[Tensor, "h w"]:
    rows, columns = (slice(start := max(0, (n - _MIDDLE) // 2), start + _MIDDLE) for n in plane.shape)
    return plane[rows, columns].contiguous()


def _header(facts: Mapping[str, Any]) -> tuple[float, ...]:
    """Shares of a series' slices that are missing and that lay where another did; which view the header says: all
    zeros for one that is none of these."""
    slices = int(facts.get("slices", 1))
    missing, duplicates = int(facts.get("missing_slices", 0)), int(facts.get("duplicate_slices", 0))
    view = facts.get("view")
    views = (float(view in names) for names in _VIEWS)
    return missing / (slices + missing), duplicates / (slices + duplicates), *views, float(view is None)
