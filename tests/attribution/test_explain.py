"""Nets with known answers: what integrated gradients and Shapley values must be, to the last digit that float32 has."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from clinimm.attribution import methods
from clinimm.attribution.explain import explain
from clinimm.errors import ConfigError

TARGET = 1


def ask(network, batch, **options):
    return explain([(network, 1.0)], batch, TARGET, target_name="severe", **options)


def check(attribution, name):
    return next(check for check in attribution.checks if check.name == name)


def test_maps_of_a_linear_net_are_weight_times_distance_from_the_baseline(linear_network, make_batch):
    batch = make_batch()
    maps = ask(linear_network, batch).maps
    film, encoders = batch.modalities["cxr"].values, linear_network.encoders
    words, empty = encoders["note"].embed(torch.tensor([[7, 9]])), encoders["note"].embed(torch.tensor([[0, 0]]))
    assert maps["cxr"] == pytest.approx(
        (encoders["cxr"].weight * (film - encoders["cxr"].typical))[0].numpy(), abs=1e-5
    )
    assert maps["note"][1:3] == pytest.approx((encoders["note"].weight[1:3] * (words - empty)[0]).sum(-1), abs=1e-5)
    assert maps["labs"] == pytest.approx([1.5 * 1.0, 0.0, -1.0 * 0.5], abs=1e-6)


def test_maps_have_their_modality_s_shape_and_sum_to_the_change_of_the_logit(linear_network, make_batch):
    answer = ask(linear_network, make_batch())
    assert {name: values.shape for name, values in answer.maps.items()} == {
        m.name: m.shape for m in linear_network.modalities
    }
    assert sum(answer.net.values()) == pytest.approx(answer.logit - answer.baseline_logit, abs=1e-4)
    assert answer.gross["cxr"] == pytest.approx(np.abs(answer.maps["cxr"]).sum(), rel=1e-6)
    assert answer.trusted
    assert answer.target == "severe"
    assert set(answer.baselines) == {"cxr", "note", "labs"}


def test_special_tokens_padding_and_unknown_analytes_get_exactly_nothing(linear_network, make_batch):
    maps = ask(linear_network, make_batch()).maps
    assert (maps["note"][[0, 3, 4, 5]] == 0).all()
    assert maps["labs"][1] == 0


@pytest.mark.parametrize("absent", [("cxr",), ("note",), ("labs",), ("cxr", "labs"), ("cxr", "note")])
def test_an_absent_input_gets_exactly_nothing_whatever_it_holds(linear_network, make_batch, absent):
    answer = ask(linear_network, make_batch(*absent))
    for name in absent:
        assert not answer.maps[name].any()
        assert answer.shapley[name] == answer.net[name] == answer.gross[name] == 0
        assert name not in answer.baselines
        assert not any(name in subset for subset in answer.subsets)
    assert np.isfinite(answer.logit)
    assert answer.trusted
    assert len(answer.subsets) == 2 ** (3 - len(absent))


def test_nothing_at_all_answers_the_prior_and_explains_nothing(linear_network, make_batch):
    answer = ask(linear_network, make_batch("cxr", "note", "labs"))
    assert answer.logit == answer.prior_logit == answer.baseline_logit == -1.0
    assert answer.subsets == {"": -1.0}
    assert not any(values.any() for values in answer.maps.values())
    assert answer.forward_passes == linear_network.rows == 0
    assert answer.trusted


def test_shapley_values_of_an_additive_net_are_the_evidence_of_each_input(linear_network, make_batch):
    answer = ask(linear_network, make_batch())
    alone = {name: answer.subsets[name] - answer.prior_logit for name in answer.shapley}
    assert answer.shapley == pytest.approx(alone, abs=1e-5)
    assert answer.interactions == pytest.approx({"cxr+note": 0, "cxr+labs": 0, "note+labs": 0}, abs=1e-5)


def test_a_product_is_shared_by_halves_and_is_all_interaction(make_network, make_batch):
    network = make_network(lambda evidence, present: evidence[:, 0] * evidence[:, 1])
    answer = ask(network, make_batch())
    product = answer.logit - answer.prior_logit
    assert answer.shapley == pytest.approx({"cxr": product / 2, "note": product / 2, "labs": 0}, rel=1e-5)
    assert answer.interactions == pytest.approx({"cxr+note": product, "cxr+labs": 0, "note+labs": 0}, rel=1e-5)


def test_shapley_values_sum_to_the_logit_above_the_prior(make_network, make_batch):
    network = make_network(lambda evidence, present: torch.tanh(evidence.sum(1)) + evidence.prod(1))
    answer = ask(network, make_batch())
    assert sum(answer.shapley.values()) == pytest.approx(answer.logit - answer.prior_logit, abs=1e-5)
    assert check(answer, "efficiency").passed


@pytest.fixture
def kinked(linear_network, make_network, make_batch):
    """A net that is flat up to three tenths of the path, so that no smooth quadrature rule is exact on it."""
    straight = ask(linear_network, make_batch())
    start, change = straight.baseline_logit - straight.prior_logit, straight.logit - straight.baseline_logit
    return make_network(lambda evidence, present: torch.relu((evidence.sum(1) - start) / change - 0.3))


def test_the_path_is_refined_until_the_maps_add_up(kinked, make_batch):
    assert not check(ask(kinked, make_batch(), max_steps=7), "completeness").passed
    answer = ask(kinked, make_batch())
    assert 7 < answer.steps < 32
    assert answer.trusted


def test_a_tighter_tolerance_takes_more_steps(kinked, make_batch):
    loose, tight = (ask(kinked, make_batch(), tolerance=tolerance) for tolerance in (0.01, 0.001))
    assert loose.steps < tight.steps
    assert check(tight, "completeness").value <= 0.001


def test_a_path_that_never_adds_up_fails_its_check(make_network, make_batch):
    network = make_network(lambda evidence, present: torch.sin(300 * evidence.sum(1)))
    answer = ask(network, make_batch(), max_steps=32)
    assert answer.steps == 31
    assert check(answer, "completeness").value > check(answer, "completeness").limit
    assert not answer.trusted


def test_forward_passes_are_the_rows_that_the_encoders_saw(kinked, make_batch):
    answer = ask(kinked, make_batch())
    assert answer.steps > 3
    assert answer.forward_passes == kinked.rows == 2 + answer.steps


def test_what_finds_no_room_is_seen_again_and_the_maps_are_the_same(kinked, make_batch, monkeypatch):
    whole = ask(kinked, make_batch())
    monkeypatch.setattr(methods, "KEPT", 0)
    again = ask(kinked, make_batch())
    assert again.forward_passes == 2 + 2 * whole.steps
    for name, values in whole.maps.items():
        np.testing.assert_allclose(again.maps[name], values, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("internal_batch_size", [1, 3, 64])
def test_memory_is_bounded_and_the_answer_is_the_same(make_network, make_batch, internal_batch_size):
    network = make_network(lambda evidence, present: torch.tanh(evidence.sum(1) / 4))
    answer = ask(network, make_batch(), internal_batch_size=internal_batch_size)
    expected = ask(network, make_batch())
    for name in expected.maps:
        assert answer.maps[name] == pytest.approx(expected.maps[name], abs=1e-6)


def test_asking_again_gives_the_same_bits_and_leaves_no_gradient(make_network, make_batch):
    network = make_network(lambda evidence, present: torch.tanh(evidence.sum(1)))
    scale = torch.nn.Parameter(torch.ones(()))
    network.combine = lambda evidence, present: torch.tanh(scale * evidence.sum(1))
    with torch.no_grad():
        first, second = ask(network, make_batch()), ask(network, make_batch())
    assert all((first.maps[name] == second.maps[name]).all() for name in first.maps)
    assert scale.grad is None


def test_the_typical_picture_moves_nothing(linear_network, make_batch):
    batch = make_batch()
    typical = replace(batch.modalities["cxr"], values=linear_network.encoders["cxr"].typical[None])
    answer = ask(linear_network, replace(batch, modalities=batch.modalities | {"cxr": typical}))
    assert not answer.maps["cxr"].any()


def test_an_unknown_method_names_the_choices(linear_network, make_batch):
    with pytest.raises(ConfigError, match="choose one of grad_cam, integrated_gradients"):
        ask(linear_network, make_batch(), method="guesswork")


def test_more_than_one_case_is_refused(linear_network, make_batch):
    batch = make_batch()
    with pytest.raises(ValueError, match="one case"):
        ask(linear_network, type(batch).cat([batch, batch]))
