"""Explanations that explain their model pass; those that any weights would give, that do not add up, or that are worse
than those of the model before, do not."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_models import MODALITIES, PLANS, QUALITIES, random_batch, small_network

from clinimm.attribution.trust.randomized import shuffled
from clinimm.batch import Batch
from clinimm.config.explain import Explain
from clinimm.evaluation.faithfulness import FEWEST, Measured, chance, measure, sample
from clinimm.evaluation.faithfulness_rules import explanations_hold, explanations_no_worse
from clinimm.evaluation.limits import Finding, Limits
from clinimm.inference import care_of
from clinimm.models.build import build_network
from clinimm.models.committee import Committee
from clinimm.models.network import Network

CARE = care_of(Explain(max_steps=32))
PATIENTS = 16


def labs_network() -> Network:
    torch.manual_seed(0)
    plans, qualities = {"labs": PLANS["labs"]}, {"labs": QUALITIES["labs"]}
    return build_network(MODALITIES[2:], plans, qualities, width=8, fusion="gate", dropout=0.0, prior=[-0.4, 0.7])


def lively_network() -> Network:
    """One whose answers hang on its input."""
    network = labs_network()
    with torch.no_grad():
        for weight in network.parameters():
            weight.mul_(2.0) if weight.any() else torch.nn.init.normal_(weight, std=0.5)
    return network


def labs_batch(n: int, *, present: bool = True) -> Batch:
    whole = random_batch(n, present=torch.full((n, 3), present))
    return replace(whole, modalities={"labs": whole.modalities["labs"]})


def measured(network: Network, n: int = 3, *, present: bool = True) -> Measured:
    ids = [f"p{row}" for row in range(n)]
    batch = labs_batch(n, present=present)
    return measure(Committee([network], None).eval(), batch, ids, range(n), ("a", "b"), CARE, seed=0)


def found(network: Network, n: int = FEWEST) -> dict[str, Finding]:
    worth = measured(network, n).faithfulness(resamples=50, seed=0)
    return {finding.rule: finding for finding in explanations_hold(worth, ("labs",), Limits())}


def with_gradients_of_shuffled_weights(network: Network) -> Network:
    """A net of the same answers, whose maps are those of a net with the same weights in another order."""
    stranger, honest = shuffled(network, torch.Generator().manual_seed(3)), network.fuse

    def fuse(*given):
        output, other = honest(*given), stranger.fuse(*given).logits
        return replace(output, logits=output.logits.detach() + other - other.detach())

    network.fuse = fuse  # type: ignore[method-assign]
    return network


def no_worse(candidate: Measured, current: Measured) -> dict[str, Finding]:
    findings = explanations_no_worse(candidate, current, 0.1, resamples=200, seed=0)
    return {finding.told.partition(":")[0]: finding for finding in findings}


def of(values: np.ndarray) -> Measured:
    return Measured(tuple(f"p{row}" for row in range(len(values))), {("comprehensiveness", "labs"): values})


def test_a_real_networks_explanations_hold() -> None:
    rules = found(labs_network())
    assert rules["completeness"].holds
    assert rules["completeness"].told == "10 of 10 explained cases add up to their logit"
    assert rules["randomized weights"].holds


def test_maps_that_do_not_depend_on_the_weights_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clinimm.evaluation.faithfulness.shuffled", lambda network, _: network)
    rules = found(labs_network())
    assert rules["completeness"].holds
    assert rules["randomized weights"].holds is False


def test_maps_of_few_patients_are_not_compared_with_those_of_shuffled_weights() -> None:
    rule = found(labs_network(), FEWEST - 1)["randomized weights"]
    assert rule.holds is None
    assert "9 explained patients" in rule.told


def test_maps_that_do_not_add_up_are_found() -> None:
    network = labs_network()
    honest = network.fuse

    def stepped(*given):
        output = honest(*given)
        return replace(output, logits=output.logits.detach() + 0 * output.logits)

    network.fuse = stepped  # type: ignore[method-assign]
    assert found(network, 1)["completeness"].holds is False


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
    nothing = measured(labs_network(), 2, present=False)
    [finding] = explanations_hold(nothing.faithfulness(resamples=50, seed=0), ("labs",), Limits())
    assert finding.holds is None
    assert explanations_no_worse(nothing, nothing, 0.1, resamples=50, seed=0) == []


def test_maps_made_worse_are_refused_and_named_and_the_same_maps_pass() -> None:
    nets = (lively_network(), with_gradients_of_shuffled_weights(lively_network()))
    current, worse = (measured(net, PATIENTS) for net in nets)
    assert all(finding.holds for finding in no_worse(current, current).values())
    told = no_worse(worse, current)
    assert told["comprehensiveness of labs"].holds is False
    assert "may lose 10 %" in told["comprehensiveness of labs"].told
    limits = Limits()
    before, after = (one.faithfulness(resamples=200, seed=0) for one in (current, worse))
    deletion = {finding.rule: finding for finding in explanations_hold(before, ("labs",), limits)}["deletion"]
    assert deletion.holds
    assert f"({PATIENTS} patients; p " in deletion.told
    deletion = {finding.rule: finding for finding in explanations_hold(after, ("labs",), limits)}["deletion"]
    assert deletion.holds is False


def test_an_input_of_too_few_patients_is_told_and_not_judged() -> None:
    worth = measured(labs_network()).faithfulness(resamples=50, seed=0)
    told = {finding.rule: finding for finding in explanations_hold(worth, ("labs", "cxr"), Limits())}
    assert told["deletion"].holds is None
    assert told["deletion"].told.startswith("cxr: 0 explained patients")
    few = of(np.full(FEWEST - 1, 0.3))
    [finding] = explanations_no_worse(few, few, 0.1, resamples=20, seed=0)
    assert (finding.holds, f"{FEWEST} are needed" in finding.told) == (None, True)


def test_only_a_loss_that_is_sure_and_more_than_the_limit_is_refused() -> None:
    rng = np.random.default_rng(0)
    before = rng.uniform(0.3, 0.5, 30)
    [small] = explanations_no_worse(of(before * 0.95), of(before), 0.1, resamples=400, seed=0)
    [large] = explanations_no_worse(of(before * 0.80), of(before), 0.1, resamples=400, seed=0)
    [unsure] = explanations_no_worse(of(before * 0.8 + rng.normal(0, 1, 30)), of(before), 0.1, resamples=400, seed=0)
    assert [small.holds, large.holds, unsure.holds] == [True, False, True]


def test_a_patient_in_whom_one_of_the_two_has_nothing_to_measure_counts_for_neither() -> None:
    before = np.full(20, 0.4)
    after = before.copy()
    before[:5], after[-5:] = 9.0, np.nan
    after[:5] = np.nan
    [finding] = explanations_no_worse(of(after), of(before), 0.1, resamples=50, seed=0)
    assert finding.holds
    assert "0.400, now 0.400" in finding.told
    assert "10 patients" in finding.told


def test_a_sample_has_a_case_of_each_patient_and_enough_of_a_rare_input() -> None:
    present = np.zeros((200, 2), dtype=bool)
    present[:, 0], present[::20, 1] = True, True  # 10 of 200 cases have the second input
    present[7] = False
    ids = [f"p{row // 2}" for row in range(200)]
    rows = sample(present, ids, 24, seed=1)
    assert rows == sample(present, ids, 24, seed=1) != sample(present, ids, 24, seed=2)
    assert len({ids[row] for row in rows}) == len(rows) == 24
    assert present[rows, 1].sum() >= 3
    assert 7 not in sample(present, ids, 200, seed=1)
    assert len(sample(present, ids, 500, seed=1)) == 100


def test_gains_are_tested_by_ranks_one_sided() -> None:
    gains = np.arange(1.0, 12.0)
    assert chance(gains) == pytest.approx(2.0**-11)
    assert chance(-gains) == pytest.approx(1.0)
    assert chance(np.zeros(12)) == 1.0
    assert chance(gains[:3]) is None


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)
