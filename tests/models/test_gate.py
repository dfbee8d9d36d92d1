"""The default gate, worked by hand: who is present, how reliable each input looks, and how far it is trusted."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from clinimm.batch import Tokens
from clinimm.models.fusions.doubt import BELIEVED, Judge
from clinimm.models.fusions.gate import Gate
from clinimm.models.fusions.heard import Fusion, Heard, PerModality, Pool, Summary, masked_softmax, shares
from clinimm.models.fusions.reliability import Reliability

WIDTH, TARGETS = 3, 2
HERE = [[True, True, True], [True, False, True], [False, False, True], [False, False, False]]
SCORES = st.lists(st.lists(st.floats(-50, 50), min_size=3, max_size=3), min_size=1, max_size=4)


def heard(present: list[list[bool]] | None = None, seed: int = 0) -> Heard:
    """What three inputs say in each row; tokens, qualities and opinions of the absent are 0."""
    generator = torch.Generator().manual_seed(seed)
    here = torch.tensor(HERE if present is None else present)
    rows = len(here)
    tokens = torch.randn(3, rows, 2, WIDTH, generator=generator) * here.T[..., None, None]
    quality = torch.rand(3, rows, 4, generator=generator) * here.T[..., None]
    opinions = torch.randn(rows, 3, TARGETS, generator=generator) * here[..., None]
    said = [Tokens(values, here[:, i, None].expand(-1, 2)) for i, values in enumerate(tokens)]
    return Heard(said, here, list(quality), opinions)


def gate(**options: float) -> Gate:
    torch.manual_seed(0)
    return Gate(WIDTH, [4, 4, 4], TARGETS, 0.0, **options).eval()  # type: ignore[arg-type]


def preferring(fusion: Gate, *scores: float) -> Gate:
    """The gate that scores its inputs so, whatever they hold."""
    for say, score in zip(fusion.reliability.say, scores, strict=True):
        assert isinstance(say, torch.nn.Linear)
        torch.nn.init.constant_(say.bias, score)
    return fusion


def trusting(fusion: Gate, *trust: float) -> Gate:
    """The gate that trusts its inputs so, whatever they hold."""
    for judge, wanted in zip(fusion.doubt.judges, trust, strict=True):
        assert isinstance(judge, Judge)
        torch.nn.init.constant_(judge.last.bias, math.log(wanted / (1 - wanted)) - BELIEVED)
    return fusion


@settings(max_examples=100)
@given(SCORES, st.data())
def test_a_masked_softmax_is_the_softmax_of_what_is_marked(scores: list[list[float]], data: st.DataObject) -> None:
    mask = data.draw(
        st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=len(scores), max_size=len(scores))
    )
    weights = masked_softmax(torch.tensor(scores), torch.tensor(mask))
    for row, marks, got in zip(scores, mask, weights.tolist(), strict=True):
        marked = [math.exp(score - 50) if mark else 0.0 for score, mark in zip(row, marks, strict=True)]
        expected = [one / sum(marked) if any(marks) else 0.0 for one in marked]
        assert got == pytest.approx(expected, abs=1e-6)
        assert all(one == 0 for one, mark in zip(got, marks, strict=True) if not mark)


def test_what_stands_beside_a_case_in_its_batch_changes_no_weight() -> None:
    scores, mask = torch.tensor([[0.0, 1.0], [1e4, 1e4 - 1]]), torch.ones(2, 2, dtype=torch.bool)
    together = masked_softmax(scores, mask)
    assert torch.equal(together[:1], masked_softmax(scores[:1], mask[:1]))
    assert together[0].sum() == 1


def test_shares_are_parts_of_their_row_and_nothing_has_none() -> None:
    parts = torch.tensor([[3.0, 1.0], [0.0, 0.0], [1e-30, 3e-30]])
    torch.testing.assert_close(shares(parts), torch.tensor([[0.75, 0.25], [0.0, 0.0], [0.25, 0.75]]))


def test_a_summary_starts_as_the_mean_of_what_means_something() -> None:
    values = torch.tensor([[[1.0, 0, 2], [3, 0, 4], [9, 9, 9]], [[5, 5, 5], [6, 6, 6], [7, 7, 7]]])
    mask = torch.tensor([[True, True, False], [False, False, False]])
    summed = Summary(WIDTH)(Tokens(values, mask))
    torch.testing.assert_close(summed.values[:, 0], torch.tensor([[2.0, 0, 3], [0, 0, 0]]))
    assert torch.equal(summed.values[:, 1:], values)
    assert summed.mask.tolist() == [[True, True, True, False], [False] * 4]


def test_a_summary_learns_which_token_counts() -> None:
    """Its weights are the softmax of v . tanh(U h): here of the tokens' first number alone."""
    summary = Summary(WIDTH, inner=1)
    with torch.no_grad():
        summary.see.weight.copy_(torch.tensor([[1.0, 0, 0]]))
        summary.see.bias.zero_()
        summary.score.weight.fill_(2.0)
    values = torch.tensor([[[0.5, 1.0, 0.0], [-0.5, 0.0, 1.0]]])
    first = 1 / (1 + math.exp(-4 * math.tanh(0.5)))
    summed = summary(Tokens.of_all(values)).values[0, 0]
    torch.testing.assert_close(summed, torch.tensor([first - 0.5, first, 1 - first]))
    assert summary.score.bias is None
    assert (Summary(WIDTH).score.in_features, Summary(WIDTH).score.out_features) == (16, 1)


