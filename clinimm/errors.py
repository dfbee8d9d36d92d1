"""Every error clinimm raises on purpose, each saying what, where and how to mend it.

ClinimmError
├── ConfigError          a setting is unknown, misspelt or contradicts another
├── ManifestError        a manifest cannot be used; lists every fault at once
├── InputError           one input of one case cannot be used; `code` is the machine's word for why
│   ├── UnsupportedInput     a sound file of a kind that clinimm does not read
│   ├── DamagedInput         a file that breaks its own format's rules
│   └── ResourceLimit        reading it would take more memory, time or pixels than allowed
├── ArtifactError        a trained model on disk is missing a part, or does not match its hashes
├── BackboneError        an image-text backbone, or a checkpoint to import, cannot be used
├── TrainingError        a run cannot start or go on
└── ReportError          a report cannot be drawn in the form that was asked for
"""

from collections.abc import Sequence
from dataclasses import dataclass


class ClinimmError(Exception):
    """What went wrong, where, and how to mend it. Never carries patient data."""

    def __init__(self, what: str, *, where: str = "", mend: str = "") -> None:
        self.what, self.where, self.mend = what, where, mend
        place = f"{where}: " if where else ""
        advice = f"\n  to mend: {mend}" if mend else ""
        super().__init__(f"{place}{what}{advice}")


class ConfigError(ClinimmError):
    """A setting is unknown, misspelt or contradicts another."""


@dataclass(frozen=True)
class Fault:
    """One thing wrong in one place of a file. `row` counts from 1, the header being row 1."""

    code: str
    what: str
    row: int | None = None
    column: str | None = None
    mend: str = ""

    def __str__(self) -> str:
        place = ", ".join(
            [f"row {self.row}"] * (self.row is not None) + [f"column {self.column}"] * (self.column is not None)
        )
        return (f"{place}: " if place else "") + self.what + (f" (to mend: {self.mend})" if self.mend else "")


class ManifestError(ClinimmError):
    """A manifest cannot be used; `faults` holds every fault that was found."""

    def __init__(self, faults: Sequence[Fault], *, where: str) -> None:
        self.faults = tuple(faults)
        lines = "\n".join(f"  {fault}" for fault in self.faults)
        super().__init__(f"{len(self.faults)} fault(s)\n{lines}", where=where)


class InputError(ClinimmError):
    """One input of one case cannot be used. `code` is stable and fit for machines."""

    def __init__(self, code: str, what: str, *, where: str = "", mend: str = "") -> None:
        self.code = code
        super().__init__(what, where=where, mend=mend)


class UnsupportedInput(InputError):
    """A sound file of a kind that clinimm does not read."""


class DamagedInput(InputError):
    """A file that breaks its own format's rules."""


class ResourceLimit(InputError):
    """Reading it would take more memory, time or pixels than is allowed. `limit` and `actual` are told where both are
    counts of one thing."""

    def __init__(
        self,
        code: str,
        what: str,
        *,
        where: str = "",
        mend: str = "",
        limit: int | None = None,
        actual: int | None = None,
    ) -> None:
        self.limit, self.actual = limit, actual
        super().__init__(code, what, where=where, mend=mend)


class ArtifactError(ClinimmError):
    """A trained model on disk is missing a part, or does not match its hashes."""


class BackboneError(ClinimmError):
    """An image-text backbone on disk, or a checkpoint that was to become one, cannot be used."""


class TrainingError(ClinimmError):
    """A run cannot start or go on."""


class ReportError(ClinimmError):
    """A report cannot be drawn in the form that was asked for."""
