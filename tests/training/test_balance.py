"""An input that leads learns slower, and only it; the figures of an epoch are enough to go on from."""

import math

import pytest
import torch
from small_models import small_network

from clinimm.training.balance import Balance, belief
from clinimm.training.optim import Rates, build_optimizer, encoder_of, peak_rates

NAMES = ("cxr", "note", "labs")


def heard(alpha: float) -> Balance:
    balance = Balance(NAMES, alpha)
    balance.hear(torch.tensor([[9.0, 5.0, 7.0], [10.0, 10.0, 10.0]]))
    return balance


def test_the_leader_slows_down_and_nobody_else() -> None:
    balance = heard(2.0)
    assert balance.ratio("cxr") == pytest.approx(0.9 / 0.6)
    assert balance.factor("cxr") == pytest.approx(1 - math.tanh(2 * 0.5))
    assert [balance.factor(name) for name in ("note", "labs", "")] == [1.0, 1.0, 1.0]
    assert heard(0.0).factor("cxr") == 1.0


def test_an_input_that_was_never_there_neither_leads_nor_lags() -> None:
    balance = Balance(NAMES, 1.0)
    balance.hear(torch.tensor([[9.0, 0.0, 6.0], [10.0, 0.0, 10.0]]))
    assert balance.factor("note") == balance.ratio("note") == 1.0
    assert balance.ratio("cxr") == pytest.approx(1.5)
    assert set(balance.figures()) == {"score_cxr", "score_labs", "imbalance_cxr", "imbalance_labs"}


def test_it_goes_on_from_the_figures_of_the_last_epoch() -> None:
    resumed = Balance.resumed(NAMES, 2.0, {"epoch": 3.0} | heard(2.0).figures())
    assert resumed == heard(2.0)


def test_belief_is_the_mean_probability_of_the_truth_where_it_is_known() -> None:
    unimodal = torch.tensor([[[0.0, 2.0], [4.0, 4.0]], [[1.0, 1.0], [1.0, -3.0]]])
    targets = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    known = torch.tensor([[True, True], [False, True]])
    present = torch.tensor([[True, False], [True, True]])
    total, count = belief(unimodal, targets, known, present)
    sigmoid = torch.sigmoid(torch.tensor([0.0, -2.0, 1.0, -3.0]))
    torch.testing.assert_close(total, torch.stack([sigmoid[:3].sum(), sigmoid[3]]))
    assert count.tolist() == [3.0, 1.0]


def test_every_weight_of_an_encoder_is_in_a_group_of_its_name() -> None:
    network = small_network()
    optimizer = build_optimizer(peak_rates(network, Rates(1e-3)), 0.1, encoder_of(network))
    found = {name: set() for name in ("", *NAMES)}
    for group in optimizer.param_groups:
        found[group["encoder"]] |= set(group["params"])
    for name in NAMES:
        assert found[name] == {*network.encoders[name].parameters(), *network.summaries[name].parameters()}
    rest = {*network.fusion.parameters(), *network.opinions.parameters(), *network.head.parameters()}
    assert found[""] == {weight for weight in rest if weight.requires_grad}
