"""Films and volumes: file -> windowed pixels -> the model's grid."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from clinimm.data.picture import onto_grid, place
from clinimm.data.quality import QUALITIES, picture_quality
from clinimm.data.seen import Age, Seen
from clinimm.errors import DamagedInput, UnsupportedInput
from clinimm.io.sandbox import Sandbox
from clinimm.types import ImageFile, Kind, Modality

_BLANK = 1e-4  # standard deviation, in [0, 1], under which a picture shows nothing
_ENOUGH = 4  # stored pixels a side of the grid that are worth keeping for its averages


@dataclass(frozen=True)
class PictureDoor:
    """Reads through the sandbox, so that a hostile file can harm nothing. Nothing of it is fitted."""

    modality: Modality
    sandbox: Sandbox
    window: Literal["voi", "full"] | tuple[float, float] = "voi"
    mean: float = 0.5
    std: float = 0.25

    def see(self, given: ImageFile, age: Age) -> Seen:
        """Standardized pixels. Raises InputError: what the reader says, `wrong_dimensions` or `blank_image`."""
        pixels, flags = self.pixels(given)
        return Seen((pixels - self.mean) / self.std, None, picture_quality(pixels, age), flags)

    def pixels(self, given: ImageFile) -> tuple[Float[Tensor, "1 ..."], tuple[str, ...]]:
        """Pixels in [0, 1] on the model's grid, (1, h, w[, d]), and the reader's flags."""
        size = self.modality.shape[1:]
        scan = self.sandbox.read(given.paths, self.window, at_least=_ENOUGH * max(size))
        if scan.pixels.ndim != len(size):
            raise UnsupportedInput(
                "wrong_dimensions",
                f"a picture of {scan.pixels.ndim} dimensions where the model takes {len(size)}",
                mend="send one frame for a film, a series for a volume",
            )
        stored = torch.from_numpy(np.ascontiguousarray(scan.pixels))
        pixels = onto_grid(stored, place(tuple(stored.shape), size, given.crop)).clamp(0, 1)
        if float(pixels.std()) < _BLANK:
            raise DamagedInput("blank_image", "the picture is of one color", mend="send it again")
        return pixels, scan.flags

    def blank(self) -> Seen:
        return Seen(torch.zeros(self.modality.shape), None, torch.zeros(len(QUALITIES[Kind.IMAGE])))

    def record(self) -> dict[str, Any]:
        return {}
