"""The frames of one instance as stored, one after the other; colors come out as luminance."""

from collections.abc import Iterator
from io import BytesIO

import numpy as np
from jaxtyping import Float32, Shaped
from pydicom.encaps import generate_frames

from clinimm.errors import DamagedInput
from clinimm.io.dicom_codecs import Frame, check_frame, decode_frame
from clinimm.io.dicom_header import Instance, damage_is_named
from clinimm.io.dicom_layout import Layout

LUMA = (0.299, 0.587, 0.114)

FRAGMENT = b"\xfe\xff\x00\xe0"  # an item, in the little endian that all compressed files have


def stored_frames(instance: Instance, layout: Layout, halvings: int) -> Iterator[Shaped[np.ndarray, "h w"]]:
    """Each frame's stored values: integers cleaned of bits that hold no pixel, or luminance where it is colored.

    A frame of JPEG 2000 may come out smaller, both sides halved `halvings` times."""
    frames = _compressed(instance, layout, halvings) if instance.encapsulated else _native(instance, layout)
    for frame, photometric in frames:
        clean = _stored_bits(frame, layout)
        yield clean if clean.ndim == 2 else _luminance(clean, photometric)


def check_frames(instance: Instance, layout: Layout) -> None:
    """Look at every compressed frame without decoding it. Raises DamagedInput where frames are missing, end too early
    or are of another size, with the codes that decoding them would give."""
    if instance.encapsulated:
        with damage_is_named("undecodable_pixels", "its pixels are not in frames", instance.where):
            for frame in _packed_frames(instance, layout):
                check_frame(frame, instance, layout)


def _compressed(instance: Instance, layout: Layout, halvings: int) -> Iterator[tuple[Frame, str]]:
    for frame in _packed_frames(instance, layout):
        yield decode_frame(frame, instance, layout, halvings)


def _packed_frames(instance: Instance, layout: Layout) -> Iterator[bytes]:
    """The bytes of as many frames as are declared. Raises DamagedInput where there are fewer."""
    _check_fragments(instance)
    stream = BytesIO(instance.body)
    stream.seek(instance.pixels.start)
    table = instance.header.get("ExtendedOffsetTable"), instance.header.get("ExtendedOffsetTableLengths")
    offsets = (table[0], table[1]) if table[0] and table[1] else None
    found = 0
    for frame in generate_frames(stream, number_of_frames=layout.frames, extended_offsets=offsets):
        yield frame
        found += 1
        if found == layout.frames:
            return
    raise DamagedInput("truncated_pixels", f"holds {found} of {layout.frames} frames", where=instance.where)


def _check_fragments(instance: Instance) -> None:
    """Raises DamagedInput where a fragment says that it goes on beyond the end of the file: of some codecs a decoder
    alone would find that its frame is cut."""
    body, at = instance.body, instance.pixels.start
    while body[at : at + 4] == FRAGMENT:
        at += 8 + int.from_bytes(body[at + 4 : at + 8], "little")
    if at > len(body):
        raise DamagedInput("truncated_pixels", "a fragment of its pixels is cut off", where=instance.where)


def _native(instance: Instance, layout: Layout) -> Iterator[tuple[Frame, str]]:
    """Views of the file's own bytes, wherever the bits are whole bytes."""
    for index in range(layout.frames):
        if layout.allocated == 1:
            yield _one_bit(instance, layout, index), layout.photometric
            continue
        size = layout.frame_bits // 8
        count, start = size // layout.dtype.itemsize, instance.pixels.start + index * size
        dtype = layout.dtype.newbyteorder("<" if instance.little else ">")
        flat = np.frombuffer(instance.body, dtype, count, start)
        if not instance.little and layout.allocated == 8 and instance.pixels.vr == b"OW":
            flat = _swapped(instance, layout, index)
        yield _shaped(flat, layout), layout.photometric


def _one_bit(instance: Instance, layout: Layout, index: int) -> Shaped[np.ndarray, "h w"]:
    """Frames of single bits follow each other without padding, so one may start inside a byte."""
    pixels = layout.rows * layout.columns
    first, last = index * pixels // 8, -(-(index + 1) * pixels // 8)
    packed = np.frombuffer(instance.body, np.uint8, last - first, instance.pixels.start + first)
    bits = np.unpackbits(packed, bitorder="little")
    offset = index * pixels % 8
    return bits[offset : offset + pixels].reshape(layout.rows, layout.columns)


def _swapped(instance: Instance, layout: Layout, index: int) -> Shaped[np.ndarray, " n"]:
    """Big-endian OW holds its bytes in pairs, turned round."""
    start, end = instance.pixels.start, instance.pixels.start + instance.pixels.length
    pairs = np.frombuffer(instance.body, np.uint8, (end - start) // 2 * 2, start).reshape(-1, 2)[:, ::-1].reshape(-1)
    size = layout.frame_bits // 8
    return pairs[index * size : (index + 1) * size].view(layout.dtype)


def _shaped(flat: Shaped[np.ndarray, " n"], layout: Layout) -> Frame:
    if layout.samples == 1:
        return flat.reshape(layout.rows, layout.columns)
    if layout.photometric in ("YBR_FULL_422", "YBR_PARTIAL_422"):
        # Y1 Y2 Cb Cr: the luminance alone is wanted, so the halved color need not be spread.
        luma = flat.reshape(-1, 4)[:, :2].reshape(layout.rows, layout.columns, 1)
        return np.broadcast_to(luma, (layout.rows, layout.columns, 3))
    if layout.planar == 1:
        return np.moveaxis(flat.reshape(3, layout.rows, layout.columns), 0, -1)
    return flat.reshape(layout.rows, layout.columns, 3)


def _stored_bits(frame: Frame, layout: Layout) -> Frame:
    """The value between HighBit and BitsStored below it, sign extended; overlays may hide in the bits beside it."""
    if frame.dtype.kind == "f" or layout.allocated in (1, layout.stored):
        return frame
    native = frame.astype(frame.dtype.newbyteorder("="), copy=False)
    shift, width = layout.high + 1 - layout.stored, native.dtype.itemsize * 8
    low, high = (0, (1 << layout.stored) - 1) if native.dtype.kind == "u" else _signed_range(layout.stored)
    if shift == 0 and low <= int(native.min()) and int(native.max()) <= high:
        return native
    if native.dtype.kind == "u":
        return (native >> shift) & native.dtype.type(high)
    up = max(0, width - layout.stored - shift)
    return (native << up) >> (up + shift)


def _signed_range(bits: int) -> tuple[int, int]:
    return -(1 << (bits - 1)), (1 << (bits - 1)) - 1


def _luminance(frame: Frame, photometric: str) -> Float32[np.ndarray, "h w"]:
    """Rec. 601 luma, 0.299 R + 0.587 G + 0.114 B, which is the Y of DICOM's YBR forms (PS3.3 C.7.6.3.1.2)."""
    if photometric.startswith("YBR_FULL"):
        return frame[..., 0].astype(np.float32)
    if photometric.startswith("YBR_PARTIAL"):
        return (frame[..., 0].astype(np.float32) - 16) * np.float32(255 / 219)
    luma = frame[..., 0] * np.float32(LUMA[0])
    luma += frame[..., 1] * np.float32(LUMA[1])
    luma += frame[..., 2] * np.float32(LUMA[2])
    return luma.astype(np.float32, copy=False)
