"""Pictures prepared just as MedCLIP's own code does, for agreement with it; clinimm's own way is clinimm.data.

Source: RyanWangZf/MedCLIP, MedCLIPFeatureExtractor (bicubic) and the transform of its evaluation (bilinear)."""

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from clinimm.choose import choose

_RESAMPLINGS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}


def medclip_pixels(
    picture: UInt8[np.ndarray, "h w"] | UInt8[np.ndarray, "h w 3"], size: int = 224, resampling: str = "bicubic"
) -> Float[np.ndarray, "1 1 {size} {size}"]:
    """The picture in grey, centered on a black square no smaller than `size`, shrunk to it, in [0, 1]; the tower
    standardizes it. Raises ConfigError for a resampling that is not known."""
    square = _padded(Image.fromarray(picture).convert("L"), size)
    shrunk = square.resize((size, size), choose(_RESAMPLINGS, resampling, "resampling"))
    return np.asarray(shrunk, dtype=np.float32)[None, None] / np.float32(255)


def _padded(picture: Image.Image, least: int) -> Image.Image:
    side = max(least, *picture.size)
    square = Image.new("L", (side, side), 0)
    square.paste(picture, ((side - picture.size[0]) // 2, (side - picture.size[1]) // 2))
    return square
