"""Laboratory panels: measurements -> standardized values."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64

from clinimm.data.quality.panel import PANEL, panel_quality
from clinimm.data.seen import Seen
from clinimm.errors import UnsupportedInput
from clinimm.io.labs import canonical
from clinimm.types import Measurements, Modality

_NORMAL_IQR = 1.349  # interquartile range of the standard normal distribution


@dataclass(frozen=True)
class PanelDoor:
    """`center` and `scale`, in the analytes' units, of the training cases: median and interquartile range as a standard
    deviation."""

    modality: Modality
    center: Float64[np.ndarray, " f"]
    scale: Float64[np.ndarray, " f"]

    @classmethod
    def fit(cls, modality: Modality, panels: Iterable[Measurements]) -> "PanelDoor":
        """An analyte that no training case has is centered at 0 with scale 1."""
        known = [canonical(panel.values, modality.analytes).values for panel in panels]
        stacked = np.array(known).reshape(-1, len(modality.analytes))
        measured = [column[~np.isnan(column)] for column in stacked.T]
        center = [float(np.median(column)) if len(column) else 0.0 for column in measured]
        return cls(modality, np.array(center), np.array([_spread(column) for column in measured]))

    @classmethod
    def from_record(cls, modality: Modality, record: dict[str, Any]) -> "PanelDoor":
        return cls(modality, np.array(record["center"], dtype=float), np.array(record["scale"], dtype=float))

    def record(self) -> dict[str, Any]:
        return {"center": self.center.tolist(), "scale": self.scale.tolist()}

    def see(self, given: Measurements) -> Seen:
        """asinh((value - center) / scale): 0 at the training median, linear near it, logarithmic far out. Raises
        InputError if no analyte of the model is left: `implausible_lab` if that is why, or `no_usable_value`."""
        panel = canonical(given.values, self.modality.analytes)
        known = ~np.isnan(panel.values)
        if not known.any():
            reasons = {flag.partition(":")[0] for flag in panel.flags}
            faults = reasons - {"unit_alias", "unused_input"}
            code = "implausible_lab" if faults == {"implausible_lab"} else "no_usable_value"
            told = ", ".join(sorted(reasons)) or "none given"
            raise UnsupportedInput(code, f"no value of the panel can be used ({told})")
        values = np.where(known, np.arcsinh((panel.values - self.center) / self.scale), 0.0)
        quality = panel_quality(int(known.sum()), len(_refused(panel.flags)) + given.refused_before, len(known))
        return Seen(torch.tensor(values, dtype=torch.float32), torch.tensor(known), quality, panel.flags)

    def blank(self) -> Seen:
        length = len(self.center)
        return Seen(torch.zeros(length), torch.zeros(length, dtype=torch.bool), torch.zeros(len(PANEL)))


def _refused(flags: Iterable[str]) -> set[str]:
    """The analytes that a panel's flags say were sent and left out."""
    pairs = (flag.partition(":") for flag in flags)
    return {name for code, _, name in pairs if code not in ("unit_alias", "unused_input")}


def _spread(column: Float64[np.ndarray, " n"]) -> float:
    if len(column) < 2:
        return 1.0
    low, high = np.quantile(column, [0.25, 0.75])
    return float((high - low) / _NORMAL_IQR or column.std() or 1.0)
