"""BERT and its kin in and out: the tower gives what transformers' own model gives for the same texts."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from medclip_files import WORDS
from small_backbones import TEXTS
from small_foreign import assert_blocks_hold, assert_round_trip, imported, scrambled, text_half
from transformers import AutoConfig, AutoModel, AutoModelForMaskedLM

from clinimm.backbone.encode import tokenize
from clinimm.backbone.transfer import import_backbone
from clinimm.errors import BackboneError, ConfigError

SIZES: dict[str, Any] = {
    "vocab_size": len(WORDS), "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 40, "max_position_embeddings": 50, "pad_token_id": 0,
}  # fmt: skip
DISTIL = {
    "vocab_size": len(WORDS), "dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 40, "max_position_embeddings": 50,
    "pad_token_id": 0,
}  # fmt: skip
KINDS = {
    "bert": SIZES,
    "roberta": SIZES | {"pad_token_id": 1},
    "camembert": SIZES | {"pad_token_id": 1},
    "xlm-roberta": SIZES | {"pad_token_id": 1},
    "distilbert": DISTIL,
    "electra": SIZES | {"embedding_size": 16},
    "mpnet": SIZES | {"pad_token_id": 1},
}


def saved(folder: Path, kind: str, auto: Any = AutoModel) -> Any:
    """The net, saved as transformers saves it, with its words beside."""
    net = scrambled(auto.from_config(AutoConfig.for_model(kind, **KINDS[kind])))
    net.save_pretrained(folder)
    pad, unknown, *others = WORDS
    words = (unknown, pad, *others) if KINDS[kind]["pad_token_id"] else WORDS
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    return net


@pytest.mark.parametrize("kind", KINDS)
def test_the_tower_gives_what_the_net_gives(kind: str, tmp_path: Path) -> None:
    net = saved(tmp_path / "in", kind)
    tower, tokenizer = text_half(imported(tmp_path / "in", "bert", tmp_path / "out"))
    pieces = tokenize(tokenizer, TEXTS, tower.length)
    assert tower.length == (48 if KINDS[kind]["pad_token_id"] else 50)
    with torch.no_grad():
        states = net(pieces.ids, pieces.mask.long()).last_hidden_state
        found = tower.read(tower.embed(pieces.ids), pieces.mask)
    for row, mask in enumerate(pieces.mask):
        torch.testing.assert_close(found.tokens.values[row][mask], states[row][mask], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(found.pooled[row], states[row][mask].mean(0), rtol=1e-5, atol=1e-5)
    assert torch.equal(tower.project(found.pooled), found.pooled)
    assert_blocks_hold_words(tower, pieces.ids)
    assert_round_trip(tmp_path / "out", tmp_path / "in", tmp_path / "again.safetensors")


def assert_blocks_hold_words(tower: Any, ids: torch.Tensor) -> None:
    tower.train(False)
    inside = sorted(id(weight) for block in tower.blocks() for weight in block.parameters())
    assert inside == sorted(id(weight) for weight in tower.parameters())
    assert len(tower.blocks()) == 3
    if tower.model.config.model_type in ("bert", "electra"):
        assert_blocks_hold(tower, ids, ())


@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert", "electra", "mpnet"])
def test_a_head_that_was_saved_with_it_is_left_and_comes_back(kind: str, tmp_path: Path) -> None:
    net = saved(tmp_path / "in", kind, AutoModelForMaskedLM)
    report = import_backbone(tmp_path / "in", "bert", tmp_path / "out", {"pooling": "cls"})
    assert report.dropped
    assert set(report.dropped.values()) == {"it is of a head, not of the encoder"}
    tower, tokenizer = text_half(imported(tmp_path / "in", "bert", tmp_path / "out", pooling="cls"))
    pieces = tokenize(tokenizer, TEXTS, tower.length)
    with torch.no_grad():
        states = net.base_model(pieces.ids, pieces.mask.long()).last_hidden_state
        torch.testing.assert_close(tower(pieces.ids, pieces.mask), states[:, 0], rtol=1e-5, atol=1e-5)
    assert_round_trip(tmp_path / "out", tmp_path / "in", tmp_path / "again.bin")


def test_names_of_tensorflow_are_read_and_come_back(tmp_path: Path) -> None:
    net = saved(tmp_path / "in", "bert")
    (tmp_path / "in" / "model.safetensors").unlink()
    old = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): tensor
        for name, tensor in net.state_dict().items()
    }
    torch.save(old, tmp_path / "in" / "pytorch_model.bin")
    tower, _ = text_half(imported(tmp_path / "in", "bert", tmp_path / "out"))
    assert torch.equal(tower.get_parameter("model.embeddings.LayerNorm.weight"), net.embeddings.LayerNorm.weight)
    assert_round_trip(tmp_path / "out", tmp_path / "in", tmp_path / "again.bin")


def test_an_unknown_kind_or_size_is_refused_and_writes_nothing(tmp_path: Path) -> None:
    saved(tmp_path / "in", "bert")
    path = tmp_path / "in" / "config.json"
    config = json.loads(path.read_text())
    for change, said in (
        ({"model_type": "t5"}, "'t5'"),
        ({"model_type": None}, "no config.json with a model_type"),
        ({"num_attention_heads": 5}, "make no net"),
        ({"hidden_act": 3}, "make no net"),
        ({"max_position_embeddings": "many"}, "make no net"),
        ({"intermediate_size": 41}, r"intermediate.dense.weight: has shape \(40, 32\), expected \(41, 32\)"),
    ):
        path.write_text(json.dumps(config | change))
        with pytest.raises(BackboneError, match=said):
            import_backbone(tmp_path / "in", "bert", tmp_path / "out")
    path.write_text(json.dumps(config))
    with pytest.raises(ConfigError, match="length is 51"):
        import_backbone(tmp_path / "in", "bert", tmp_path / "out", {"length": 51})
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["in"]
