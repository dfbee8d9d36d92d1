"""Laboratory values: from the unit they were reported in to the unit the model sees, or refused by name.

Nothing is guessed: a value whose unit is missing, unknown or of another quantity is left out and flagged."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real

import numpy as np
from jaxtyping import Float64

from clinimm.errors import ConfigError, InputError
from clinimm.io import ucum
from clinimm.io.unit_spellings import ALIASES
from clinimm.types import Analyte, Measurement

_SAME = 1e-9  # relative: what two conversions of one value may differ by


@dataclass(frozen=True)
class LabPanel:
    """`values` in the analytes' units and order, NaN where unknown or refused; `flags` are codes, `code:analyte`."""

    values: Float64[np.ndarray, " f"]
    flags: tuple[str, ...] = ()


def canonical(measurements: Sequence[Measurement], analytes: Sequence[Analyte]) -> LabPanel:
    """The panel that the measurements make.

    A flag tells of each `unit_alias`, and of each value that was left out: `unit_missing`, `unit_unknown`,
    `unit_incompatible` (so is mass for substance: that needs a molar mass), `not_a_number`, `implausible_lab` (outside
    `Analyte.plausible`), `conflicting_lab` (two values of one analyte: neither is used) or `unused_input` (no such
    analyte). Raises ConfigError if the unit of an analyte is not UCUM."""
    known = {analyte.name for analyte in analytes}
    flags = [f"unused_input:{m.name}" for m in measurements if m.name not in known]
    values = [_value([m for m in measurements if m.name == analyte.name], analyte, flags) for analyte in analytes]
    return LabPanel(np.array(values, dtype=np.float64), tuple(dict.fromkeys(flags)))


def check_units(analytes: Sequence[Analyte], where: str = "") -> None:
    """Raises ConfigError that names every analyte whose unit is not UCUM."""
    wrong = [analyte for analyte in analytes if not _is_unit(analyte.unit)]
    if wrong:
        units = ", ".join(f"{analyte.name} in {analyte.unit!r}" for analyte in wrong)
        raise ConfigError(f"not a UCUM unit: {units}", where=where, mend="write it as on ucum.org, such as 10*9/L")


def _value(reported: Sequence[Measurement], analyte: Analyte, flags: list[str]) -> float:
    """The one value of an analyte, or NaN; what happened is added to `flags`."""
    values = [value for m in reported if (value := _converted(m, analyte, flags)) is not None]
    if not values:
        return math.nan
    if any(not math.isclose(value, values[0], rel_tol=_SAME) for value in values):
        flags.append(f"conflicting_lab:{analyte.name}")
        return math.nan
    low, high = analyte.plausible or (-math.inf, math.inf)
    if not low <= values[0] <= high:
        flags.append(f"implausible_lab:{analyte.name}")
        return math.nan
    return values[0]


def _converted(measurement: Measurement, analyte: Analyte, flags: list[str]) -> float | None:
    target = _declared(analyte)
    try:
        value = _number(measurement.value)
        source = _reported(measurement.unit.strip(), analyte.name, target, flags)
        return _number(ucum.convert(value, source, target))
    except InputError as error:
        flags.append(f"{error.code}:{analyte.name}")
        return None


def _declared(analyte: Analyte) -> ucum.Unit:
    if not _is_unit(analyte.unit):
        check_units([analyte])
    return ucum.parse(analyte.unit)


def _reported(spelling: str, name: str, target: ucum.Unit, flags: list[str]) -> ucum.Unit:
    """The unit that was meant; only a pure number may come without one. Raises InputError."""
    if not spelling:
        if target != ucum.Unit():
            raise InputError("unit_missing", "the value has no unit", mend="report it with its UCUM unit")
        return target
    if spelling in ALIASES:
        flags.append(f"unit_alias:{name}")
    return ucum.parse(ALIASES.get(spelling, spelling))


def _number(value: object) -> float:
    """A finite float; true, false, text, NaN and infinities are no measurements."""
    if isinstance(value, bool) or not isinstance(value, Real) or not _is_finite(value):
        raise InputError("not_a_number", "the value is not a finite number", mend="leave it out if it is unknown")
    return float(value)


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
