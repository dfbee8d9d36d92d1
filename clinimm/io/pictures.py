"""PNG and JPEG, which researchers have: gray or luminance, upright, without spacing."""

from io import BytesIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from clinimm.errors import DamagedInput, ResourceLimit
from clinimm.io.scan_types import Limits, Scan, WindowChoice
from clinimm.io.shrink import block_mean, shrink_factor
from clinimm.io.window import choose_window, spanning

DEEP = ("I", "I;16", "I;16B", "I;16L", "I;16N", "F")
EXIF_ORIENTATION = 0x0112
# EXIF's orientation -> along which axis of the file, from 1, each axis of the upright picture runs, - against it.
UPRIGHT = {1: (1, 2), 2: (1, -2), 3: (-1, -2), 4: (-1, 2), 5: (2, 1), 6: (2, -1), 7: (-2, -1), 8: (-2, 1)}
DAMAGE = (OSError, SyntaxError, ValueError, EOFError, IndexError, UnidentifiedImageError)


def read_picture(data: bytes, where: str, window: WindowChoice, limits: Limits, at_least: int | None = None) -> Scan:
    """The picture in `data`. For "voi", 8 bits are taken as they are (0 black, 255 white), deeper ones by a robust
    range. Colors become Rec. 601 luma, transparency lies on black.

    Raises ResourceLimit before decoding, DamagedInput where the file is cut off or broken."""
    image = _open(data, where, limits)
    try:
        frame = _gray(ImageOps.exif_transpose(image))
    except DAMAGE as error:
        raise DamagedInput("truncated_pixels", f"cannot be decoded ({type(error).__name__})", where=where) from None
    factor = shrink_factor(frame.shape[0], frame.shape[1], at_least)
    values = block_mean(frame, factor)
    deep = image.mode in DEEP
    chosen = choose_window(values, window, None if deep else spanning(0.0, 255.0, "nominal"))
    chosen.apply(values)
    facts = {
        "format": image.format,
        "photometric": image.mode,
        "rows": frame.shape[0],
        "columns": frame.shape[1],
        "frames": getattr(image, "n_frames", 1),
        "bits_stored": 16 if deep else 8,
        "window": chosen.facts(),
        "inverted": False,
        "shrunk_by": factor,
        "axes": list(UPRIGHT.get(image.getexif().get(EXIF_ORIENTATION, 1), UPRIGHT[1])),
    }
    return Scan(values, facts=facts, flags=("first_frame_only",) if facts["frames"] > 1 else ())


def _open(data: bytes, where: str, limits: Limits) -> Image.Image:
    try:
        image = Image.open(BytesIO(data), formats=("PNG", "JPEG"))
    except Image.DecompressionBombError:
        raise ResourceLimit("too_many_pixels", "declares too many pixels", where=where) from None
    except DAMAGE as error:
        raise DamagedInput("unreadable_header", f"cannot be opened ({type(error).__name__})", where=where) from None
    if image.width * image.height > limits.frame_pixels:
        raise ResourceLimit(
            "too_many_pixels",
            f"declares {image.width * image.height} pixels, the limit is {limits.frame_pixels}",
            where=where,
        )
    return image


def _gray(image: Image.Image) -> "np.ndarray":
    if image.mode in DEEP:
        return np.asarray(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return np.asarray(Image.alpha_composite(Image.new("RGBA", image.size, "black"), image).convert("L"))
    return np.asarray(image.convert("L"))
