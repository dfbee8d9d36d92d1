"""Rules that name weights: what they convert, they restore; what does not fit is told, all at once."""

import pytest
import torch
from small_foreign import assert_same_tensors
from torch import Tensor

from clinimm.backbone.keys import Leave, Rename, convert, count, restore, there
from clinimm.errors import BackboneError

RULES = (
    Leave("net.ids", "it is counted"),
    Rename("net.layer.*.qkv.*", "text", ("l.*.q.*", "l.*.k.*", "l.*.v.*")),
    Rename("net.pos", "text", "positions", reshape=True),
    Rename("net.seen", "text", "seen", optional=True),
    Rename("net.**", "text", "own.**"),
    Rename("scale", "joint", "logit_scale", reshape=True),
)
OWN = {
    "text": {
        **{f"l.0.{part}.weight": torch.zeros(2, 3) for part in "qkv"},
        "positions": torch.zeros(4, 3),
        "seen": torch.tensor(0),
        "own.a.bias": torch.zeros(3),
    },
    "joint": {"logit_scale": torch.zeros(())},
}


def theirs(**changed: Tensor | None) -> dict[str, Tensor]:
    tensors = {
        "net.ids": torch.arange(4),
        "net.layer.0.qkv.weight": torch.arange(18.0).reshape(6, 3),
        "net.pos": torch.randn(1, 4, 3).half(),
        "net.seen": torch.tensor(7),
        "net.a.bias": torch.randn(3).bfloat16(),
        "scale": torch.tensor([2.5]),
    } | {name.replace("__", "."): tensor for name, tensor in changed.items()}  # type: ignore[dict-item]
    return {name: tensor for name, tensor in tensors.items() if tensor is not None}


def test_a_fused_tensor_is_cut_into_equal_parts() -> None:
    found = convert(theirs(), RULES, OWN)
    assert torch.equal(found.weights["text"]["l.0.k.weight"], torch.arange(6.0, 12.0).reshape(2, 3))
    assert found.weights["text"]["positions"].dtype == torch.float32
    assert found.left["net.ids"][1] == "it is counted"


def test_restoring_gives_every_bit_name_shape_and_type_back() -> None:
    tensors = theirs()
    found = convert(tensors, RULES, OWN)
    left = {name: tensor for name, (tensor, _) in found.left.items()}
    assert_same_tensors(restore(found.weights, found.used) | left, tensors)


def test_an_optional_weight_may_lack_and_is_not_restored() -> None:
    tensors = theirs(net__seen=None)
    found = convert(tensors, RULES, OWN)
    assert list(found.lacking) == ["net.seen"]
    assert "net.seen" not in restore(found.weights, found.used)


def test_every_fault_is_told_at_once_by_its_name_there() -> None:
    tensors = theirs(
        net__layer__0__qkv__weight=None, net__pos=torch.zeros(5, 3), net__a__bias=torch.full((3,), torch.nan),
        stray=torch.zeros(9),
    )  # fmt: skip
    with pytest.raises(BackboneError) as caught:
        convert(tensors, RULES, OWN, where="weights.bin")
    said = str(caught.value)
    assert said.startswith("weights.bin: 4 key(s) at fault")
    assert "missing: net.layer.0.qkv.weight (6, 3)" in said
    assert "net.pos: has shape (5, 3), expected (4, 3)" in said
    assert "net.a.bias: holds NaN" in said
    assert "unexpected: stray (9,)" in said


def test_two_tensors_for_one_weight_are_refused() -> None:
    rules = (*RULES[:-1], Rename("other", "joint", "logit_scale"), RULES[-1])
    with pytest.raises(BackboneError, match="another tensor is, too"):
        convert(theirs() | {"other": torch.tensor(1.0)}, rules, OWN)


def test_values_that_the_tower_cannot_hold_are_refused() -> None:
    third = torch.tensor([1 / 3], dtype=torch.float64)
    with pytest.raises(BackboneError, match=r"scale: holds NaN, or values of torch.float64"):
        convert(theirs(scale=third), RULES, OWN)


def test_a_name_there_is_found_for_every_name_here() -> None:
    assert there("text", "l.3.v.bias", RULES) == "net.layer.3.qkv.bias"
    assert there("text", "own.b.c.weight", RULES) == "net.b.c.weight"
    assert there("image", "own.b", RULES) == "image: own.b"


def test_layers_are_counted_by_their_numbers() -> None:
    assert count(dict.fromkeys(["a.0.x", "a.0.y", "a.11.x", "b.2.x", "a.norm"]), "a.") == 2
