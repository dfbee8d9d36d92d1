"""Lookup tables: modality, VOI and palette, checked before use."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Shaped
from pydicom.dataset import Dataset
from pydicom.pixels import apply_color_lut

from clinimm.errors import DamagedInput
from clinimm.io.dicom_header import Instance, damage_is_named
from clinimm.io.dicom_layout import Layout
from clinimm.io.dicom_pixels import LUMA


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
    """The luminance, in [0, 1], of every stored value of a PALETTE COLOR picture."""
    with damage_is_named("bad_palette", "its palette cannot be parsed", instance.where):
        every = np.arange(1 << min(16, layout.stored), dtype=np.uint8 if layout.stored <= 8 else np.uint16)
        colors = apply_color_lut(every.reshape(1, -1), instance.header)[0]
        weights = np.asarray(LUMA, np.float32) / np.float32(np.iinfo(colors.dtype).max)
        return colors[:, :3].astype(np.float32) @ weights
