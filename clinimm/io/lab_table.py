"""The closed table of analytes, `analytes.toml`: the names, codes, units and limits that values are read by."""

import hashlib
import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

from clinimm.errors import ConfigError, InputError
from clinimm.io import ucum
from clinimm.types import Analyte

_FILE = Path(__file__).with_name("analytes.toml")
_ENDS = 2.5758  # standard normal quantile of 99.5 %: the ends of `ordinary`

Range = tuple[float, float]

SPECIMENS: Mapping[str, str] = {
    **dict.fromkeys(
        ("blood", "whole blood", "serum", "plasma", "serum or plasma", "ser/plas", "bld", "ser", "plas", "ppp"), "blood"
    ),
    **dict.fromkeys(("arterial blood", "arterial", "blda"), "arterial blood"),
    **dict.fromkeys(("venous blood", "venous", "bldv"), "venous blood"),
    **dict.fromkeys(("capillary blood", "capillary", "bldc"), "capillary blood"),
    **dict.fromkeys(("urine", "ur"), "urine"),
    **dict.fromkeys(("csf", "cerebrospinal fluid"), "csf"),
    "patient": "patient",
}
"""What senders call a specimen (HL7 table 0487 among them), and what the table calls it."""

_BLOODS = frozenset({"blood", "arterial blood", "venous blood", "capillary blood"})


@dataclass(frozen=True)
class ListedUnit:
    """A reading in `code` is `reading * scale + offset` in the analyte's canonical unit; `source` says why."""

    code: str
    scale: Fraction
    offset: Fraction
    source: str

    def canonical(self, reading: Fraction) -> Fraction:
        return reading * self.scale + self.offset

    def reading(self, canonical: Fraction) -> Fraction:
        return (canonical - self.offset) / self.scale


@dataclass(frozen=True)
class Listed:
    """One analyte of the table; its limits are in `units[0]`, what they mean is told at the top of `analytes.toml`."""

    key: str
    name: str
    loinc: tuple[str, ...]
    aliases: tuple[str, ...]
    specimen: str
    units: tuple[ListedUnit, ...]
    impossible: Range
    critical: Range
    reference: Range
    ordinary: tuple[float, float, float]
    window_hours: float
    censored: str
    spoiled_by: frozenset[str]

    def unit(self, code: str) -> ListedUnit | None:
        """The listed unit that `code` is, or is another way to write: 10*3/uL is 10*9/L. None if it is not listed.
        Raises InputError `unit_unknown`."""
        wanted = ucum.parse(code)
        return next((unit for unit in self.units if ucum.parse(unit.code) == wanted), None)

    def lists(self, code: str) -> bool:
        try:
            return self.unit(code) is not None
        except InputError:
            return False

    def is_pure_number(self) -> bool:
        """Whether a value without a unit can mean but one thing."""
        return self.lists("1") and len({(unit.scale, unit.offset) for unit in self.units}) == 1

    def accepts(self, specimen: str | None) -> bool:
        """Whether a value of `specimen` (a value of `SPECIMENS`) can be one of this analyte's."""
        return specimen in (None, self.specimen) or (self.specimen == "blood" and specimen in _BLOODS)

    def oddness(self, canonical: float) -> float:
        """How many standard deviations of the logarithm a value is from the median of hospital patients; infinite for
        what has no logarithm. Either side of the median has a spread of its own."""
        if canonical <= 0:
            return math.inf
        distance = math.log(canonical / self.ordinary[1])
        return abs(distance) / self._spread(distance)

    def log_likelihood(self, canonical: float) -> float:
        """Log density of the value's logarithm among hospital patients, up to a constant."""
        if canonical <= 0:
            return -math.inf
        distance = math.log(canonical / self.ordinary[1])
        return -((distance / self._spread(distance)) ** 2) / 2 - math.log(self._spread(distance))

    def is_ordinary(self, canonical: float) -> bool:
        return self.oddness(canonical) <= _ENDS

    def _spread(self, distance: float) -> float:
        low, middle, high = self.ordinary
        return math.log(high / middle if distance > 0 else middle / low) / _ENDS


