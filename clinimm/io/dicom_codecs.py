"""One compressed frame to an array, each transfer syntax by the decoder that reads it right.

gdcm stands only where it is the one free decoder; what pydicom's plugins cannot read is decoded by ourselves: 1-bit
RLE, deflated frames and 12-bit JPEG Extended."""

from collections.abc import Callable
from io import BytesIO
from math import prod
from typing import Any

import gdcm
import numpy as np
from jaxtyping import Float32, Shaped
from PIL import Image
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile
from pydicom.encaps import encapsulate
from pydicom.pixels import get_decoder
from pydicom.uid import UID
from rle.rle import decode_segment  # type: ignore[import-not-found]

from clinimm.errors import DamagedInput
from clinimm.io.codestream import Codestream, is_cut_off, read_codestream
from clinimm.io.dicom_header import Instance
from clinimm.io.dicom_layout import Layout
from clinimm.io.inflate import RAW, inflate
from clinimm.io.shrink import last_halving

Frame = Shaped[np.ndarray, "h w"] | Shaped[np.ndarray, "h w 3"]

JPEG_BASELINE, JPEG_EXTENDED = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"
DEFLATED_FRAMES, RLE = "1.2.840.10008.1.2.8.1", "1.2.840.10008.1.2.5"
WAVELET_SYNTAXES = ("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91")
MOST_PRECISE = 12  # bits of a lossy JPEG (ISO/IEC 10918-1, processes 2 and 4)
RLE_MOST = 64  # a run of 128 equal bytes takes two


def decode_frame(frame: bytes, instance: Instance, layout: Layout, halvings: int = 0) -> tuple[Frame, str]:
    """The samples as stored, and the photometric interpretation they came out in. Gray JPEG 2000 is not decoded to its
    finest levels where both sides are to be halved `halvings` times anyway, and comes out float and that much smaller.

    Raises DamagedInput where the frame is not what was declared."""
    stream = check_frame(frame, instance, layout)
    if stream is not None and halvings > 1 and _may_halve(stream, instance, layout, halvings):
        return _halved(frame, stream, layout, halvings), layout.photometric
    return DECODERS[instance.syntax](frame, instance, layout)


def check_frame(frame: bytes, instance: Instance, layout: Layout) -> Codestream | None:
    """What the frame says of itself, where it says so. Raises DamagedInput where it ends too early or has another size
    than the header declares; nothing is decoded."""
    if instance.syntax == RLE and layout.frame_bits // 8 > RLE_MOST * len(frame):
        raise DamagedInput("truncated_pixels", "its run-length bytes cannot fill the picture", where=instance.where)
    if instance.syntax in (RLE, DEFLATED_FRAMES):
        return None
    if is_cut_off(frame):
        raise DamagedInput("truncated_pixels", "its compressed frame ends too early", where=instance.where)
    stream = read_codestream(frame)
    if stream is not None and (stream.rows, stream.columns) != (layout.rows, layout.columns):
        raise DamagedInput("size_mismatch", "its compressed frame has another size than declared", where=instance.where)
    return stream


def _may_halve(stream: Codestream, instance: Instance, layout: Layout, halvings: int) -> bool:
    known = stream.components == 1 and stream.signed == layout.signed and stream.precision <= min(16, layout.stored)
    return instance.syntax in WAVELET_SYNTAXES and known and halvings <= stream.levels


def _halved(frame: bytes, stream: Codestream, layout: Layout, halvings: int) -> Float32[np.ndarray, "h w"]:
    """By Pillow, the one plugin that can stop early; it stops one level before, and the last step centers the pixels.

    Pillow moves samples up to fill 8 or 16 bits, and signed ones to be positive; both are undone here."""
    image = Image.open(BytesIO(frame), formats=("JPEG2000",))
    if not isinstance(image, Jpeg2KImageFile):
        raise TypeError("Pillow opened something else")
    levels = halvings - 1
    image.reduce = levels
    # Pillow rounds the smaller size to the nearest, JPEG 2000 rounds it up; told a multiple, both agree.
    image._size = tuple(-(-side >> levels) << levels for side in image.size)
    samples = np.asarray(image)
    samples = samples >> (8 * samples.dtype.itemsize - stream.precision)
    values = last_halving(samples, levels, stream.low_pass_variance)
    values = values[: layout.rows >> halvings, : layout.columns >> halvings]
    return values - np.float32(1 << (stream.precision - 1)) if layout.signed else values


def _with_plugin(plugin: str) -> Callable[[bytes, Instance, Layout], tuple[Frame, str]]:
    def decode(frame: bytes, instance: Instance, layout: Layout) -> tuple[Frame, str]:
        array, properties = get_decoder(instance.syntax).as_array(
            encapsulate([frame], has_bot=False), index=0, raw=True, decoding_plugin=plugin, **_options(layout)
        )
        return array, str(properties["photometric_interpretation"])

    return decode


