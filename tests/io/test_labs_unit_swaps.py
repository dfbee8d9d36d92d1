"""LAB-16: a value with another unit's number is noticed, and a sound one let through."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from unit_swaps import Tally, drawn, swaps, tallies

from clinimm.io.lab_table import lab_table


def counted(key: str, rule: str) -> Tally:
    entry, rng = lab_table().analytes[key], np.random.default_rng(7)
    return tallies(entry, drawn(entry, 100, False, rng).tolist(), entry.units, rng)[rule]


@pytest.mark.slow
@pytest.mark.parametrize("key", ["hemoglobin", "wbc", "glucose", "creatinine", "albumin", "platelets", "hba1c"])
def test_lab_16_a_swapped_unit_is_noticed(key: str) -> None:
    ours = counted(key, "ours")
    assert ours.found / ours.swapped >= 0.95
    assert ours.doubted / ours.sound <= 0.01


@pytest.mark.slow
@pytest.mark.parametrize("key", ["crp", "bilirubin", "urea"])
def test_lab_16_where_a_value_cannot_tell_the_senders_limits_do(key: str) -> None:
    alone, told = counted(key, "ours"), counted(key, "ours+limits")
    assert alone.found / alone.swapped < 0.8
    assert alone.doubted / alone.sound <= 0.01
    assert told.found == told.swapped
    assert told.doubted == 0


def test_only_units_far_apart_are_swapped() -> None:
    codes = {(a.code, b.code) for a, b in swaps(lab_table().analytes["magnesium"])}
    assert codes == set()  # mg/dL is 0.41 mmol/L, meq/L 0.5
    assert {(a.code, b.code) for a, b in swaps(lab_table().analytes["crp"])} == {("mg/L", "mg/dL"), ("mg/dL", "mg/L")}
