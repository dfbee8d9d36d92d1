"""Methods that are asked for by name, on nets whose answer is known; and sentences, which sum to their pieces."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_models import random_batch, small_network

from clinimm.attribution.explain import explain
from clinimm.attribution.sentences import score_sentences
from clinimm.errors import ConfigError

TARGET = 1


def ask(network, batch, method):
    return explain([(network, 1.0)], batch, TARGET, target_name="severe", method=method)


@pytest.mark.parametrize("method", ["occlusion", "shapley_sampling"])
def test_on_an_additive_net_every_method_gives_each_unit_its_worth(linear_network, make_batch, method):
    batch = make_batch()
    expected, found = ask(linear_network, batch, "integrated_gradients"), ask(linear_network, batch, method)
    for name, values in expected.maps.items():
        assert found.maps[name] == pytest.approx(values, abs=1e-4)
    assert found.shapley == expected.shapley
    assert {check.name for check in found.checks} == {"efficiency"}


def test_shapley_sampling_shares_a_product_by_halves_and_sums_to_what_the_input_is_worth(make_network, make_batch):
    network = make_network(lambda evidence, present: evidence[:, 2].square())
    found = ask(network, make_batch(), "shapley_sampling").maps["labs"]
    first, second = 1.5 * 1.0, -1.0 * 0.5
    assert found.sum() == pytest.approx((first + second) ** 2, abs=1e-5)
    assert found[0] == pytest.approx(first**2 + first * second, abs=1e-5)
    assert found[1] == 0


@pytest.mark.parametrize("method", ["occlusion", "shapley_sampling", "grad_cam"])
def test_an_absent_input_gets_exactly_nothing_of_any_method(method):
    batch = random_batch(1, present=torch.tensor([[True, False, True]]))
    found = ask(small_network().eval(), batch, method)
    assert not found.maps["note"].any()
    assert found.maps["cxr"].shape == (1, 32, 32)


def test_grad_cam_is_of_pictures_alone_and_sums_its_members_by_their_parts():
    batch = random_batch(1, present=torch.ones(1, 3, dtype=torch.bool))
    first, second = small_network(seed=0).eval(), small_network(seed=1).eval()
    alone = [ask(network, batch, "grad_cam").maps["cxr"] for network in (first, second)]
    both = explain([(first, 0.25), (second, 0.75)], batch, TARGET, target_name="severe", method="grad_cam")
    assert both.maps["cxr"] == pytest.approx(0.25 * alone[0] + 0.75 * alone[1], rel=1e-4, abs=1e-7)
    assert both.maps["cxr"].any()
    assert not both.maps["labs"].any()


def test_grad_cam_of_a_net_without_stages_says_so(linear_network, make_batch):
    with pytest.raises(ConfigError, match="stages"):
        ask(linear_network, make_batch(), "grad_cam")


def test_sentences_sum_their_pieces_and_say_what_was_not_read():
    text = "Cough and fever. No rigors. Lives alone."
    offsets = [(0, 0), (0, 5), (6, 9), (10, 15), (15, 16), (17, 19), (20, 26), (0, 0)]
    scores = np.array([9.0, 1, 2, 3, 4, -5, -6, 9])
    found = score_sentences(text, offsets, scores)
    assert [text[one.start : one.end] for one in found] == ["Cough and fever.", "No rigors.", "Lives alone."]
    assert [one.score for one in found] == [10.0, -11.0, None]


@given(st.text("ab. \n1-", max_size=60), st.integers(0, 5))
def test_no_piece_is_lost_or_counted_twice(text, seed):
    places = [i for i, letter in enumerate(text) if not letter.isspace()]
    offsets = [(i, i + 1) for i in places]
    scores = np.random.default_rng(seed).normal(size=len(places))
    found = score_sentences(text, offsets, scores)
    if found:
        assert sum(one.score or 0 for one in found) == pytest.approx(scores.sum(), abs=1e-9)
