"""Adapting a tower: exactly what should train does, the rest stays as it was, and what cannot be is refused first."""

from collections.abc import Callable

import pytest
import torch
from small_backbones import small_backbone, small_image_tower, small_text_tower
from torch import nn

from clinimm.batch import Tokens
from clinimm.errors import ConfigError
from clinimm.models.adapt import Adaptation, adapt, lora_targets
from clinimm.models.backbone_encoder import BackboneEncoder, BackboneImageEncoder, BackboneTextEncoder
from clinimm.models.towers.base import Hidden, Projection, Tower
from clinimm.models.towers.build import build_tower
from clinimm.models.towers.unfilled import Unfilled

CLIP = {
    "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 32,
    "patch_size": 16, "num_channels": 3,
}  # fmt: skip


def small_clip() -> Tower:
    torch.manual_seed(0)
    return build_tower({"name": "clip_image", "config": CLIP, "width": 8}).eval()


TOWERS: dict[str, Callable[[], Tower]] = {
    "resnet10": small_image_tower,
    "vit": lambda: small_image_tower("vit"),
    "bert": lambda: small_text_tower(40),
    "clip_image": small_clip,
}
EVERY = [
    Adaptation("frozen"), Adaptation("lora", rank=2), Adaptation("lora", rank=2, targets="all"),
    Adaptation("last_n", last_n=2), Adaptation("full"),
]  # fmt: skip


def encoder_of(tower: Tower, adaptation: Adaptation) -> BackboneEncoder:
    torch.manual_seed(1)
    if tower.architecture["name"] == "bert":
        return BackboneTextEncoder(tower, 12, 0.0, adaptation)  # type: ignore[arg-type]
    return BackboneImageEncoder(tower, (1, 32, 32), 12, 0.0, adaptation, mean=0.4, std=0.2)  # type: ignore[arg-type]


def values_for(encoder: BackboneEncoder, n: int = 6) -> torch.Tensor:
    generator = torch.Generator().manual_seed(2)
    if isinstance(encoder, BackboneTextEncoder):
        return torch.randint(1, 40, (n, 48), generator=generator)
    return torch.randn(n, 1, 32, 32, generator=generator)


def trained(encoder: BackboneEncoder, steps: int = 3) -> None:
    """A few large steps, which move whatever they may."""
    optimizer = torch.optim.AdamW([w for w in encoder.parameters() if w.requires_grad], lr=0.05)
    encoder.train()
    for _ in range(steps):
        encoder(encoder.embed(values_for(encoder)), None).values.square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()


@pytest.mark.parametrize("kind", TOWERS)
@pytest.mark.parametrize("adaptation", EVERY, ids=lambda a: f"{a.mode}-{a.targets}")
def test_what_is_not_trained_stays_to_the_bit_and_the_rest_moves(kind: str, adaptation: Adaptation) -> None:
    encoder = encoder_of(TOWERS[kind](), adaptation)
    before = {name: tensor.clone() for name, tensor in encoder.tower.state_dict().items()}
    fixed = encoder.adapted.fixed()
    trained(encoder)
    after = encoder.tower.state_dict()
    assert {name for name in after if not torch.equal(after[name], before[name])} <= set(after) - fixed
    moved = {name for name, w in encoder.tower.named_parameters() if not torch.equal(w, before[name])}
    wanted = {name for name, w in encoder.tower.named_parameters() if w.requires_grad}
    unused = {name for name in wanted if "word_embeddings" in name or "cross_attn" in name or "post_layernorm" in name}
    assert moved >= wanted - unused
    assert moved <= wanted


def test_a_frozen_tower_keeps_its_batch_statistics_and_records_no_graph() -> None:
    encoder = encoder_of(small_image_tower(), Adaptation("frozen"))
    encoder.train()
    assert not any(module.training for module in encoder.tower.modules())
    assert encoder.project.training
    hidden = encoder.hidden(values_for(encoder), None)
    assert hidden.values.grad_fn is None
    asked = values_for(encoder).requires_grad_()
    encoder(asked, None).values.sum().backward()
    assert asked.grad is not None  # an explanation can still differentiate it
    assert asked.grad.any()


def test_only_the_last_blocks_are_in_training_mode() -> None:
    encoder = encoder_of(small_text_tower(40), Adaptation("last_n", last_n=1))
    *below, last = encoder.tower.blocks()
    encoder.train()
    assert all(module.training for module in last.modules())
    layers = [module for block in below for module in block.modules() if not isinstance(module, nn.ModuleList)]
    assert not any(module.training for module in layers)
    assert not any(weight.requires_grad for block in below for weight in block.parameters())
    encoder.eval()
    assert not any(module.training for module in encoder.modules())


