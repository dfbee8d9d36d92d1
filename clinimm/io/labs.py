"""A panel of laboratory values: from the units they were reported in to those the model sees, or refused by name.

Nothing is guessed: a value whose unit is missing, unknown or of another quantity is left out and flagged."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from numbers import Real

import numpy as np
from jaxtyping import Float64

from clinimm.errors import ConfigError, InputError
from clinimm.io import ucum
from clinimm.io.lab_reading import Reading, declared, match, read
from clinimm.types import Analyte, Measurement

SAME = 1e-9  # relative: what two conversions of one value may differ by


@dataclass(frozen=True)
class LabPanel:
    """`values` in the analytes' units and order, NaN where unknown or refused; `flags` are codes, `code:analyte`."""

    values: Float64[np.ndarray, " f"]
    flags: tuple[str, ...] = ()


def canonical(measurements: Sequence[Measurement], analytes: Sequence[Analyte]) -> LabPanel:
    """The panel that the measurements make, each read as `lab_reading.read` reads it for the service too.

    A flag tells of each `unit_alias`, and of each value that was left out: `unit_missing`, `unit_unknown`,
    `unit_incompatible`, `not_a_number`, `suspected_unit_error`, `implausible_lab`, `conflicting_lab` (two values of one
    analyte: neither is used) or `unused_input` (no such analyte). Raises ConfigError if the unit of an analyte is not
    UCUM."""
    meant = [match(m.name, analytes, unit=m.unit) for m in measurements]
    flags = [f"unused_input:{m.name}" for m, analyte in zip(measurements, meant, strict=True) if analyte is None]
    values = []
    for analyte in analytes:
        readings = [_reading(m, analyte) for m, a in zip(measurements, meant, strict=True) if a == analyte]
        value, found = _settled(readings)
        values.append(value)
        flags += [f"{code}:{analyte.name}" for code in found]
    return LabPanel(np.array(values, dtype=np.float64), tuple(dict.fromkeys(flags)))


def check_units(analytes: Sequence[Analyte], where: str = "") -> None:
    """Raises ConfigError that names every analyte whose unit is not UCUM."""
    wrong = [analyte for analyte in analytes if not _is_unit(analyte.unit)]
    if wrong:
        units = ", ".join(f"{analyte.name} in {analyte.unit!r}" for analyte in wrong)
        raise ConfigError(f"not a UCUM unit: {units}", where=where, mend="write it as on ucum.org, such as 10*9/L")


def same(a: float, b: float) -> bool:
    """Whether two values are one, but for the rounding of two conversions."""
    return math.isclose(a, b, rel_tol=SAME)


def _settled(readings: Sequence[Reading]) -> tuple[float, list[str]]:
    """The one value of an analyte, or NaN, and the codes of what happened."""
    codes = [flag for reading in readings for flag in reading.flags if flag == "unit_alias"]
    known = [reading for reading in readings if not math.isnan(reading.value)]
    codes += [reading.code for reading in readings if math.isnan(reading.value)]
    if not known:
        return math.nan, codes
    if any(not same(reading.value, known[0].value) for reading in known):
        return math.nan, [*codes, "conflicting_lab"]
    refused = [reading.code for reading in known if reading.code]
    return (math.nan, codes + refused) if refused else (known[0].value, codes)


def _reading(measurement: Measurement, analyte: Analyte) -> Reading:
    """True, false, text, NaN and infinities are no measurements."""
    declared(analyte)
    value: object = measurement.value
    if isinstance(value, bool) or not isinstance(value, Real) or not _is_finite(value):
        return Reading(math.nan, "not_a_number")
    return read(Fraction(float(value)), measurement.unit, analyte, doubt=not measurement.settled)


def _is_finite(value: Real) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an int too large for a float
        return False


def _is_unit(text: str) -> bool:
    try:
        ucum.parse(text)
    except InputError:
        return False
    return True
