"""How many laboratory values with a wrong unit are noticed, and how many sound ones are doubted.

    python benchmarks/unit_swaps.py [--data DIR] [--json FILE]

The stated unit of one value is exchanged for every other listed one whose factor is 5 or more. Noticed is what `judge`
does not let through to the model: a value that is used with a flag is counted as missed. The naive rule refuses what is
impossible in the stated unit.

Three populations. "table": drawn from the very percentiles that the rule judges by, so that few false alarms are no
surprise there. "heavy": the same medians and quartiles with the tails of Student's t, 5 degrees of freedom, of which
the rule knows nothing. "real": the laboratory columns of DIR/appendicitis and DIR/covid_cxr, from which no limit was
chosen. A value of 0 is not swapped, since it is 0 in every unit. With `limits` the sender states its reference range
too, 15 % (standard deviation) off the table's. With `sender` the service has had such values from the sender before,
all in one unit (`services.cases.usual_units`: from the twentieth on); `unit_swaps_stream.py` has it learn that.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from clinimm.io.lab_judgement import LabItem, judge
from clinimm.io.lab_reading import FAR, Limits, apart
from clinimm.io.lab_table import Listed, ListedUnit, lab_table
from clinimm.types import Analyte

LIMITS_SPREAD = 0.15
NOW = datetime(2026, 1, 1, tzinfo=UTC)
QUARTILE, END, T5_QUARTILE = 0.6745, 2.5758, 0.7267  # normal quantiles of 75 % and 99.5 %; t with 5 degrees, of 75 %
RULES = ("naive", "ours", "ours+limits", "ours+sender")
COLUMNS = {
    "appendicitis": {
        "exam_body_temp_C": ("temperature", "Cel"),
        "lab_wbc_10e9_per_L": ("wbc", "10*9/L"),
        "lab_neutrophils_percent": ("neutrophils_percent", "%"),
        "lab_crp_mg_per_L": ("crp", "mg/L"),
    },
    "covid_cxr": {
        "temperature_Cel": ("temperature", "Cel"),
        "spo2_pct": ("spo2", "%"),
        "wbc_10*9/L": ("wbc", "10*9/L"),
        "neutrophils_10*9/L": ("neutrophils", "10*9/L"),
        "lymphocytes_10*9/L": ("lymphocytes", "10*9/L"),
        "crp_mg/L": ("crp", "mg/L"),
        "ldh_U/L": ("ldh", "U/L"),
        "po2_mm[Hg]": ("po2_arterial", "mm[Hg]"),
        "pco2_mm[Hg]": ("pco2_arterial", "mm[Hg]"),
    },
}


@dataclass(frozen=True)
class Tally:
    """Noticed and all, of sound values and of swapped ones."""

    doubted: int = 0
    sound: int = 0
    found: int = 0
    swapped: int = 0

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            self.doubted + other.doubted, self.sound + other.sound,
            self.found + other.found, self.swapped + other.swapped,
        )  # fmt: skip

    def record(self) -> dict[str, Any]:
        return {
            "false_alarms": self.doubted / self.sound if self.sound else None, "sound": self.sound,
            "detected": self.found / self.swapped if self.swapped else None, "swapped": self.swapped,
        }  # fmt: skip


def swaps(entry: Listed) -> Iterator[tuple[ListedUnit, ListedUnit]]:
    """Every pair of a true and a stated unit that are far enough apart, of equal units one."""
    distinct = list({(unit.scale, unit.offset): unit for unit in entry.units}.values())
    return ((a, b) for a in distinct for b in distinct if apart(a, b) >= FAR)


def drawn(entry: Listed, n: int, heavy: bool, rng: np.random.Generator) -> np.ndarray:
    """Canonical values of a synthetic population, of which none is impossible."""
    low, middle, high = np.log(entry.ordinary)
    z = rng.standard_t(5, 4 * n) * QUARTILE / T5_QUARTILE if heavy else rng.standard_normal(4 * n)
    values = np.exp(middle + z * np.where(z > 0, high - middle, middle - low) / END)
    return values[(values >= entry.impossible[0]) & (values <= entry.impossible[1])][:n]


def stated(canonical: float, unit: ListedUnit) -> Decimal:
    """As a laboratory prints it: three significant digits, no fewer than there are before the point."""
    reading = (canonical - float(unit.offset)) / float(unit.scale)
    return Decimal(f"{reading:.0f}" if abs(reading) >= 1000 else f"{reading:.3g}")


def noticed(entry: Listed, value: Decimal, unit: ListedUnit, limits: Limits = (None, None), usual: str = "") -> bool:
    told = {"limits": limits, "usual_unit": usual, "specimen": entry.specimen}
    item = LabItem(entry.key, value=value, unit=unit.code, **told)
    analyte = Analyte(entry.key, entry.units[0].code)
    (judged,) = judge([item], [analyte], index_time=None, image_time=None, now=NOW)
    return not judged.used


def tallies(
    entry: Listed, values: Sequence[float], truths: Sequence[ListedUnit], rng: np.random.Generator
) -> dict[str, Tally]:
    """What each rule makes of the values, each reported in one of `truths` and stated so or in every other unit."""
    totals = dict.fromkeys(RULES, Tally())
    pairs = [(a, b) for a, b in swaps(entry) if a in truths]
    for canonical in values:
        off = np.exp(rng.normal(0, LIMITS_SPREAD, 2))
        for truth in {a.code: a for a, _ in pairs}.values():
            printed = stated(canonical, truth)
            low, high = (stated(end * f, truth) for end, f in zip(entry.reference, off, strict=True))
            wrong = [b for a, b in pairs if a == truth and printed != 0]
            for unit in (truth, *wrong):
                here = float(unit.canonical(Fraction(printed)))
                hits = {
                    "naive": not entry.impossible[0] <= here <= entry.impossible[1],
                    "ours": noticed(entry, printed, unit),
                    "ours+limits": noticed(entry, printed, unit, (low, high)),
                    "ours+sender": noticed(entry, printed, unit, usual="" if unit == truth else truth.code),
                }
                for rule, hit in hits.items():
                    totals[rule] += Tally(hit, 1) if unit == truth else Tally(0, 0, hit, 1)
    return totals


def synthetic(n: int, heavy: bool, seed: int) -> dict[str, dict[str, Tally]]:
    """By analyte, of those that have units far enough apart."""
    found = {}
    for at, entry in enumerate(lab_table().analytes.values()):
        if any(swaps(entry)):
            rng = np.random.default_rng([seed, at, heavy])
            found[entry.key] = tallies(entry, drawn(entry, n, heavy, rng).tolist(), entry.units, rng)
    return found


def real(data: Path, seed: int) -> dict[str, dict[str, Tally]]:
    """By column: the values in the unit they were recorded in. A value that is impossible is no sound one."""
    found = {}
    for cohort, columns in COLUMNS.items():
        cases = pl.read_csv(data / cohort / "cases.csv", infer_schema_length=None)
        for column, (key, code) in columns.items():
            entry = lab_table().analytes[key]
            unit = entry.unit(code)
            assert unit is not None
            low, high = entry.impossible
            values = [v for v in cases[column].drop_nulls().to_list() if low <= v <= high]
            if any(swaps(entry)):
                found[f"{cohort} {key}"] = tallies(entry, values, [unit], np.random.default_rng(seed))
    return found


def total(found: dict[str, dict[str, Tally]]) -> dict[str, Tally]:
    return {rule: sum((tally[rule] for tally in found.values()), Tally()) for rule in RULES}


def show(title: str, found: dict[str, dict[str, Tally]]) -> None:
    print(f"\n{title}\n{'':34}{'n':>8}" + "".join(f"{rule:>24}" for rule in RULES))
    print(f"{'':34}{'swaps':>8}" + "  detected  false alarms" * len(RULES))
    for name, tally in {**found, "all": total(found)}.items():
        records = [tally[rule].record() for rule in RULES]
        cells = [f"{_percent(one['detected']):>10}{_percent(one['false_alarms']):>14}" for one in records]
        print(f"{name:34}{records[0]['swapped']:8}" + "".join(cells))


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="holds appendicitis/cases.csv and covid_cxr/cases.csv")
    parser.add_argument("--n", type=int, default=1000, help="synthetic values per analyte")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    populations = {name: synthetic(given.n, name == "heavy", given.seed) for name in ("table", "heavy")}
    if given.data:
        populations["real"] = real(given.data, given.seed)
    for name, found in populations.items():
        show(name, found)
    if given.json:
        facts = {
            population: {
                name: {rule: tally.record() for rule, tally in rules.items()}
                for name, rules in {**found, "all": total(found)}.items()
            }
            for population, found in populations.items()
        }
        table = {"version": lab_table().version, "sha256": lab_table().sha256, "n": given.n, "seed": given.seed}
        given.json.write_text(json.dumps({"table": table, **facts}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
