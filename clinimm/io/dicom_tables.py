"""Lookup tables: modality, VOI and palette, checked before use."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Shaped
from pydicom.dataset import Dataset

from clinimm.errors import DamagedInput, UnsupportedInput
from clinimm.io.dicom_header import Instance, damage_is_named
from clinimm.io.dicom_layout import Layout
from clinimm.io.dicom_pixels import LUMA

DISCRETE, LINEAR = 0, 1


@dataclass(frozen=True, eq=False)
class Table:
    """Stored value `first` and all below take `entries[0]`; `bits` is the declared depth of an entry."""

    first: int
    entries: Float32[np.ndarray, " entries"]
    bits: int

    def look_up(self, stored: Shaped[np.ndarray, "h w"]) -> Float32[np.ndarray, "h w"]:
        index = stored if stored.dtype.kind == "u" and self.first == 0 else stored.astype(np.int64) - self.first
        return np.take(self.entries, index, mode="clip")


def read_table(item: Dataset, instance: Instance) -> Table:
    """A LUT of one item of a sequence (PS3.3 C.11.1.1, C.11.2.1.1). Raises DamagedInput `bad_lut`."""
    with damage_is_named("bad_lut", "a lookup table cannot be parsed", instance.where):
        count, first, bits = (int(v) for v in item["LUTDescriptor"].value)
        data = item["LUTData"].value
        count = count or 1 << 16
        entries = _entries(data, count, instance.little)
    if not (entries.size == count and 8 <= bits <= 16 and -(1 << 15) <= first < 1 << 16):
        raise DamagedInput("bad_lut", "a lookup table contradicts its descriptor", where=instance.where)
    return Table(first, entries.astype(np.float32), bits)


def _entries(data: bytes | list[int], count: int, little: bool) -> Shaped[np.ndarray, " entries"]:
    """Values, or their bytes: two to an entry, or one where there are just as many bytes as entries."""
    if not isinstance(data, bytes):
        return np.atleast_1d(np.asarray(data, np.int64))
    if len(data) - count in (0, 1) and count > 2:
        return np.frombuffer(data, np.uint8)[:count]
    return np.frombuffer(data, "<u2" if little else ">u2")


def palette_luma(instance: Instance, layout: Layout) -> Float32[np.ndarray, " entries"]:
    """The luminance, in [0, 1], of every stored value of a PALETTE COLOR picture. Raises DamagedInput `bad_palette`."""
    stored = np.arange(1 << min(16, layout.stored)).reshape(1, -1)
    with damage_is_named("bad_palette", "its palette cannot be parsed", instance.where):
        tables = [_palette(instance, color) for color in ("Red", "Green", "Blue")]
        most = [np.float32((1 << table.bits) - 1) for table in tables]
        colors = [table.look_up(stored)[0] / scale for table, scale in zip(tables, most, strict=True)]
    luma = sum((np.float32(weight) * color for weight, color in zip(LUMA, colors, strict=True)), np.zeros(stored.size))
    return np.clip(luma, 0, 1).astype(np.float32)


def _palette(instance: Instance, color: str) -> Table:
    """One color's table, whole or in segments (PS3.3 C.7.6.3.1.5, C.7.9.2)."""
    header, little = instance.header, instance.little
    count, first, bits = (int(v) for v in header[f"{color}PaletteColorLookupTableDescriptor"].value)
    count = count or 1 << 16
    whole = header.get(f"{color}PaletteColorLookupTableData")
    if whole is None:
        segments = header[f"Segmented{color}PaletteColorLookupTableData"].value
        dtype = np.dtype(np.uint8) if bits == 8 else np.dtype("<u2" if little else ">u2")
        entries = expand_segments([int(v) for v in np.frombuffer(segments, dtype)], count, instance.where)
    else:
        entries = _entries(whole, count, little)
        # Where there is one byte an entry, they have 8 bits whatever the descriptor says.
        bits = 8 if entries.dtype.itemsize == 1 else bits
    if entries.size < count or bits not in (8, 16):
        raise DamagedInput("bad_palette", "its palette contradicts its descriptor", where=instance.where)
    return Table(first, entries[:count].astype(np.float32), bits)


def expand_segments(words: Sequence[int], count: int, where: str) -> Shaped[np.ndarray, " entries"]:
    """The entries of a segmented palette: runs of values, and straight lines from the last entry to a value.

    Raises UnsupportedInput for segments that refer to others, which readers do not agree on."""
    entries: list[float] = []
    at = 0
    while at + 2 < len(words) and len(entries) < count:
        code, length = words[at], words[at + 1]
        if code == DISCRETE:
            entries += words[at + 2 : at + 2 + length]
            at += 2 + length
        elif code == LINEAR:
            entries += np.linspace(entries[-1], words[at + 2], length + 1)[1:].tolist()
            at += 3
        else:
            raise UnsupportedInput("unsupported_palette", "its palette has indirect segments", where=where)
    return np.rint(entries)
