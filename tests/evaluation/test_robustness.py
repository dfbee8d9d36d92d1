"""The robustness curve, against what it must be at its ends."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinimm import metrics
from clinimm.evaluation.robustness import MODEL, RATES, removals, robustness
from clinimm.scores import members


@pytest.fixture(scope="module")
def found(answers):
    alone = dict.fromkeys(answers.probabilities, answers.probabilities["cxr"])
    return robustness(answers, {"a film": alone, "the same": answers.probabilities}, bootstrap=100, seed=0)[0]


def test_with_nothing_removed_the_curve_starts_at_the_whole_auroc(answers, found):
    rows = answers.scores.known("severe")
    whole = metrics.auroc(answers.labels("severe")[rows], answers.probabilities["cxr+note+labs"][rows, 0])
    assert found.curves[0].auroc[0].value == pytest.approx(whole, abs=1e-12)


def test_the_curve_falls_to_that_of_one_input_each_when_all_that_can_go_is_gone(answers):
    ends = robustness(answers, rates=(0.0, 1.0), repeats=100, bootstrap=20, seed=1)[0].curves[0]
    left = removals(answers.scores, (1.0,), 100, 1)[0]
    names = list(answers.scores.logits)
    rows = answers.scores.known("severe")
    assert all(len(members(names[code])) == 1 for code in np.unique(left))
    each = [
        metrics.auroc(
            answers.labels("severe")[rows],
            np.array([answers.probabilities[names[code]][i, 0] for i, code in enumerate(one)])[rows],
        )
        for one in left[:5]
    ]
    assert ends.auroc[1].value == pytest.approx(np.mean(each), abs=0.03)
    assert ends.area.value == pytest.approx((ends.auroc[0].value + ends.auroc[1].value) / 2)


@given(st.integers(0, 1000))
@settings(max_examples=10, deadline=None, derandomize=True)
def test_removals_nest_hide_only_what_is_there_and_leave_one(answers, seed):
    scores, names = answers.scores, list(answers.scores.logits)
    left = removals(scores, RATES, 3, seed)
    bits = np.array([[m in members(name) for m in scores.modalities] for name in names])
    shown = bits[left]
    assert (shown <= scores.present).all()
    assert shown.any(axis=-1).all()
    assert (shown[1:] <= shown[:-1]).all()
    assert (shown[0] == scores.present).all()
    several = scores.present.sum(axis=1) == 3
    expected = 0.5 + 0.5**3 / 3  # half of each, and its share of the last one left
    assert shown[RATES.index(0.5)][:, several].mean() == pytest.approx(expected, abs=0.06)


def test_an_opponent_is_asked_about_the_same_removals(found):
    same = next(gain for gain in found.gains if gain.over == "the same")
    assert (same.auroc.value, same.auroc.low, same.auroc.high) == (0, 0, 0)
    film = next(curve for curve in found.curves if curve.name == "a film")
    assert len({round(one.value, 12) for one in film.auroc}) == 1  # it never looks at what is removed


def test_the_gain_is_the_difference_of_the_areas_and_says_who_is_ahead(answers, found):
    areas = {curve.name: curve.area.value for curve in found.curves}
    gain = next(gain for gain in found.gains if gain.over == "a film")
    assert gain.auroc.value == pytest.approx(areas[MODEL] - areas["a film"])
    assert gain.clear
    oracle = {subset: answers.labels("severe")[:, None].astype(float) for subset in answers.probabilities}
    beaten = robustness(answers, {"an oracle": oracle}, bootstrap=50)[0]
    assert [gain.over for gain in beaten.beaten_by] == ["an oracle"]


def test_the_record_is_json_and_the_same_for_the_same_seed(answers, found):
    again = robustness(answers, repeats=3, bootstrap=20, seed=4)[0].record()
    assert again == robustness(answers, repeats=3, bootstrap=20, seed=4)[0].record()
    assert again != robustness(answers, repeats=3, bootstrap=20, seed=5)[0].record()
    json.dumps(found.record(), allow_nan=False)


def test_a_target_of_one_class_has_a_curve_of_nothing(answers):
    healthy = replace(answers, scores=replace(answers.scores, targets=np.zeros_like(answers.scores.targets)))
    curve = robustness(healthy, bootstrap=20)[0].curves[0]
    assert curve.area.value is None