@dataclass(frozen=True)
class LabTable:
    """`version` and `sha256` tell which table a judgement was made by."""

    version: str
    sha256: str
    analytes: Mapping[str, Listed]
    names: Mapping[str, tuple[Listed, ...]]
    codes: Mapping[str, Listed]


@lru_cache(maxsize=1)
def lab_table() -> LabTable:
    """The table that ships with this version."""
    content = _FILE.read_bytes()
    raw = tomllib.loads(content.decode())
    analytes = {key: _listed(key, raw["defaults"] | entry) for key, entry in raw["analytes"].items()}
    names: dict[str, tuple[Listed, ...]] = {}
    for analyte in analytes.values():
        for name in {normal(text) for text in (analyte.key, *analyte.aliases)}:
            names[name] = (*names.get(name, ()), analyte)
    codes = {code: analyte for analyte in analytes.values() for code in analyte.loinc}
    return LabTable(raw["version"], hashlib.sha256(content).hexdigest(), analytes, names, codes)


@lru_cache(maxsize=4096)
def listed(analyte: Analyte) -> Listed | None:
    """The entry that a model's analyte means: of that name, and listing its unit. None if the table has no such."""
    entries = lab_table().names.get(normal(analyte.name), ())
    return next((entry for entry in entries if entry.lists(analyte.unit)), None)


def normal(name: str) -> str:
    """A name without what spelling makes of it: case, dashes, underscores and runs of spaces."""
    return re.sub(r"[\s_-]+", " ", name.casefold()).strip()


def _listed(key: str, raw: Mapping[str, Any]) -> Listed:
    low, middle, high = raw["ordinary"]
    return Listed(
        key=key,
        name=raw["name"],
        loinc=tuple(raw["loinc"]),
        aliases=tuple(raw["aliases"]),
        specimen=raw["specimen"],
        units=tuple(_unit(code, raw) for code in raw["units"]),
        impossible=_range(raw["impossible"]),
        critical=_range(raw["critical"]),
        reference=_range(raw["reference"]),
        ordinary=(float(low), float(middle), float(high)),
        window_hours=float(raw["window_hours"]),
        censored=raw["censored"],
        spoiled_by=frozenset(raw["spoiled_by"]),
    )


def _range(ends: list[float]) -> Range:
    low, high = ends
    return float(low), float(high)


def _unit(code: str, raw: Mapping[str, Any]) -> ListedUnit:
    """Raises ConfigError if nothing in the entry says how `code` converts."""
    if code in raw.get("affine", {}):
        line = raw["affine"][code]
        slope, intercept = Fraction(line["slope"]), Fraction(line["intercept"])
        return ListedUnit(code, 1 / slope, -intercept / slope, line["source"])
    unit, target = ucum.parse(code), ucum.parse(raw["units"][0])
    for source, bridge in _bridges(raw):
        crossed = unit if bridge == ucum.Unit() else unit * bridge
        if crossed.dimension == target.dimension:
            offset = (crossed.offset - target.offset) / target.factor
            return ListedUnit(code, crossed.factor / target.factor, offset, source)
    raise ConfigError(f"nothing says how {code} converts to {raw['units'][0]}", where=f"analytes.toml: {raw['name']}")


def _bridges(raw: Mapping[str, Any]) -> list[tuple[str, ucum.Unit]]:
    """What one unit may be multiplied by to become another of the same analyte, with the source of it."""
    bridges = [("UCUM", ucum.Unit())]
    if "molar_mass" in raw:
        grams = ucum.Unit(Fraction(raw["molar_mass"]), (("g", 1), ("mol", -1)))
        bridges += [(f"molar mass {raw['molar_mass']} g/mol", bridge) for bridge in (grams, grams**-1)]
    if "valence" in raw:
        bridges.append((f"valence {raw['valence']}", ucum.Unit(Fraction(1, raw["valence"]), (("eq", -1), ("mol", 1)))))
    return bridges
