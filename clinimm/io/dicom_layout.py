"""The declared form of the pixels, checked against the limits and against the bytes before anything is decoded."""

from dataclasses import dataclass

import numpy as np

from clinimm.errors import DamagedInput, ResourceLimit, UnsupportedInput
from clinimm.io.dicom_header import Instance, code_text, whole
from clinimm.io.dicom_structure import UNDEFINED
from clinimm.io.scan_types import Limits

MONOCHROME = ("MONOCHROME1", "MONOCHROME2")
COLORS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT", "YBR_PARTIAL_422")
FLOATS = {"FloatPixelData": 32, "DoubleFloatPixelData": 64}


@dataclass(frozen=True)
class Layout:
    """Rows, columns and bits as declared, once checked. `allocated`, `stored` and `high` are bits."""

    rows: int
    columns: int
    frames: int
    samples: int
    planar: int
    photometric: str
    allocated: int
    stored: int
    high: int
    signed: bool
    floating: bool
    flags: tuple[str, ...]

    @property
    def form(self) -> tuple[int, int, str]:
        """What the slices of one volume must share."""
        return self.rows, self.columns, self.photometric

    @property
    def dtype(self) -> np.dtype:
        """Of one sample, in this machine's byte order."""
        kind = "f" if self.floating else "i" if self.signed else "u"
        return np.dtype(f"{kind}{max(1, self.allocated // 8)}")

    @property
    def frame_bits(self) -> int:
        pixels = self.rows * self.columns
        if self.photometric in ("YBR_FULL_422", "YBR_PARTIAL_422"):
            return pixels * 2 * self.allocated
        return pixels * self.samples * self.allocated


def check_layout(instance: Instance, limits: Limits) -> Layout:
    """The layout. Raises DamagedInput, ResourceLimit, or UnsupportedInput for bits and colors that are not read."""
    layout = _declared(instance)
    _check_size(layout, limits, instance.where)
    _check_bits(layout, instance.where)
    if not instance.encapsulated:
        _check_length(instance, layout)
    elif instance.pixels.length != UNDEFINED:
        raise DamagedInput("not_encapsulated", "compressed pixels are not in fragments", where=instance.where)
    return layout


def _declared(instance: Instance) -> Layout:
    header, where = instance.header, instance.where
    floating = instance.pixels.keyword in FLOATS
    samples = whole(header, "SamplesPerPixel", where, default=1)
    allocated = FLOATS.get(instance.pixels.keyword) or whole(header, "BitsAllocated", where)
    stored = allocated if floating else whole(header, "BitsStored", where, default=allocated)
    photometric, flags = _photometric(instance, samples)
    return Layout(
        rows=whole(header, "Rows", where),
        columns=whole(header, "Columns", where),
        frames=whole(header, "NumberOfFrames", where, default=1) or 1,
        samples=samples,
        planar=whole(header, "PlanarConfiguration", where, default=0),
        photometric=photometric,
        allocated=allocated,
        stored=stored,
        high=stored - 1 if floating else whole(header, "HighBit", where, default=stored - 1),
        signed=whole(header, "PixelRepresentation", where, default=0) == 1,
        floating=floating,
        flags=flags,
    )


def _photometric(instance: Instance, samples: int) -> tuple[str, tuple[str, ...]]:
    photometric = code_text(instance.header, "PhotometricInterpretation")
    if photometric is None:
        return ("MONOCHROME2" if samples == 1 else "RGB"), ("photometric_assumed",)
    one, three = (*MONOCHROME, "PALETTE COLOR"), COLORS
    if photometric not in one + three:
        raise UnsupportedInput(
            "unsupported_photometric",
            "its photometric interpretation is not read",
            where=instance.where,
            mend=f"convert it to one of {', '.join(one + three)}",
        )
    if samples != (1 if photometric in one else 3):
        raise DamagedInput("samples_per_pixel", f"{samples} samples do not make {photometric}", where=instance.where)
    return photometric, ()


def _check_size(layout: Layout, limits: Limits, where: str) -> None:
    if not (0 < layout.rows < 1 << 16 and 0 < layout.columns < 1 << 16 and layout.frames > 0):
        raise DamagedInput("bad_size", "its size is not a picture's", where=where)
    if layout.planar not in (0, 1):
        raise DamagedInput("planar_configuration", "its planar configuration is neither 0 nor 1", where=where)
    for code, name, actual, limit in (
        ("too_many_pixels", "pixels in a frame", layout.rows * layout.columns, limits.frame_pixels),
        ("too_many_frames", "frames", layout.frames, limits.frames),
        ("too_many_pixel_bytes", "bytes of pixels", layout.frame_bits * layout.frames // 8, 4 * limits.total_bytes),
    ):
        if actual > limit:
            what = f"declares {actual} {name}, the limit is {limit}"
            raise ResourceLimit(code, what, where=where, limit=limit, actual=actual)


def _check_bits(layout: Layout, where: str) -> None:
    if layout.allocated not in (1, 8, 16, 32, 64):
        raise UnsupportedInput("unsupported_bits", f"{layout.allocated} bits allocated are not read", where=where)
    if not 0 < layout.stored <= layout.allocated:
        raise DamagedInput(
            "bits_stored", f"{layout.stored} bits stored do not fit {layout.allocated} allocated", where=where
        )
    if not layout.stored - 1 <= layout.high < layout.allocated:
        raise DamagedInput("high_bit", f"high bit {layout.high} contradicts {layout.stored} bits stored", where=where)


def _check_length(instance: Instance, layout: Layout) -> None:
    """Native pixels must be there to the byte; one byte of padding makes an odd length even."""
    element, where = instance.pixels, instance.where
    expected = (layout.frame_bits * layout.frames + 7) // 8
    if element.length == UNDEFINED:
        raise DamagedInput("encapsulated_native", "its pixels are in fragments though uncompressed", where=where)
    actual = min(element.length, len(instance.body) - element.start)
    if actual < expected:
        raise DamagedInput("truncated_pixels", f"has {actual} bytes of pixels, declares {expected}", where=where)
    if element.length > expected + expected % 2:
        raise DamagedInput("excess_pixels", f"has {element.length} bytes of pixels, declares {expected}", where=where)
