"""The resampler and the gated fusion: masked tokens are ignored, nothing to read is finite, shut gates pass on."""

import dataclasses

import pytest
import torch
from small_models import PLANS, random_batch, small_network

from clinimm.batch import Tokens
from clinimm.errors import ConfigError
from clinimm.models.fusions.attention import GatedCrossAttention
from clinimm.models.fusions.heard import Heard, summary
from clinimm.models.resampler import CrossAttend, PerceiverResampler


def some_tokens(lengths: tuple[int, ...], n: int = 7, width: int = 8) -> Tokens:
    values = torch.randn(len(lengths), n, width, generator=torch.Generator().manual_seed(3))
    return Tokens(values, torch.arange(n)[None] < torch.tensor(lengths)[:, None])


def resampler(layers: int = 2) -> PerceiverResampler:
    torch.manual_seed(0)
    return PerceiverResampler(8, queries=3, layers=layers, heads=2)


def test_what_a_masked_token_holds_is_ignored_to_the_bit() -> None:
    tokens = some_tokens((7, 4, 1))
    poisoned = Tokens(torch.where(tokens.mask[..., None], tokens.values, torch.nan), tokens.mask)
    net = resampler()
    assert torch.equal(net(tokens).values, net(poisoned).values)
    assert torch.isfinite(net(poisoned).values).all()


def test_padding_changes_nothing() -> None:
    tokens = some_tokens((4, 4))
    shorter = Tokens(tokens.values[:, :4], tokens.mask[:, :4])
    net = resampler()
    torch.testing.assert_close(net(tokens).values, net(shorter).values, atol=1e-6, rtol=1e-6)


def test_a_row_with_no_token_is_finite_and_masked_out_and_leaves_its_gradient_finite() -> None:
    tokens = some_tokens((5, 0))
    values = tokens.values.clone().requires_grad_()
    net = resampler()
    out = net(Tokens(values, tokens.mask))
    assert out.values.shape == (2, 3, 8)
    assert out.mask.tolist() == [[True] * 3, [False] * 3]
    assert torch.isfinite(out.values).all()
    out.values.sum().backward()
    assert torch.isfinite(values.grad).all()
    assert not values.grad[1].any()


def test_the_order_of_tokens_does_not_matter() -> None:
    tokens = some_tokens((7, 7))
    turned = Tokens(tokens.values.flip(1), tokens.mask)
    net = resampler()
    torch.testing.assert_close(net(tokens).values, net(turned).values, atol=1e-6, rtol=1e-6)


def test_attention_to_one_token_gives_that_token() -> None:
    """With a single token the softmax is 1, whatever the scores: only the linear maps are left."""
    torch.manual_seed(0)
    attend = CrossAttend(8, 2)
    tokens = some_tokens((1, 1))
    queries = torch.randn(2, 4, 8)
    value = attend.key_value(attend.norm_tokens(tokens.values[:, :1]))[..., 8:]
    torch.testing.assert_close(attend(queries, tokens.values, tokens.mask), attend.out(value).expand(-1, 4, -1))


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(ConfigError, match="3 heads do not divide the width 8"):
        PerceiverResampler(8, heads=3)


@pytest.mark.parametrize("fusion", ["gate", "gated_cross_attention"])
def test_any_encoder_can_be_resampled_and_every_weight_of_it_learns(fusion: str) -> None:
    few = {"queries": 2, "layers": 2, "heads": 2}
    plans = {name: dataclasses.replace(plan, resampler=few) for name, plan in PLANS.items()}
    network = small_network(fusion, **plans)
    batch = random_batch(6)
    tokens = network.tokens(batch, batch.present)
    assert {part.values.shape[1] for part in tokens.values()} == {3}  # a summary before two queries
    output = network(batch)
    (output.logits.sum() + output.unimodal.square().sum()).backward()
    still = [
        name for name, weight in network.named_parameters()
        if "resampler" in name and (weight.grad is None or not weight.grad.any())
    ]  # fmt: skip
    assert still == []


def test_resampled_answers_do_not_depend_on_neighbours_or_on_what_is_absent() -> None:
    plans = {name: dataclasses.replace(plan, resampler={"queries": 2, "heads": 2}) for name, plan in PLANS.items()}
    network = small_network(**plans).eval()
    batch = random_batch(6)
    alone = torch.cat([network(batch.rows(torch.tensor([i]))).logits for i in range(6)])
    torch.testing.assert_close(network(batch).logits, alone, atol=2e-5, rtol=2e-5)
    note = batch.modalities["note"]
    values = torch.where(note.present[:, None], note.values, 7)
    changed = dict(batch.modalities) | {"note": dataclasses.replace(note, values=values)}
    assert torch.equal(network(batch).logits, network(dataclasses.replace(batch, modalities=changed)).logits)


def gated(modalities: int = 2) -> GatedCrossAttention:
    torch.manual_seed(0)
    return GatedCrossAttention(8, [1] * modalities, 1, 0.0, heads=2)


def heard(tokens: list[Tokens], present: torch.Tensor) -> Heard:
    return Heard(tokens, present, [torch.zeros(2, 1)] * len(tokens), torch.zeros(2, len(tokens), 1))


def test_shut_gates_pass_the_mean_of_what_is_present_on() -> None:
    fusion = gated()
    tokens = [some_tokens((5, 5)), some_tokens((3, 3))]
    present = torch.tensor([[True, True], [True, False]])
    joined = fusion(heard(tokens, present))
    first, second = (summary(one) for one in tokens)
    expected = fusion.norm(torch.stack([(first[0] + second[0]) / 2, first[1]]))
    torch.testing.assert_close(joined.fused, expected)
    assert joined.weights.tolist() == [[0.5, 0.5], [1.0, 0.0]]


def test_an_absent_input_passes_through_open_gates_unchanged_to_the_bit() -> None:
    both, one = gated(2), gated(1)
    for block in [*both.blocks[0], *one.blocks[0]]:  # type: ignore[misc]
        torch.nn.init.constant_(block.attend_gate, 0.7)
        torch.nn.init.constant_(block.think_gate, -0.4)
    one.load_state_dict({name: w for name, w in both.state_dict().items() if not name.startswith("blocks.0.1.")})
    tokens = [some_tokens((5, 5)), some_tokens((3, 3))]
    present = torch.tensor([[True, False]] * 2)
    fused = both(heard(tokens, present)).fused
    assert torch.equal(fused, one(heard(tokens[:1], present[:, :1])).fused)
