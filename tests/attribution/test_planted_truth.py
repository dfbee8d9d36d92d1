"""The scoring of benchmarks/planted_truth.py, by cases worked by hand."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from clinimm.data.picture import onto_grid, place
from clinimm.data.synthetic.evidence import Planted
from clinimm.data.synthetic.plan import Mechanism
from clinimm.data.synthetic.region import Ellipse
from clinimm.types import Attribution, Kind


@pytest.fixture(scope="module")
def scoring():
    path = Path(__file__).parents[2] / "benchmarks" / "planted_truth.py"
    spec = importlib.util.spec_from_file_location("planted_truth", path)
    module = sys.modules["planted_truth"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def attribution(shapley: dict[str, float], logit: float = 1.0, **options) -> Attribution:
    used = {name: "baseline" for name, value in shapley.items() if value}
    fields = {"maps": {}, "net": {}, "gross": {}, "interactions": {}, "subsets": {}, "baseline_logit": 0.0}
    return Attribution(
        case_id="c", target="pneumonia", method="integrated_gradients", baselines=used, shapley=shapley, logit=logit,
        prior_logit=0.0, steps=16, forward_passes=18, checks=(), **(fields | options),
    )  # fmt: skip


def planted(mechanism=Mechanism.UNIQUE, sources=("note",), visible=("note",)) -> Planted:
    return Planted(mechanism, True, True, sources, visible, sources)


def test_an_input_is_found_if_its_shapley_value_is_the_largest(scoring):
    found = dict(scoring.input_shares(planted(), attribution({"cxr": -3.0, "note": 0.2, "labs": 0.1})))
    assert found == {"input": (1.0, 1 / 3), scoring.ANSWERED: (1.0, 1 / 3)}
    found = dict(scoring.input_shares(planted(), attribution({"cxr": 0.3, "note": 0.2, "labs": 0.0}, logit=-0.5)))
    assert found == {"input": (0.0, 0.5)}


@pytest.mark.parametrize(
    "truth",
    [planted(Mechanism.REDUNDANT, ("note", "labs"), ("note", "labs")), planted(visible=())],
)
def test_only_cases_whose_signal_sits_in_one_input_that_is_there_are_counted(scoring, truth):
    assert not dict(scoring.input_shares(truth, attribution({"cxr": 0.3, "note": 0.2, "labs": 0.1})))


def test_shares_inside_an_input_count_size_not_sign(scoring):
    values, at = np.array([0.0, -3.0, 1.0, 0.0]), np.array([False, True, False, False])
    read = np.array([False, True, True, True])
    assert scoring.inside_shares(Kind.TEXT, values, at, read) == {"words": (0.75, pytest.approx(1 / 3))}
    assert scoring.inside_shares(Kind.TEXT, values * 0, at, read) == {}
    assert scoring.inside_shares(Kind.TEXT, values, at & False, read) == {}


def test_pieces_of_planted_words_are_those_that_overlap_them(scoring):
    offsets = [(0, 0), (0, 4), (5, 9), (9, 12), (13, 17), (0, 0)]
    assert scoring.pieces_in(offsets, [(5, 12)]).tolist() == [False, False, True, True, False, False]
    assert not scoring.pieces_in(offsets, []).any()


@pytest.mark.parametrize("shape", [(100, 80), (60, 120), (40, 40)])
def test_a_region_lands_on_the_grid_where_its_pixels_do(scoring, shape):
    """Painted on the stored picture and resized as the model's input is, the region covers the same pixels."""
    region = Ellipse(center=(0.4 * shape[0], 0.6 * shape[1]), radii=(0.2 * shape[0], 0.15 * shape[1]), shape=shape)
    rows, columns = np.mgrid[0 : shape[0], 0 : shape[1]]
    painted = ((rows - region.center[0]) / region.radii[0]) ** 2 + ((columns - region.center[1]) / region.radii[1]) ** 2
    stored = torch.tensor(painted <= 1, dtype=torch.float32)
    seen = onto_grid(stored, place(shape, (64, 64)))[0].numpy() > 0.5
    inside, film = scoring.ellipse_on_grid(region, (64, 64))
    overlap = (inside & seen).sum() / (inside | seen).sum()
    assert overlap > 0.9
    assert film.sum() == pytest.approx(64 * 64 * min(shape) / max(shape), rel=0.04)


def test_a_region_of_a_volume_has_its_slices(scoring):
    region = Ellipse(center=(10.0, 10.0, 2.0), radii=(4.0, 4.0, 1.0), shape=(20, 20, 8))
    inside, film = scoring.ellipse_on_grid(region, (20, 20, 16))
    assert film.all()
    assert set(np.nonzero(inside)[2]) <= set(range(2, 8))
    assert inside[10, 10, 4]


def test_a_row_gives_found_chance_and_their_ratio(scoring):
    observations = [scoring.Observation("words", "pneumonia", f"p{i}", 0.4 + 0.2 * (i % 2), 0.1) for i in range(20)]
    [both, one] = scoring.summarize(observations, resamples=200)
    assert (both.target, one.target, both.cases) == ("all", "pneumonia", 20)
    assert (both.found.value, both.ratio.value) == (pytest.approx(0.5), pytest.approx(5.0))
    assert both.ratio.low < 5 < both.ratio.high
    assert one.record()["chance"]["value"] == pytest.approx(0.1)
