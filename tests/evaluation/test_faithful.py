"""Explanations that explain their model pass; those that any weights would give, or that do not add up, do not."""

from dataclasses import replace

import pytest
import torch
from small_models import MODALITIES, PLANS, QUALITIES, random_batch, small_network

from clinimm.attribution.trust.randomized import shuffled
from clinimm.batch import Batch
from clinimm.evaluation.faithful import explanations_hold
from clinimm.evaluation.limits import Finding
from clinimm.models.build import build_network
from clinimm.models.network import Network


def labs_network() -> Network:
    torch.manual_seed(0)
    plans, qualities = {"labs": PLANS["labs"]}, {"labs": QUALITIES["labs"]}
    return build_network(MODALITIES[2:], plans, qualities, width=8, fusion="gate", dropout=0.0, prior=[-0.4, 0.7])


def labs_batch(n: int, *, present: bool = True) -> Batch:
    whole = random_batch(n, present=torch.full((n, 3), present))
    return replace(whole, modalities={"labs": whole.modalities["labs"]})


def found(network: Network, cases: int = 3) -> dict[str, Finding]:
    findings = explanations_hold(
        network.eval(), labs_batch(6), ("a", "b"), cases=cases, incomplete=0.0, resemblance=0.8, seed=0
    )
    return {finding.rule: finding for finding in findings}


def test_a_real_networks_explanations_hold() -> None:
    rules = found(labs_network())
    assert rules["completeness"].holds
    assert rules["completeness"].told == "3 of 3 explained cases add up to their logit"
    assert rules["randomized weights"].holds


def test_maps_that_do_not_depend_on_the_weights_are_found() -> None:
    network = labs_network()
    network.state_dict = dict  # type: ignore[method-assign, assignment] # nothing is left to shuffle
    rules = found(network)
    assert rules["completeness"].holds
    assert rules["randomized weights"].holds is False


def test_maps_that_do_not_add_up_are_found() -> None:
    network = labs_network()
    honest = network.fuse

    def stepped(*given):
        output = honest(*given)
        return replace(output, logits=output.logits.detach() + 0 * output.logits)

    network.fuse = stepped  # type: ignore[method-assign]
    assert found(network, cases=1)["completeness"].holds is False


def test_shuffling_keeps_the_numbers_of_each_weight_and_the_network_itself() -> None:
    network = small_network()
    before = {name: weight.clone() for name, weight in network.state_dict().items()}
    other = shuffled(network, torch.Generator().manual_seed(0))
    changed = 0
    for name, weight in other.state_dict().items():
        torch.testing.assert_close(weight.flatten().sort()[0], before[name].flatten().sort()[0], rtol=0, atol=0)
        torch.testing.assert_close(network.state_dict()[name], before[name], rtol=0, atol=0)
        changed += not torch.equal(weight, before[name])
    assert changed > len(before) / 2


def test_without_a_usable_input_nothing_is_asked() -> None:
    [finding] = explanations_hold(
        labs_network().eval(), labs_batch(2, present=False), ("a", "b"),
        cases=3, incomplete=0.0, resemblance=0.8, seed=0,
    )  # fmt: skip
    assert finding.holds is None


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)
