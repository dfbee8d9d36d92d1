"""One laboratory value: its unit resolved, its limits checked, converted to the model's unit or refused by name.

What is in the table of analytes is read by it; any other analyte by the model's own unit and plausible range."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction

from clinimm.errors import ConfigError, InputError
from clinimm.io import ucum
from clinimm.io.lab_table import SPECIMENS, Listed, ListedUnit, Range, lab_table, listed, normal
from clinimm.io.unit_spellings import ALIASES
from clinimm.types import Analyte

_LIKELIER = math.log(20)  # by how much another unit must explain a value better before the stated one is doubted
FAR = 5.0
"""The factor from which on a unit that its sender never gave is doubted; between nearer ones values tell little."""
_SAME_LIMIT = math.log(2)  # what the reference limits of two laboratories may differ by

Limits = tuple[Decimal | None, Decimal | None]
"""Reference limits as the sender states them, in the unit of the value."""


@dataclass(frozen=True)
class Reading:
    """`value` in the model's unit, NaN if it could not be converted. `code` is why it must not be used, or empty;
    `flags` tell what happened on the way: `unit_alias`, `critical_lab`."""

    value: float
    code: str = ""
    flags: tuple[str, ...] = ()


def read(
    value: Fraction,
    unit: str,
    analyte: Analyte,
    *,
    comparator: str = "",
    limits: Limits = (None, None),
    usual: str = "",
    doubt: bool = True,
) -> Reading:
    """The value, or the limit behind a comparator, as the model's analyte; `usual` is the unit that its sender has
    always given it in, if that is another. Codes: `unit_missing`, `unit_unknown`,
    `unit_incompatible`, `not_a_number` (too large for a float), `suspected_unit_error` (unless without `doubt`),
    `implausible_lab`. Raises ConfigError if the analyte's own unit is not UCUM."""
    entry, written = listed(analyte), unit.strip()
    spelling = ALIASES.get(written, written)
    aliased = ("unit_alias",) if written in ALIASES else ()
    try:
        if entry is None:
            read = _unlisted(value, spelling, analyte)
        else:
            stated = _stated(spelling, entry)
            read = _in_table(value, stated, analyte, entry)
            theirs = entry.unit(usual) if usual and entry.lists(usual) else None
            is_doubted = doubt and math.isfinite(read.value)
            if is_doubted and suspected(value, stated, entry, comparator, limits, theirs):
                read = Reading(read.value, "suspected_unit_error")
    except InputError as error:
        return Reading(math.nan, error.code, aliased)
    return replace(read, flags=aliased + read.flags)


def match(
    name: str, analytes: Sequence[Analyte], *, unit: str = "", specimen: str | None = None, loinc: str | None = None
) -> Analyte | None:
    """The model's analyte that a sender means: by LOINC code where there is one, else by name. Of two that share a name
    the specimen decides, then the unit. None if the model has no such. Raises InputError `specimen_unknown`."""
    group = _specimen(specimen)
    if loinc is not None:
        entry = lab_table().codes.get(loinc)
        found = _of(analytes, [entry] if entry is not None and entry.accepts(group) else [])
        return found[0] if found else None
    own = [analyte for analyte in analytes if listed(analyte) is None and normal(analyte.name) == normal(name)]
    entries = lab_table().names.get(normal(name), ())
    default = entries[0].specimen if entries else None  # what a name means where no specimen is told
    meant = _of(analytes, [entry for entry in entries if entry.accepts(group or default)])
    spelling = ALIASES.get(unit.strip(), unit.strip())
    fitting = [a for a in meant if (entry := listed(a)) is not None and entry.lists(spelling)]
    return next(iter([*own, *fitting, *meant]), None)


def suspected(
    value: Fraction,
    stated: ListedUnit,
    entry: Listed,
    comparator: str = "",
    limits: Limits = (None, None),
    usual: ListedUnit | None = None,
) -> bool:
    """Whether a value was likely measured in another listed unit than the stated one.

    The sender's own reference limits decide where they fit one unit only. Without them a value is suspected in a unit
    that is `FAR` from the one that its sender has always given it in: of many analytes no value tells its unit. So is
    one that is
    ordinary in another unit, and twenty times likelier there among hospital patients. If `ordinary` holds, that befalls
    less than one sound value in twenty per other unit (Markov's inequality); `benchmarks/unit_swaps.py` counts two in a
    thousand. That "<" stands before little, or ">" before much, is no reason."""
    others = [unit for unit in entry.units if (unit.scale, unit.offset) != (stated.scale, stated.offset)]
    if value == 0 or not others:  # nothing is nothing in every unit
        return False
    told = _told(stated, others, entry, limits)
    if told is not None:
        return not told
    if usual is not None and apart(stated, usual) >= FAR:
        return True
    here = _float(stated.canonical(value))
    if comparator[:1] == ("<" if here < entry.ordinary[1] else ">"):
        return False
    there = [_float(unit.canonical(value)) for unit in others]
    least = entry.log_likelihood(here) + _LIKELIER
    return any(entry.is_ordinary(other) and entry.log_likelihood(other) > least for other in there)