def test_full_adaptation_trains_all_but_the_projection_to_the_shared_space() -> None:
    tower = small_image_tower()
    encoder = encoder_of(tower, Adaptation("full"))
    assert all(weight.requires_grad for block in tower.blocks() for weight in block.parameters())
    assert encoder.fixed() == {"tower.projection.0.weight"}
    encoder.train()
    assert all(module.training for block in tower.blocks() for module in block.modules())


@pytest.mark.parametrize("kind", TOWERS)
def test_lora_starts_as_the_tower_itself(kind: str) -> None:
    plain, updated = (encoder_of(TOWERS[kind](), Adaptation(mode, rank=2)).eval() for mode in ("frozen", "lora"))
    found = updated.hidden(updated.embed(values_for(updated)), None).values
    torch.testing.assert_close(found, plain.hidden(plain.embed(values_for(plain)), None).values)


def test_lora_finds_queries_and_values_by_whatever_name() -> None:
    found = {kind: lora_targets(make(), "attention") for kind, make in TOWERS.items()}
    assert found["vit"] == ["trunk.vit.blocks.0.attn.qkv", "trunk.vit.blocks.1.attn.qkv"]
    assert {name.rpartition(".")[2] for name in found["bert"]} == {"query", "value"}
    assert {name.rpartition(".")[2] for name in found["clip_image"]} == {"q_proj", "v_proj"}
    convolutions = [n for n, m in small_image_tower().named_modules() if isinstance(m, nn.Conv2d)]
    assert found["resnet10"] == convolutions


def test_lora_of_all_leaves_the_projection_alone() -> None:
    names = lora_targets(small_text_tower(40), "all")
    assert any(name.endswith("intermediate.dense") for name in names)
    assert not any(name.startswith("projection") for name in names)


class Packed(Tower):
    """A tower whose only attention is torch's own, which LoRA cannot reach."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.projection = Projection(8, 4)
        self.features, self.width, self.architecture = 8, 4, {"name": "packed"}

    def read(self, embedded: torch.Tensor, mask: torch.Tensor | None) -> Hidden:
        values = self.attention(embedded, embedded, embedded)[0]
        return Hidden(Tokens(values, torch.ones(values.shape[:2], dtype=torch.bool)), values.mean(1))

    def blocks(self) -> list[nn.Module]:
        return [self.attention]


@pytest.mark.parametrize("targets", ["attention", "all"])
def test_where_lora_can_reach_nothing_it_is_refused_before_anything_is_changed(targets: str) -> None:
    tower = Packed()
    names = [name for name, _ in tower.named_parameters()]
    with pytest.raises(ConfigError, match="no layer that LoRA could update"):
        adapt(tower, Adaptation("lora", targets=targets))  # type: ignore[arg-type]
    assert [name for name, _ in tower.named_parameters()] == names
    assert all(weight.requires_grad for weight in tower.parameters())


def test_more_blocks_than_there_are_is_refused() -> None:
    with pytest.raises(ConfigError, match="last_n is 9, but the tower has 3 blocks"):
        adapt(small_text_tower(40), Adaptation("last_n", last_n=9))


def test_depth_counts_from_the_top() -> None:
    tower = small_text_tower(40)
    adapted = adapt(tower, Adaptation("full"))
    depths = {name: adapted.depths()[weight] for name, weight in tower.named_parameters() if weight.requires_grad}
    assert {depth for name, depth in depths.items() if "embeddings" in name} == {2}
    assert {depth for name, depth in depths.items() if "layer.0" in name} == {1}
    assert {depth for name, depth in depths.items() if "layer.1" in name} == {0}


@pytest.mark.parametrize("kind", TOWERS)
def test_a_net_built_unfilled_and_loaded_is_the_net(kind: str) -> None:
    tower = TOWERS[kind]()
    with Unfilled():
        built = build_tower(tower.architecture)
    built.load_state_dict(tower.state_dict())
    buffers = dict(built.named_buffers())
    assert all(torch.equal(value, buffers[name]) for name, value in tower.named_buffers())
    first, second = (encoder_of(one, Adaptation("frozen")).eval() for one in (tower, built))
    values = values_for(first)
    assert torch.equal(first(first.embed(values), None).values, second(second.embed(values), None).values)


def test_drawing_until_within_bounds_ends_unfilled() -> None:
    with Unfilled():
        drawn = torch.nn.init.trunc_normal_(torch.full((4,), 9.0), std=0.02)
    assert torch.equal(drawn, torch.zeros(4))


def test_the_tower_sees_pixels_in_zero_to_one() -> None:
    tower = small_backbone().image
    assert tower is not None
    encoder = encoder_of(tower, Adaptation("frozen")).eval()
    pixels = torch.rand(2, 1, 32, 32)
    found = encoder((pixels - 0.4) / 0.2, None).values
    torch.testing.assert_close(found, encoder.project(tower.read(pixels, None).tokens.values), atol=1e-5, rtol=1e-5)
