"""LAB-16 as a stream through the service: what is found once the sender is known, counted by the benchmark."""

import sys
from pathlib import Path

import httpx
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from unit_swaps import COLUMNS, Tally
from unit_swaps_stream import measured, real, synthetic

from services.cases.usual_units import FEWEST


def cohort(folder: Path, *crp: float | str) -> Path:
    """A cohort of which nothing was measured but the CRP."""
    (folder / "appendicitis").mkdir()
    header = list(COLUMNS["appendicitis"])
    rows = [",".join(str(one) if COLUMNS["appendicitis"][name][0] == "crp" else "" for name in header) for one in crp]
    (folder / "appendicitis" / "cases.csv").write_text("\n".join([",".join(header), *rows]) + "\n")
    return folder


def test_lab_16_swap_that_no_value_tells_is_found_once_the_sender_is_known(api: httpx.Client, tmp_path: Path) -> None:
    values = [10.5 + number for number in range(FEWEST + 5)]
    stream = real(cohort(tmp_path, *values, "", 0), "appendicitis")
    found = measured(api, stream, 10, np.random.default_rng(0))["crp"]
    assert found["1st-20th"]["service"] == Tally(sound=FEWEST, swapped=FEWEST)
    assert found["21st-100th"]["service"] == Tally(sound=6, swapped=5, found=5)  # 0 is 0 in either unit
    assert found["all values"]["naive"] == Tally(sound=FEWEST + 6, swapped=FEWEST + 5)
    assert "later" not in found


def test_values_that_the_model_does_not_take_are_no_figures(api: httpx.Client) -> None:
    with pytest.raises(ValueError, match="unused_input"):
        measured(api, synthetic(1, np.random.default_rng(0)), 1, np.random.default_rng(0))