def apart(a: ListedUnit, b: ListedUnit) -> float:
    """By what factor two units differ; where they have zeros of their own, by what factor their steps do."""
    return float(max(a.scale / b.scale, b.scale / a.scale))


def _told(stated: ListedUnit, others: Iterable[ListedUnit], entry: Listed, limits: Limits) -> bool | None:
    """Whether the sender's reference limits fit the stated unit; None if they fit no listed unit, or are not given."""
    for theirs, ours in ((limits[1], entry.reference[1]), (limits[0], entry.reference[0])):
        if theirs is None or not is_measurable(theirs) or theirs <= 0 or ours <= 0:
            continue
        if _near(stated.canonical(Fraction(theirs)), ours):
            return True
        if any(_near(unit.canonical(Fraction(theirs)), ours) for unit in others):
            return False
    return None


def _near(theirs: Fraction, ours: float) -> bool:
    return theirs > 0 and abs(math.log(theirs / Fraction(ours))) <= _SAME_LIMIT


def is_measurable(value: Decimal) -> bool:
    """Whether a decimal is finite and of a size that a float holds; a huge exponent would fill the memory."""
    return value.is_finite() and -250 < value.adjusted() < 250


def _in_table(value: Fraction, stated: ListedUnit, analyte: Analyte, entry: Listed) -> Reading:
    own, canonical = entry.unit(analyte.unit), stated.canonical(value)
    shown = _float(value if own is None or own == stated else own.reading(canonical))
    if not math.isfinite(shown):
        return Reading(math.nan, "not_a_number")
    if not within(canonical, entry.impossible) or not within(shown, analyte.plausible):
        return Reading(shown, "implausible_lab")
    return Reading(shown, "", () if within(canonical, entry.critical) else ("critical_lab",))


def _unlisted(value: Fraction, spelling: str, analyte: Analyte) -> Reading:
    target = declared(analyte)
    if not spelling and target != ucum.Unit():
        raise _unit_missing()
    unit = ucum.parse(spelling) if spelling else target
    if unit.dimension != target.dimension:
        raise _unit_incompatible()
    shown = _float((value * unit.factor + unit.offset - target.offset) / target.factor)
    if not math.isfinite(shown):
        return Reading(math.nan, "not_a_number")
    return Reading(shown, "" if within(shown, analyte.plausible) else "implausible_lab")


def declared(analyte: Analyte) -> ucum.Unit:
    """The model's own unit. Raises ConfigError if it is not UCUM."""
    try:
        return ucum.parse(analyte.unit)
    except InputError:
        raise ConfigError(
            f"not a UCUM unit: {analyte.name} in {analyte.unit!r}", mend="write it as on ucum.org, such as 10*9/L"
        ) from None


def within(value: float | Fraction, limits: Range | None) -> bool:
    """Whether a value is within limits, the ends included; no limits hold everything."""
    return limits is None or limits[0] <= value <= limits[1]


def _stated(spelling: str, entry: Listed) -> ListedUnit:
    if not spelling and not entry.is_pure_number():
        raise _unit_missing()
    unit = entry.unit(spelling or "1")
    if unit is None:
        raise _unit_incompatible()
    return unit


def _of(analytes: Sequence[Analyte], entries: Iterable[Listed]) -> list[Analyte]:
    """The model's analytes that are these entries, in the entries' order."""
    return [analyte for entry in entries for analyte in analytes if listed(analyte) is entry]


def _specimen(name: str | None) -> str | None:
    """What the table calls a specimen. Raises InputError."""
    if name is None or not name.strip():
        return None
    found = SPECIMENS.get(normal(name))
    if found is None:
        raise InputError("specimen_unknown", "the specimen is not one that clinimm knows", mend="see lab_table.py")
    return found


def _float(exact: Fraction) -> float:
    try:
        return float(exact)
    except OverflowError:
        return math.inf if exact > 0 else -math.inf


def _unit_missing() -> InputError:
    return InputError("unit_missing", "the value has no unit", mend="report it with its UCUM unit")


def _unit_incompatible() -> InputError:
    return InputError("unit_incompatible", "the unit is none of the analyte's", mend="report it in a listed unit")
