"""Maps as a viewer is given them: the cells that a record holds, where they lie, and why there are none."""

import base64
import json
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from clinimm.report.heat import FULL, cells, layers, packed
from clinimm.report.html import readable
from clinimm.report.picture import _png, overlay

SIDES = st.tuples(st.integers(1, 7), st.integers(1, 6), st.integers(1, 5))


@given(st.data())
def test_a_volume_s_map_is_read_back_to_a_127th_of_its_limit(data: st.DataObject) -> None:
    heat = data.draw(arrays(np.float64, data.draw(SIDES), elements=st.floats(-2, 2)))
    limit = data.draw(st.floats(0.01, 2))
    found = cells({"whole": packed(heat, limit)})
    np.testing.assert_allclose(found * limit / FULL, np.clip(heat, -limit, limit), atol=0.5 * limit / FULL + 1e-9)


def test_a_film_s_map_is_read_back_from_its_picture_with_its_signs() -> None:
    heat = np.linspace(-1, 1, 35).reshape(7, 5)
    found = cells({"views": [{"heat": _png(overlay(heat, 1.0))}]})
    np.testing.assert_allclose(found / FULL, heat, atol=0.01)


def test_a_map_of_nothing_and_a_volume_of_an_older_record_have_what_they_have() -> None:
    assert not cells({"whole": packed(np.zeros((2, 3, 4)), 0.0)}).any()
    assert cells({"views": [{"heat": "x"}] * 3}) is None


def test_layers_lie_on_the_stored_pixels_that_the_record_names(predictor, complete_case, answer) -> None:
    record = answer(predictor, complete_case)
    [layer] = layers(record, "cxr")["maps"]
    grid = record["inputs"]["cxr"]["grid"]
    assert (layer["start"], layer["end"], layer["shape"]) == (grid["start"], grid["end"], grid["cells"])
    values = np.frombuffer(base64.b64decode(layer["values"]), np.int8).reshape(layer["shape"])
    [view] = record["explanations"][0]["maps"]["cxr"]["views"]
    strongest = np.argwhere(np.abs(values) == np.abs(values).max())
    cell = (np.array(grid["end"]) - grid["start"]) / grid["cells"]
    at = (strongest + 0.5) * cell + grid["start"] - 0.5
    assert np.abs(at - view["peak"]).max(axis=1).min() <= 1


def test_a_volume_s_layers_fill_its_grid(volume_cohort, answer) -> None:
    predictor, cases = volume_cohort
    case = next(case for case in cases if "ct" in case.inputs)
    [layer] = layers(answer(predictor, case), "ct")["maps"]
    assert len(base64.b64decode(layer["values"])) == np.prod(layer["shape"])


def test_a_map_that_does_not_fit_says_so_and_lays_nothing(predictor, complete_case, answer) -> None:
    record = answer(predictor, complete_case)
    maps = record["explanations"][0]["maps"]
    maps["cxr"] = {"sha256": "0" * 64, "problem": {"code": "map_does_not_fit", "detail": "the map is of 3 x 3"}}
    [layer] = layers(record, "cxr")["maps"]
    assert layer["values"] is None
    assert "the map is of 3 x 3" in layer["problem"]


def test_what_cannot_be_placed_has_no_layers(predictor, complete_case, answer) -> None:
    record = answer(predictor, complete_case)
    assert layers(record, "note") is None
    assert layers(record, "nothing") is None
    first = json.loads((Path(__file__).parents[1] / "golden" / "report-1.json").read_text())
    assert layers(readable(first), "cxr") is None
