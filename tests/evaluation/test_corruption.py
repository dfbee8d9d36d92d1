"""Inputs made worse on purpose, before a model that trusts what is clean and one that does not care."""

import json

import numpy as np
import pytest
import torch
from scipy.special import expit
from small_models import MODALITIES, random_batch, small_network

from clinimm.batch import ModelOutput, Tokens
from clinimm.evaluation.corruption import (
    SDS,
    Corrupted,
    blurred,
    corrupt,
    judge_corruption,
    panel_noise,
    picture_noise,
    words_swapped,
)


def apply(logits, present):
    return expit(logits)


class Careful:
    """Reads only labs: a sum of values; trusts them by how near they are to what healthy ones are."""

    modalities = (MODALITIES[2], MODALITIES[0])

    def __init__(self, careful):
        self.careful = careful
        self.prior = torch.zeros(2)

    def tokens(self, batch, present):
        values = batch.modalities["labs"].values[:, None]
        return {"labs": Tokens.of_all(values), "cxr": Tokens.of_all(values * 0)}

    def fuse(self, tokens, present, quality):
        values = tokens["labs"].values[:, 0]
        trust = torch.exp(-values.square().mean(1) * self.careful) * present[:, 0]
        other = (1 - trust) * present[:, 1]
        logits = (trust * values.sum(1))[:, None].expand(-1, 2)
        weights = torch.stack([trust, other], dim=1)
        return ModelOutput(logits, torch.zeros(len(values), 2, 2), torch.zeros(len(values), 1), weights)


@pytest.fixture(scope="module")
def batch():
    everything = random_batch(80, present=torch.ones(80, 3, dtype=torch.bool))
    kept = {name: everything.modalities[name] for name in ("labs", "cxr")}
    return type(everything)(everything.case_ids, kept, everything.targets, everything.target_mask)


def ids(batch):
    return [f"p{i}" for i in range(len(batch))]


def labs_noise(found):
    return next(one for one in found if one.modality == "labs")


def test_a_careful_gate_turns_from_noise_and_a_careless_one_does_not(batch):
    for careful, falls in ((0.5, True), (0.0, False)):
        told = judge_corruption(
            labs_noise(corrupt(Careful(careful), batch, ids(batch), apply)), ("a", "b"), bootstrap=50
        )
        assert told[0].falls.clear == falls
        weights = [one.value for one in told[0].weight]
        assert weights == sorted(weights, reverse=True)
        # The answer without labs is 1/2: a careful one comes back to it, a careless one goes ever farther.
        assert (told[0].distance[-1].value < told[0].distance[0].value) == falls
        assert told[0].without.value == 0.5


def test_without_corruption_the_answers_are_the_models_own(batch):
    model = Careful(0.3)
    output = model.fuse(model.tokens(batch, batch.present), batch.present, batch.quality)
    found = labs_noise(corrupt(model, batch, ids(batch), apply))
    assert np.allclose(found.probabilities[0], expit(output.logits.numpy()), atol=1e-6)
    assert np.allclose(found.weights[0], output.weights[:, 0].numpy())
    assert found.strengths[0] == 0.0


def test_every_input_of_a_real_network_is_spoilt_in_every_way_and_only_where_another_is_left():
    batch = random_batch(24)
    found = corrupt(small_network().eval(), batch, ids(batch), apply, seed=1)
    assert [(one.modality, one.how) for one in found] == [
        ("cxr", "noise"), ("cxr", "blur"), ("note", "words swapped"), ("labs", "noise"),
    ]  # fmt: skip
    several = batch.present.sum(dim=1) > 1
    for one, place in zip(found, (0, 0, 1, 2), strict=True):
        assert one.targets.shape == (int((batch.present[:, place] & several).sum()), 2)
        assert not np.allclose(one.probabilities[0], one.probabilities[-1])
    again = corrupt(small_network().eval(), batch, ids(batch), apply, seed=1)
    assert all((a.probabilities == b.probabilities).all() for a, b in zip(found, again, strict=True))
    whole = Corrupted.concat([found[0], again[0]])
    assert whole.weights.shape[1] == 2 * found[0].weights.shape[1]
    json.dumps([one.record() for one in judge_corruption(whole, ("a", "b"), bootstrap=20)], allow_nan=False)


def test_no_more_cases_are_asked_than_wished():
    batch = random_batch(24, present=torch.ones(24, 3, dtype=torch.bool))
    assert corrupt(small_network().eval(), batch, ids(batch), apply, most=10)[0].targets.shape[0] == 10


def test_the_gate_hears_of_the_change_in_quality():
    heard = []

    class Hears(Careful):
        def fuse(self, tokens, present, quality):
            heard.append(quality["cxr"].clone())
            return super().fuse(tokens, present, quality)

    batch = random_batch(8, present=torch.ones(8, 3, dtype=torch.bool))
    kept = {name: batch.modalities[name] for name in ("labs", "cxr")}
    small = type(batch)(batch.case_ids, kept, batch.targets, batch.target_mask)
    corrupt(Hears(0.3), small, ids(small), apply, looks={"cxr": lambda values: values.std()[None]})
    before = small.modalities["cxr"].quality
    noisy = heard[-10]  # five of noise, then five of blur, are the last ten: the first has no noise
    assert torch.allclose(noisy, before)
    assert (heard[-6][:, 0] > before[:, 0] + 2).all()
    assert (heard[-1][:, 0] < before[:, 0]).all()
    assert torch.equal(heard[-1][:, 1:], before[:, 1:])


def test_corruptions_touch_only_what_is_known():
    part = random_batch(40, present=torch.ones(40, 3, dtype=torch.bool)).modalities
    generator = torch.Generator().manual_seed(0)
    labs = list(panel_noise(part["labs"], generator))[-1]
    assert torch.equal(labs.values[~part["labs"].mask], part["labs"].values[~part["labs"].mask])
    assert (labs.values - part["labs"].values)[part["labs"].mask].std() > 2
    words = list(words_swapped(part["note"], generator))
    assert torch.equal(words[0].values, part["note"].values)
    assert torch.equal(words[-1].values[~part["note"].mask], part["note"].values[~part["note"].mask])
    share = (words[2].values != part["note"].values)[part["note"].mask].float().mean()
    assert share == pytest.approx(0.5, abs=0.1)
    films = list(picture_noise(part["cxr"], generator))
    spread = part["cxr"].values.std(dim=(1, 2, 3))
    added = [(film.values - part["cxr"].values).std(dim=(1, 2, 3)) / spread for film in films]
    assert torch.stack(added).mean(1).tolist() == pytest.approx(list(SDS), abs=0.05)


def test_a_blur_keeps_a_flat_picture_and_flattens_others_also_in_three_dimensions():
    for shape in ((2, 1, 24, 20), (2, 1, 12, 10, 9)):
        flat = torch.full(shape, 3.0)
        assert torch.allclose(blurred(flat, 0.1), flat, atol=1e-5)
        noisy = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        assert blurred(noisy, 0.1).shape == torch.Size(shape)
        assert blurred(noisy, 0.1).std() < 0.5 * noisy.std()
    assert torch.equal(blurred(noisy, 0.0), noisy)
