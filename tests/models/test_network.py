"""Promises of every net: what is absent cannot matter, alone or in a batch is the same, every weight learns."""

import dataclasses

import pytest
import torch
from small_models import MODALITIES, PLANS, QUALITIES, VOCABULARY, random_batch, small_network
from torch.nn.functional import binary_cross_entropy_with_logits

from clinimm.errors import ConfigError
from clinimm.models.build import EncoderPlan, build_network
from clinimm.models.fusions import FUSIONS
from clinimm.models.fusions.heard import masked_softmax

SMALL_DATA = {
    "cxr": EncoderPlan("eigen", options={"components": 4, "whiten": 1.0}),
    "note": EncoderPlan("bag", options={"components": 4}, vocabulary=VOCABULARY),
}


@pytest.mark.parametrize("fusion", FUSIONS)
def test_shapes_and_weights(fusion: str) -> None:
    batch = random_batch(6)
    output = small_network(fusion).eval()(batch)
    assert output.logits.shape == (6, 2)
    assert output.unimodal.shape == (6, 3, 2)
    assert (output.weights[~batch.present] == 0).all()
    torch.testing.assert_close(output.weights.sum(1), torch.ones(6))


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("plans", [PLANS, SMALL_DATA], ids=["nets", "small-data"])
def test_what_an_absent_input_holds_is_ignored(fusion: str, plans: dict[str, EncoderPlan]) -> None:
    batch = random_batch(6)
    network = small_network(fusion, **plans).eval()
    network.fit_encoders(batch)
    poisoned = {}
    for name, part in batch.modalities.items():
        values, quality = part.values.clone(), part.quality.clone()
        values[~part.present] = 7 if name == "note" else float("nan")
        quality[~part.present] = float("nan")
        poisoned[name] = dataclasses.replace(part, values=values, quality=quality)
    assert torch.equal(network(batch).logits, network(dataclasses.replace(batch, modalities=poisoned)).logits)


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("mode", ["eval", "train"])
def test_alone_or_in_a_batch_is_the_same_answer(fusion: str, mode: str) -> None:
    batch = random_batch(8)
    options = {"hidden": 16, "layers": 1, "heads": 2, "dropout": 0.0}
    note = EncoderPlan("transformer", dropout=0.0, options=options, vocabulary=VOCABULARY)
    net = {"planes": [8, 8, 16, 16], "max_pool": False, "norm": "group"}
    cxr = EncoderPlan("resnet10", options=net, dropout=0.0)
    network = small_network(fusion, note=note, cxr=cxr, labs=EncoderPlan("analytes", dropout=0.0))
    network.train(mode == "train")
    together = network(batch).logits
    alone = torch.cat([network(batch.rows(torch.tensor([i]))).logits for i in range(8)])
    torch.testing.assert_close(together, alone, atol=2e-5, rtol=2e-5)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_gradient_reaches_every_weight(fusion: str) -> None:
    batch = random_batch(8)
    network = small_network(fusion)
    output = network(batch)
    unimodal = binary_cross_entropy_with_logits(output.unimodal, batch.targets[:, None].expand(-1, 3, -1))
    (binary_cross_entropy_with_logits(output.logits, batch.targets) + unimodal).backward()
    unused = {
        "model.pooler",
        "embeddings.word_embeddings",
        "embeddings.token_type",
        "fusion.doubt",
    }  # doubt: fitted last
    still = [
        name
        for name, weight in network.named_parameters()
        if (weight.grad is None or not weight.grad.abs().sum() > 0) and not any(part in name for part in unused)
    ]
    assert still == []


@pytest.mark.parametrize("fusion", FUSIONS)
def test_every_weight_stays_in_the_graph_when_a_modality_is_absent_everywhere(fusion: str) -> None:
    present = torch.tensor([[True, False, True]] * 4)
    network = small_network(fusion)
    output = network(random_batch(4, present=present))
    (output.logits.sum() + output.unimodal.sum()).backward()
    assert all(w.grad is not None for name, w in network.encoders["note"].project.named_parameters())


def test_a_batch_without_films_leaves_the_statistics_of_films_alone() -> None:
    network = small_network()
    before = {name: value.clone() for name, value in network.named_buffers() if "running" in name}
    network(random_batch(4, present=torch.tensor([[False, True, True]] * 4)))
    assert before
    assert all(torch.equal(value, dict(network.named_buffers())[name]) for name, value in before.items())
    assert all(layer.training for layer in network.modules())


def test_nothing_present_gives_the_prior() -> None:
    network = small_network().eval()
    batch = random_batch(3)
    output = network(batch, torch.zeros(3, 3, dtype=torch.bool))
    torch.testing.assert_close(output.logits, network.prior.expand(3, -1))
    assert (output.weights == 0).all()


