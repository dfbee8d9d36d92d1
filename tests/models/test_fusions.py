"""Ways of joining inputs: the rules they state, worked by hand, and what soft presence promises."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clinimm.batch import Tokens
from clinimm.models.fusions import FUSIONS
from clinimm.models.fusions.doubt import Judge
from clinimm.models.fusions.gate import Gate
from clinimm.models.fusions.heard import Heard, Pool
from clinimm.models.fusions.opinions import dempster
from clinimm.models.fusions.reliability import Freshness

LOGITS = st.floats(-6, 6)


def heard(n: int = 5, modalities: int = 3, targets: int = 2, seed: int = 0) -> Heard:
    """What random inputs say, all of them present."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    tokens = [Tokens.of_all(normal(n, 2, 8)) for _ in range(modalities)]
    quality = [normal(n, 4).abs() for _ in range(modalities)]
    return Heard(tokens, torch.ones(n, modalities, dtype=torch.bool), quality, normal(n, modalities, targets))


def without(said: Heard, i: int) -> Heard:
    """The same, input `i` being absent: what it said is 0."""
    keep = torch.arange(said.present.shape[1]) != i
    tokens = [Tokens(one.values * k, one.mask & k) for one, k in zip(said.tokens, keep, strict=True)]
    quality = [q * k for q, k in zip(said.quality, keep, strict=True)]
    return Heard(tokens, said.present & keep, quality, said.opinions * keep[:, None])


def rows(said: Heard, index: torch.Tensor) -> Heard:
    return Heard(
        [one.rows(index) for one in said.tokens], said.present[index], [q[index] for q in said.quality],
        said.opinions[index],
    )  # fmt: skip


def operator(name: str) -> torch.nn.Module:
    torch.manual_seed(1)
    fusion = FUSIONS[name](8, [4, 4, 4], 2, 0.0).eval()
    for weight in fusion.parameters():
        if not weight.any():
            torch.nn.init.normal_(weight, std=0.3)
    return fusion


@pytest.mark.parametrize("name", FUSIONS)
def test_the_order_of_cases_does_not_matter(name: str) -> None:
    fusion, said = operator(name), without(heard(), 1)
    order = torch.tensor([3, 0, 4, 1, 2])
    straight, shuffled = fusion(said), fusion(rows(said, order))
    torch.testing.assert_close(straight.evidence[order], shuffled.evidence)
    torch.testing.assert_close(straight.fused[order], shuffled.fused)
    torch.testing.assert_close(straight.weights[order], shuffled.weights)


@pytest.mark.parametrize("name", FUSIONS)
def test_weights_are_shares_of_what_is_present(name: str) -> None:
    joined = operator(name)(without(heard(), 2))
    assert (joined.weights[:, 2] == 0).all()
    torch.testing.assert_close(joined.weights.sum(1), torch.ones(5))
    if joined.trust is not None:
        assert (joined.trust[:, 2] == 0).all()
        assert (joined.trust <= 1).all()
    if joined.conflict is not None:
        assert ((joined.conflict >= -1e-6) & (joined.conflict <= 1)).all()


def test_an_input_that_is_not_trusted_counts_as_one_that_is_absent() -> None:
    """Trust is a soft presence: at 0 the answer is the one without the input, whatever the input holds."""
    gate, said = operator("gate"), heard()
    assert isinstance(gate, Gate)
    judge = gate.doubt.judges[1]
    assert isinstance(judge, Judge)
    torch.nn.init.constant_(judge.last.bias, -80.0)
    doubted, absent = gate(said), gate(without(said, 1))
    assert doubted.weights[:, 1].max() < 1e-20
    for part in ("fused", "evidence", "weights"):
        torch.testing.assert_close(getattr(doubted, part), getattr(absent, part))


@settings(derandomize=True, max_examples=50, deadline=None)
@given(st.lists(LOGITS, min_size=1, max_size=4), st.integers(0, 4))
def test_vacuous_opinions_are_the_exact_identity_of_dempsters_rule(logits: list[float], extra: int) -> None:
    opinions = torch.tensor(logits)[None, :, None]
    padded = torch.cat([opinions, torch.full((1, extra, 1), 3.0)], dim=1)
    trust = torch.cat([torch.ones(1, len(logits)), torch.zeros(1, extra)], dim=1)
    alone, together = dempster(opinions, torch.ones(1, len(logits))), dempster(padded, trust)
    assert torch.equal(alone[0], together[0])
    assert torch.equal(alone[1], together[1])


@settings(derandomize=True, max_examples=50, deadline=None)
@given(LOGITS, LOGITS)
def test_dempsters_rule_keeps_one_opinion_and_sees_two_that_contradict(first: float, second: float) -> None:
    trust = torch.ones(1, 2)
    one, none = dempster(torch.tensor([[[first]]]), trust[:, :1])
    assert one.item() == pytest.approx(first, abs=0.05)
    assert none.item() == pytest.approx(0, abs=1e-6)
    _, conflict = dempster(torch.tensor([[[first], [second]]]), trust)
    contrary = first * second < 0
    expected = abs(math.tanh(first / 2) * math.tanh(second / 2)) if contrary else 0.0
    assert conflict.item() == pytest.approx(expected, abs=1e-3)


def test_the_pool_averages_or_adds_by_its_exponent() -> None:
    pool, said = Pool(2), heard()
    torch.nn.init.constant_(pool.independence, -30.0)
    torch.testing.assert_close(pool.even(said)[1], said.opinions.mean(1))
    torch.nn.init.constant_(pool.independence, 30.0)
    torch.testing.assert_close(pool.even(said)[1], said.opinions.sum(1))


def test_freshness_halves_in_log_two_of_tau_and_leaves_the_rest_alone() -> None:
    fresh = Freshness()
    quality = torch.tensor([[0.3, 7 * math.log(2), 0.0], [0.3, 0.0, 1.0]])
    torch.testing.assert_close(fresh(quality), torch.tensor([[0.3, 0.5, 0.0], [0.3, 1.0, 1.0]]))
    fresh(quality).sum().backward()
    assert fresh.log_tau.grad is not None
    assert fresh.log_tau.grad.item() > 0  # a longer memory makes the old fresher


def test_completion_learns_to_guess_an_input_from_the_others() -> None:
    """The second input is the first one turned by a fixed map: after a few steps its guess is near it."""
    torch.manual_seed(0)
    fusion = FUSIONS["completion"](8, [4, 4], 1, 0.0, weight=1.0)
    turn = torch.linalg.qr(torch.randn(8, 8)).Q
    first = torch.randn(64, 1, 8)
    said = Heard(
        [Tokens.of_all(first), Tokens.of_all(first @ turn)], torch.ones(64, 2, dtype=torch.bool),
        [torch.zeros(64, 4)] * 2, torch.zeros(64, 2, 1),
    )  # fmt: skip
    optimizer = torch.optim.Adam(fusion.parameters(), lr=0.05)
    losses = []
    for _ in range(150):
        losses.append(fusion(said).penalty)
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < 0.05 * losses[0]