def test_the_reliability_of_an_input_is_read_from_itself_its_quality_and_its_age() -> None:
    reliability = Reliability(WIDTH, [4, 4, 4], 1, inner=1)
    assert not reliability(heard()).any()  # until it has learned
    see, judge, say = reliability.see[1], reliability.judge[1], reliability.say[1]
    with torch.no_grad():
        for layer, weight in ((see, [[0.3, 0, 0]]), (judge, [[0.2, 0, 0.5, 0.1]]), (say, [[4.0]])):
            layer.weight.copy_(torch.tensor(weight))
        see.bias.fill_(0.1)
        say.bias.fill_(0.7)
    said = heard()
    token, quality = said.tokens[1].values[0, 0], said.quality[1][0]
    inside = 0.3 * token[0] + 0.1 + 0.2 * quality[0] + 0.5 * torch.exp(-quality[2] / 7) + 0.1 * quality[3]
    scores = reliability(said)
    torch.testing.assert_close(scores[0, :, 0], torch.stack([inside * 0, 4 * torch.tanh(inside) + 0.7, inside * 0]))
    assert scores.shape == (4, 3, 1)


def test_what_is_not_yet_old_is_new() -> None:
    """An input dated after the question, by a clock that is ahead, is no fresher than one of that moment."""
    fresh = Reliability(WIDTH, [4], 1).fresh[0]
    ages = fresh(torch.tensor([[0.5, 0.2, -3.0, 1.0], [0.5, 0.2, 0.0, 1.0]]))
    assert torch.equal(ages, torch.tensor([[0.5, 0.2, 1.0, 1.0]] * 2))


def test_each_modality_has_a_map_of_its_own_and_the_absent_none() -> None:
    torch.manual_seed(0)
    maps, said = PerModality(WIDTH, 3, 5), heard()
    mapped = maps(said)
    assert mapped.shape == (4, 3, 5)
    for i, one in enumerate(maps.maps):
        expected = one(said.tokens[i].values[:, 0]) * said.present[:, i, None]
        torch.testing.assert_close(mapped[:, i], expected)
    assert not mapped[~said.present].any()


def test_a_gate_that_has_learned_nothing_hears_all_that_is_present_alike() -> None:
    weights = gate()(heard()).weights
    third, half = 1 / 3, 1 / 2
    torch.testing.assert_close(weights, torch.tensor([[third] * 3, [half, 0, half], [0, 0, 1], [0, 0, 0]]))


@pytest.mark.parametrize(("temperature", "odds"), [(1.0, 9.0), (2.0, 3.0)])
def test_weights_are_the_softmax_of_scores_over_the_temperature(temperature: float, odds: float) -> None:
    fusion = preferring(gate(temperature=temperature), math.log(9), 0.0, 0.0)
    whole, pair = fusion(heard()).weights[:2]
    torch.testing.assert_close(whole, torch.tensor([odds, 1, 1]) / (odds + 2))
    torch.testing.assert_close(pair, torch.tensor([odds, 0, 1]) / (odds + 1))