def test_presence_can_only_hide() -> None:
    network = small_network().eval()
    batch = random_batch(6)
    assert torch.equal(network(batch).logits, network(batch, torch.ones(6, 3, dtype=torch.bool)).logits)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_hiding_after_encoding_equals_never_having_had_it(fusion: str) -> None:
    network = small_network(fusion).eval()
    batch = random_batch(6)
    keep = torch.tensor([[True, False, True]] * 6)
    parts = batch.modalities
    tokens = network.encode(network.embed(batch), {n: p.mask for n, p in parts.items()}, batch.present)
    hidden = network.fuse(tokens, batch.present & keep, {n: p.quality for n, p in parts.items()})
    torch.testing.assert_close(hidden.logits, network(batch, keep).logits, atol=1e-6, rtol=1e-6)


def test_masked_softmax_of_extreme_scores_is_finite() -> None:
    scores = torch.tensor([[1e4, -1e4, 0.0], [5.0, 5.0, 1e30]])
    weights = masked_softmax(scores, torch.tensor([[False, True, True], [True, True, False]]))
    torch.testing.assert_close(weights, torch.tensor([[0.0, 0.0, 1.0], [0.5, 0.5, 0.0]]))


@pytest.mark.parametrize(
    ("plan", "shape"),
    [
        (EncoderPlan("densenet121", options={"layers": [2, 2], "growth": 4, "init_features": 8}), (1, 32, 32)),
        (EncoderPlan("resnet18", options={"planes": [4, 4, 8, 8]}), (1, 32, 32, 16)),
        (EncoderPlan("resnet50", options={"planes": [4, 4, 8, 8]}), (1, 32, 32)),
        (EncoderPlan("densenet121", options={"layers": [2, 2], "growth": 4, "init_features": 8}), (1, 32, 32, 16)),
        (EncoderPlan("vit", options={"hidden": 16, "layers": 1, "heads": 2, "mlp": 16}), (1, 32, 32)),
        (EncoderPlan("vit", options={"hidden": 16, "layers": 1, "heads": 2, "mlp": 16}), (1, 32, 32, 16)),
    ],
)
def test_image_encoders_in_two_and_three_dimensions(plan: EncoderPlan, shape: tuple[int, ...]) -> None:
    modality = dataclasses.replace(MODALITIES[0], shape=shape)
    network = build_network(
        [modality], {"cxr": plan}, {"cxr": 3}, width=8, fusion="gate", dropout=0.1, prior=[0.0]
    ).eval()
    tokens = network.encoders["cxr"](torch.randn(2, *shape), None)
    assert tokens.values.shape[0] == 2
    assert tokens.values.shape[2] == 8


def test_unknown_names_say_what_the_choices_are() -> None:
    with pytest.raises(ConfigError, match="did you mean 'resnet1"):
        small_network(cxr=EncoderPlan("resnet11"))
    with pytest.raises(ConfigError, match="did you mean 'gate'"):
        small_network("gatt")
    with pytest.raises(ConfigError, match="no such option"):
        small_network(cxr=EncoderPlan("resnet10", options={"wdith": 3}))


def test_eigen_image_keeps_what_the_components_span() -> None:
    network = small_network(**SMALL_DATA)
    batch = random_batch(24, present=torch.ones(24, 3, dtype=torch.bool))
    network.fit_encoders(batch)
    encoder = network.encoders["cxr"]
    scores = (batch.modalities["cxr"].values.flatten(1) - encoder.mean) @ encoder.basis
    torch.testing.assert_close(scores.mean(0), torch.zeros(4), atol=1e-4, rtol=0)
    torch.testing.assert_close(scores.T @ scores / 24, torch.eye(4), atol=1e-3, rtol=0)


def test_quality_moves_the_gate() -> None:
    network = small_network().eval()
    batch = random_batch(4, present=torch.ones(4, 3, dtype=torch.bool))
    worse = {n: dataclasses.replace(p, quality=p.quality + (n == "cxr") * 3.0) for n, p in batch.modalities.items()}
    moved = network(dataclasses.replace(batch, modalities=worse)).weights - network(batch).weights
    assert moved.abs().max() > 1e-3
    assert set(QUALITIES) == set(worse)


@pytest.mark.parametrize("encoder", ["resnet10", "eigen"])
def test_picture_encoders_keep_the_median_training_picture(encoder: str) -> None:
    network = small_network(cxr=EncoderPlan(encoder))
    batch = random_batch(9)
    network.fit_encoders(batch)
    cxr = batch.modalities["cxr"]
    assert torch.equal(network.encoders["cxr"].typical, cxr.values[cxr.present].median(dim=0).values)
