"""Films and volumes: file -> windowed pixels -> the model's grid."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from clinimm.data.geometry import Geometry, geometry_of
from clinimm.data.picture import Placement, onto_grid, place
from clinimm.data.quality.picture import PICTURE, picture_quality
from clinimm.data.seen import Seen
from clinimm.errors import InputError, UnsupportedInput
from clinimm.io.sandbox import Sandbox
from clinimm.io.scan_types import Orientation
from clinimm.types import ImageFile, Modality

_BLANK = 1e-4  # standard deviation, in [0, 1], under which a picture shows nothing
_ENOUGH = 4  # stored pixels a side of the grid that are worth keeping for its averages


@dataclass(frozen=True)
class Look:
    """A picture read: `whole` in [0, 1], `pixels` its crop on the model's grid, where it stands as `placement` says;
    where it lies in the patient, what its file tells, and the reader's flags. `spacing_mm` is between pixels of
    `whole`."""

    whole: Float[Tensor, "h w *d"]
    pixels: Float[Tensor, "1 ..."]
    placement: Placement
    spacing_mm: tuple[float, ...] | None
    orientation: Orientation | None
    facts: Mapping[str, Any]
    flags: tuple[str, ...]

    @property
    def stored(self) -> Float[Tensor, "h w *d"]:
        """What is within the crop."""
        placed = self.placement
        return self.whole[tuple(slice(s, s + n) for s, n in zip(placed.start, placed.extent, strict=True))]

    @property
    def geometry(self) -> Geometry:
        """Where the model's grid lies on the file's pixels."""
        return geometry_of(self.placement, self.facts)

    @property
    def shown(self) -> Float[Tensor, "h w *d"]:
        """What of the grid shows the picture: all but the padding."""
        placed = self.placement
        inside = (slice(start, start + n) for start, n in zip(placed.offset, placed.resized, strict=True))
        return self.pixels[0][tuple(inside)]

    @property
    def blank(self) -> InputError | None:
        if float(self.shown.std(correction=0)) >= _BLANK:
            return None
        return InputError("blank", "the picture is of one color", mend="send it again")


@dataclass(frozen=True)
class PictureDoor:
    """Reads through the sandbox, so that a hostile file can harm nothing. Nothing of it is fitted."""

    modality: Modality
    sandbox: Sandbox
    window: Literal["voi", "full"] | tuple[float, float] = "voi"
    mean: float = 0.5
    std: float = 0.25

    def see(self, given: ImageFile) -> Seen:
        """Standardized pixels; a picture of one color is seen and refused. Raises InputError: what the reader says, or
        `wrong_dimensions`."""
        look = self.look(given)
        quality = picture_quality(look.shown, look.stored, look.facts)
        values = (look.pixels - self.mean) / self.std
        return Seen(values, None, quality, look.flags, look.facts.get("acquired_at"), look.blank)

    def pixels(self, given: ImageFile) -> tuple[Float[Tensor, "1 ..."], tuple[str, ...]]:
        """Pixels in [0, 1] on the model's grid, (1, h, w[, d]), and the reader's flags. Raises InputError as `see`
        does, and `blank`."""
        look = self.look(given)
        if look.blank is not None:
            raise look.blank
        return look.pixels, look.flags

    def looks(self, values: Float[Tensor, "1 ..."]) -> Float[Tensor, " q"]:
        """The quality of a picture as far as its standardized pixels on the model's grid tell it."""
        pixels = (values[0] * self.std + self.mean).clamp(0, 1)
        return picture_quality(pixels, pixels, {})

    def look(self, given: ImageFile) -> Look:
        size = self.modality.shape[1:]
        scan = self.sandbox.read(given.paths, self.window, at_least=_ENOUGH * max(size))
        if scan.pixels.ndim != len(size):
            raise UnsupportedInput(
                "wrong_dimensions",
                f"a picture of {scan.pixels.ndim} dimensions where the model takes {len(size)}",
                mend="send one frame for a film, a series for a volume",
            )
        stored = torch.from_numpy(np.ascontiguousarray(scan.pixels))
        placement = place(tuple(stored.shape), size, given.crop)
        pixels = onto_grid(stored, placement).clamp(0, 1)
        return Look(stored, pixels, placement, scan.spacing_mm, scan.orientation, scan.facts, scan.flags)

    def blank(self) -> Seen:
        return Seen(torch.zeros(self.modality.shape), None, torch.zeros(len(PICTURE)))

    def record(self) -> dict[str, Any]:
        return {}