def test_trust_takes_its_share_of_a_weight() -> None:
    joined = trusting(gate(), 0.5, 0.25, 0.25)(heard())
    torch.testing.assert_close(joined.weights[0], torch.tensor([0.5, 0.25, 0.25]))
    torch.testing.assert_close(joined.trust, torch.tensor([[0.5, 0.25, 0.25], [0.5, 0, 0.25], [0, 0, 0.25], [0, 0, 0]]))


@pytest.mark.parametrize(("exponent", "times"), [(-30.0, 1.0), (0.0, math.sqrt(2)), (30.0, 2.0)])
def test_evidence_grows_with_the_number_of_trusted_opinions(exponent: float, times: float) -> None:
    """Two inputs trusted whole count as two; N ** c of their mean."""
    pool = Pool(TARGETS)
    torch.nn.init.constant_(pool.independence, exponent)
    opinions = torch.tensor([[[1.0, -2], [3, 0], [50, 50]]])
    weights, trust = torch.tensor([[0.5, 0.5, 0.0]]), torch.tensor([[1.0, 1.0, 0.0]])
    torch.testing.assert_close(pool(opinions, weights, trust), torch.tensor([[2.0, -1.0]]) * times)
    fewer = torch.tensor([[0.5, 0.25, 0.0]])  # in all less than one: no fewer than one counts
    torch.testing.assert_close(pool(opinions, weights, fewer), torch.tensor([[0.625, -0.5]]))


def test_the_gate_joins_opinions_and_summaries_by_weight_and_trust() -> None:
    fusion = preferring(trusting(gate(), 0.75, 0.5, 0.5), 0.0, math.log(3), 0.0)
    said = heard()
    with torch.no_grad():
        fusion.product.sum_ranks.zero_()
        for layer in (*fusion.maps.maps, fusion.mix[1]):
            layer.weight.copy_(torch.eye(WIDTH))
            layer.bias.zero_()
    joined = fusion(said)
    assert joined.trust is not None
    weights = torch.tensor([0.75 * 1, 0.5 * 3, 0.5 * 1]) / 2.75
    torch.testing.assert_close(joined.weights[0], weights)
    heard_by = weights * torch.tensor([0.75, 0.5, 0.5])

    def joined_of(parts: Tensor) -> Tensor:
        return (heard_by[:, None] * parts).sum(0)

    torch.testing.assert_close(joined.evidence[0], joined_of(said.opinions[0]) * math.sqrt(1.75))
    summaries = torch.stack([one.values[0, 0] for one in said.tokens])
    torch.testing.assert_close(joined.fused[0], torch.nn.functional.gelu(joined_of(summaries)))
    assert not joined.fused[3].any()
    assert not joined.evidence[3].any()


def test_a_product_stands_beside_the_sum() -> None:
    """It sees what is trusted, and adds to what the sum tells."""
    fusion, said = trusting(gate(), 0.75, 0.5, 0.5), heard()
    joined = fusion(said)
    assert joined.trust is not None
    product = fusion.product(said, joined.trust)
    with torch.no_grad():
        fusion.product.sum_ranks.zero_()
    torch.testing.assert_close(joined.fused, fusion(said).fused + product)


@pytest.mark.parametrize("part", [0, 3])
def test_dropout_hides_in_training_alone(part: int) -> None:
    fusion = Gate(WIDTH, [4, 4, 4], TARGETS, 0.5)
    dropout = fusion.mix[part]
    assert isinstance(dropout, torch.nn.Dropout)
    assert (dropout.p, fusion.product.dropout.p) == (0.5, 0.5)
    fusion.eval()
    assert torch.equal(fusion(heard()).fused, fusion(heard()).fused)


def test_a_gate_is_as_wide_as_it_was_asked_to_be() -> None:
    fusion = gate(inner=7, rank=5, squeeze=2)
    assert fusion.reliability.see[0].weight.shape == (7, WIDTH)
    assert fusion.product.factors.shape == (3, 3, 5 * WIDTH)
    assert fusion.reliability(heard()).shape == (4, 3, 1)  # one number about each
    default = gate()
    assert default.reliability.see[0].weight.shape == (16, WIDTH)
    assert default.product.factors.shape == (3, 5, 8 * WIDTH)


def test_what_is_no_operator_says_so() -> None:
    with pytest.raises(TypeError, match="Fusion does not fuse"):
        Fusion()(heard())
