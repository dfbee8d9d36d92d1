"""From stored values to modality units, and the window that the file asks for."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Shaped
from pydicom.dataset import Dataset

from clinimm.errors import DamagedInput
from clinimm.io.dicom_header import Instance, code_text, numbers
from clinimm.io.dicom_layout import MONOCHROME, Layout
from clinimm.io.dicom_tables import Table, palette_luma, read_table
from clinimm.io.shrink import block_mean
from clinimm.io.window import FUNCTIONS, Lookup, Window, spanning

LARGEST = 1e12


@dataclass(frozen=True, eq=False)
class Tone:
    """How one frame's stored values become modality units: by `table`, or by slope and intercept. `voi` is the window
    that the file asks for; `padding` the inclusive range of stored values that mean no pixel."""

    slope: float
    intercept: float
    table: Table | None
    palette: Float32[np.ndarray, " entries"] | None
    voi: Window | Lookup | None
    padding: tuple[float, float] | None
    inverted: bool
    flags: tuple[str, ...]

    def modality_values(self, stored: Shaped[np.ndarray, "h w"], factor: int) -> Float32[np.ndarray, "H W"]:
        """Modality units after averaging blocks of `factor` x `factor` pixels."""
        if self.palette is not None:
            return block_mean(np.take(self.palette, stored, mode="clip"), factor)
        if self.padding is not None:
            stored = _without_padding(stored, self.padding, self.inverted)
        if self.table is not None:
            return block_mean(self.table.look_up(stored), factor)
        values = block_mean(stored, factor)
        if (self.slope, self.intercept) == (1, 0):
            return values
        return np.add(values * np.float32(self.slope), np.float32(self.intercept), dtype=np.float32)


def read_tone(instance: Instance, layout: Layout, groups: Sequence[Dataset]) -> Tone:
    """The tone of a frame whose attributes are in `groups`, the first that has one counting.

    Raises DamagedInput for a rescale, window or table that no sound file has."""
    slope, intercept, table = _modality(instance, layout, groups)
    voi, flags = _voi(instance, layout, groups)
    palette = palette_luma(instance, layout) if layout.photometric == "PALETTE COLOR" else None
    return Tone(
        slope=slope,
        intercept=intercept,
        table=table,
        palette=palette,
        voi=Window(0.5, 1.0, "LINEAR_EXACT", "nominal") if palette is not None else voi,
        padding=_padding(instance, layout),
        inverted=_is_inverted(instance.header, layout),
        flags=flags,
    )


def _is_inverted(header: Dataset, layout: Layout) -> bool:
    """Shown with its smallest value white. DX says so twice, by MONOCHROME1 and by INVERSE, and means it once."""
    return layout.photometric == "MONOCHROME1" or (
        layout.photometric in MONOCHROME and code_text(header, "PresentationLUTShape") == "INVERSE"
    )


def _modality(instance: Instance, layout: Layout, groups: Sequence[Dataset]) -> tuple[float, float, Table | None]:
    if layout.photometric not in MONOCHROME:
        return 1.0, 0.0, None
    for group in groups:
        if _has_table(group, "ModalityLUTSequence"):
            return 1.0, 0.0, read_table(group.ModalityLUTSequence[0], instance)
        slope, intercept = (numbers(group, f"Rescale{part}", instance.where) for part in ("Slope", "Intercept"))
        if slope or intercept:
            return _checked_rescale(slope[0] if slope else 1.0, intercept[0] if intercept else 0.0, instance)
    dose = numbers(instance.header, "DoseGridScaling", instance.where)
    return _checked_rescale(dose[0] if dose else 1.0, 0.0, instance)


def _has_table(group: Dataset, keyword: str) -> bool:
    """Some writers leave an item there with nothing in it."""
    items = group.get(keyword)
    return bool(items) and bool(items[0].get("LUTDescriptor"))


def _checked_rescale(slope: float, intercept: float, instance: Instance) -> tuple[float, float, None]:
    if not 1 / LARGEST <= abs(slope) <= LARGEST or abs(intercept) > LARGEST:
        raise DamagedInput("bad_rescale", "its rescale slope or intercept is absurd", where=instance.where)
    return slope, intercept, None


def _voi(
    instance: Instance, layout: Layout, groups: Sequence[Dataset]
) -> tuple[Window | Lookup | None, tuple[str, ...]]:
    if layout.photometric not in MONOCHROME:
        return spanning(0.0, float((1 << layout.stored) - 1), "nominal"), ()
    if layout.stored == 1:
        return spanning(0.0, 1.0, "nominal"), ()
    for group in groups:
        if _has_table(group, "VOILUTSequence"):
            table = read_table(group.VOILUTSequence[0], instance)
            return Lookup(table.first, table.entries / np.float32((1 << table.bits) - 1)), ()
        centers, widths = (numbers(group, f"Window{part}", instance.where) for part in ("Center", "Width"))
        if centers and widths:
            return _checked_window(centers[0], widths[0], group, instance)
    return None, ()


def _checked_window(
    center: float, width: float, group: Dataset, instance: Instance
) -> tuple[Window | None, tuple[str, ...]]:
    if abs(center) > LARGEST or width > LARGEST:
        raise DamagedInput("bad_window", "its window is absurd", where=instance.where)
    if width <= 0:
        return None, ("window_ignored",)
    function = code_text(group, "VOILUTFunction") or "LINEAR"
    if function not in FUNCTIONS:
        return None, ("window_ignored",)
    return Window(center, width, function), ()


def _padding(instance: Instance, layout: Layout) -> tuple[float, float] | None:
    if layout.photometric not in MONOCHROME or "PixelPaddingValue" not in instance.header:
        return None
    ends = [
        end
        for keyword in ("PixelPaddingValue", "PixelPaddingRangeLimit")
        for end in numbers(instance.header, keyword, instance.where)[:1]
    ]
    return (min(ends), max(ends)) if ends else None


def _without_padding(
    stored: Shaped[np.ndarray, "h w"], padding: tuple[float, float], inverted: bool
) -> Shaped[np.ndarray, "h w"]:
    """Padding takes the value that is shown black among the real pixels, so that it moves no window."""
    padded = (stored >= padding[0]) & (stored <= padding[1])
    if not padded.any() or padded.all():
        return stored
    real = stored[~padded]
    return np.where(padded, real.max() if inverted else real.min(), stored)