def _options(layout: Layout) -> dict[str, Any]:
    return {
        "rows": layout.rows,
        "columns": layout.columns,
        "number_of_frames": 1,
        "samples_per_pixel": layout.samples,
        "planar_configuration": layout.planar,
        "bits_allocated": layout.allocated,
        "bits_stored": layout.stored,
        "pixel_representation": int(layout.signed),
        "photometric_interpretation": layout.photometric,
        "pixel_keyword": "PixelData",
    }


def _rle(frame: bytes, instance: Instance, layout: Layout) -> tuple[Frame, str]:
    if layout.allocated > 1:
        return _with_plugin("pylibjpeg")(frame, instance, layout)
    packed = np.frombuffer(decode_segment(frame[64:]), np.uint8)
    return _unpacked(packed, instance, layout), layout.photometric


def _deflated(frame: bytes, instance: Instance, layout: Layout) -> tuple[Frame, str]:
    size = (layout.frame_bits + 7) // 8
    packed = np.frombuffer(inflate(frame, RAW, size + 1, instance.where), np.uint8)
    if layout.allocated == 1:
        return _unpacked(packed, instance, layout), layout.photometric
    _check_size(packed.size, size, instance)
    shape = (layout.rows, layout.columns, layout.samples)[: 2 + (layout.samples > 1)]
    return packed[:size].view(layout.dtype.newbyteorder("<")).reshape(shape), layout.photometric


def _unpacked(packed: Shaped[np.ndarray, " bytes"], instance: Instance, layout: Layout) -> Shaped[np.ndarray, "h w"]:
    bits = np.unpackbits(packed, bitorder="little")
    _check_size(bits.size, layout.rows * layout.columns, instance)
    return bits[: layout.rows * layout.columns].reshape(layout.rows, layout.columns)


def _check_size(actual: int, expected: int, instance: Instance) -> None:
    if actual < expected:
        raise DamagedInput("truncated_pixels", "its compressed frame ends too early", where=instance.where)


def _jpeg_extended(frame: bytes, instance: Instance, layout: Layout) -> tuple[Frame, str]:
    """8 bits by Pillow; 12 bits by gdcm, which pydicom does not let through."""
    stream = read_codestream(frame)
    if stream is not None and stream.precision == 8:
        return _with_plugin("pillow")(frame, instance, layout)
    return _with_gdcm(frame, instance, layout)


def _with_gdcm(frame: bytes, instance: Instance, layout: Layout) -> tuple[Frame, str]:
    """12-bit JPEG, which pydicom does not let gdcm decode though it does so rightly."""
    stream = read_codestream(frame)
    if stream is None or stream.components != layout.samples:
        raise DamagedInput("bad_codestream", "its JPEG markers cannot be followed", where=instance.where)
    raw = _gdcm_bytes(frame, instance.syntax, stream, layout)
    dtype = np.dtype(np.uint8 if stream.precision <= 8 else np.uint16)
    shape = (layout.rows, layout.columns, layout.samples)[: 2 + (layout.samples > 1)]
    _check_size(len(raw), prod(shape) * dtype.itemsize, instance)
    samples = np.frombuffer(raw, dtype, count=prod(shape)).reshape(shape)
    if layout.signed:
        return samples.astype(layout.dtype), layout.photometric
    # A lossy frame overshoots the bits stored where its own precision is higher; cut off, or white would turn black.
    return np.minimum(samples, (1 << layout.stored) - 1), layout.photometric


def _gdcm_bytes(frame: bytes, syntax: UID, stream: Codestream, layout: Layout) -> bytes:
    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(frame)
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((layout.columns, layout.rows, 1))
    image.SetDataElement(element)
    kind = gdcm.PhotometricInterpretation.GetPIType(layout.photometric)
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(kind))
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(str(syntax))))
    # The header's own bits stored would cut off what overshoots them; gdcm itself writes 16 where it means 12.
    precision = min(stream.precision, MOST_PRECISE)
    image.SetPixelFormat(gdcm.PixelFormat(layout.samples, 8 if precision <= 8 else 16, precision, precision - 1, 0))
    # gdcm hands its bytes over as a str
    return bytes(image.GetBuffer().encode("utf-8", "surrogateescape"))


_OPENJPEG = _with_plugin("pylibjpeg")
DECODERS: dict[str, Callable[[bytes, Instance, Layout], tuple[Frame, str]]] = {
    JPEG_BASELINE: _with_plugin("pillow"),
    JPEG_EXTENDED: _jpeg_extended,
    "1.2.840.10008.1.2.4.55": _with_gdcm,
    "1.2.840.10008.1.2.4.57": _with_plugin("gdcm"),
    "1.2.840.10008.1.2.4.70": _with_plugin("gdcm"),
    "1.2.840.10008.1.2.4.80": _with_plugin("pyjpegls"),
    "1.2.840.10008.1.2.4.81": _with_plugin("pyjpegls"),
    "1.2.840.10008.1.2.4.90": _OPENJPEG,
    "1.2.840.10008.1.2.4.91": _OPENJPEG,
    "1.2.840.10008.1.2.4.201": _OPENJPEG,
    "1.2.840.10008.1.2.4.202": _OPENJPEG,
    "1.2.840.10008.1.2.4.203": _OPENJPEG,
    RLE: _rle,
    DEFLATED_FRAMES: _deflated,
}
