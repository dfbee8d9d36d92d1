"""SigLIP in and out: transformers' own SiglipModel is the original."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from small_backbones import TEXTS
from small_foreign import (
    assert_blocks_hold,
    assert_round_trip,
    copied,
    image_half,
    imported,
    scrambled,
    text_half,
    unigram,
)
from torch import Tensor
from transformers import PreTrainedTokenizerFast, SiglipConfig, SiglipModel

from clinimm.backbone.directory import Backbone
from clinimm.backbone.encode import encode_pictures, encode_texts, tokenize
from clinimm.backbone.transfer import import_backbone
from clinimm.errors import BackboneError

LENGTH = 20
WORDS = ["no cough", "", "heart size is normal"]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SiglipModel]:
    """A small SigLIP, saved as transformers saves one."""
    folder, tokenizer = tmp_path_factory.mktemp("siglip"), unigram()
    shared = {"hidden_size": 24, "num_attention_heads": 3, "intermediate_size": 32, "num_hidden_layers": 2}
    config = SiglipConfig(
        text_config={
            **shared, "vocab_size": tokenizer.get_vocab_size(), "max_position_embeddings": LENGTH,
            "projection_size": 24, "bos_token_id": 1, "eos_token_id": 1,
        },
        vision_config={**shared, "image_size": 32, "patch_size": 8},
    )  # fmt: skip
    model = scrambled(SiglipModel(config))
    model.save_pretrained(folder)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="</s>", unk_token="<unk>", pad_token="</s>"
    ).save_pretrained(folder)
    return folder, model


@pytest.fixture(scope="module")
def backbone(source: tuple[Path, SiglipModel], tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    return imported(source[0], "siglip", tmp_path_factory.mktemp("backbones") / "siglip")


def pictures() -> Tensor:
    return torch.rand(3, 1, 32, 32, generator=torch.Generator().manual_seed(1))


def standardized(pixels: Tensor) -> Tensor:
    return ((pixels - 0.5) / 0.5).expand(-1, 3, -1, -1)


def ids_of(folder: Path, texts: list[str]) -> Tensor:
    """Word pieces as SigLIP was trained to read them: always at full length."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    ids: Tensor = tokenizer(texts, padding="max_length", truncation=True, max_length=LENGTH, return_tensors="pt")[
        "input_ids"
    ]
    return ids


@torch.inference_mode()
def test_image_features_are_the_original_s(source: tuple[Path, SiglipModel], backbone: Backbone) -> None:
    wanted = source[1].get_image_features(standardized(pictures()))
    tower = image_half(backbone)
    torch.testing.assert_close(tower(pictures()), wanted.pooler_output, atol=1e-5, rtol=0)
    tokens = tower.read(pictures(), None).tokens.values
    torch.testing.assert_close(tokens, wanted.last_hidden_state, atol=1e-5, rtol=0)


@torch.inference_mode()
def test_text_features_are_the_original_s_at_full_length(source: tuple[Path, SiglipModel], backbone: Backbone) -> None:
    tower, tokenizer = text_half(backbone)
    texts = [*TEXTS, *WORDS]
    pieces = tokenize(tokenizer, texts, LENGTH)
    ids = ids_of(source[0], texts)
    assert torch.equal(pieces.ids, ids)
    wanted = source[1].get_text_features(ids).pooler_output
    torch.testing.assert_close(tower(pieces.ids, pieces.mask), wanted, atol=1e-5, rtol=0)


@torch.inference_mode()
def test_the_tower_pads_by_itself_whatever_stands_at_padding(
    source: tuple[Path, SiglipModel], backbone: Backbone
) -> None:
    tower, tokenizer = text_half(backbone)
    pieces = tokenize(tokenizer, WORDS, LENGTH)
    wanted = source[1].get_text_features(ids_of(source[0], WORDS)).pooler_output
    changed, short = torch.where(pieces.mask, pieces.ids, 9), int(pieces.mask.sum(1).max())
    torch.testing.assert_close(tower(changed, pieces.mask), wanted, atol=1e-5, rtol=0)
    hidden = tower.read(tower.embed(changed[:, :short]), pieces.mask[:, :short])
    torch.testing.assert_close(tower.project(hidden.pooled), wanted, atol=1e-5, rtol=0)
    assert hidden.tokens.values.shape == (len(WORDS), short, 24)


@torch.inference_mode()
def test_logits_with_their_bias_are_the_original_s(source: tuple[Path, SiglipModel], backbone: Backbone) -> None:
    wanted = source[1](pixel_values=standardized(pictures()), input_ids=ids_of(source[0], WORDS)).logits_per_image
    ours = encode_pictures(backbone, pictures()) @ encode_texts(backbone, WORDS)[0].T
    assert backbone.bias is not None
    logits = torch.tensor(backbone.scale).exp() * ours + backbone.bias
    torch.testing.assert_close(logits, wanted, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["image", "text"])
def test_every_weight_of_a_tower_lies_in_one_block_or_its_head_and_learns(backbone: Backbone, kind: str) -> None:
    image = kind == "image"
    values = pictures() if image else torch.randint(2, 50, (3, 9))
    assert_blocks_hold(backbone.towers[kind], values, () if image else ("model.head.",))


def test_import_then_export_gives_every_bit_back(
    source: tuple[Path, SiglipModel], backbone: Backbone, tmp_path: Path
) -> None:
    import_backbone(source[0], "siglip", tmp_path / "backbone")
    assert_round_trip(tmp_path / "backbone", source[0] / "model.safetensors", tmp_path / "again.bin")


def test_another_padding_piece_is_taken_from_the_tokenizer(source: tuple[Path, SiglipModel], tmp_path: Path) -> None:
    folder = copied(source[0], tmp_path / "source")
    said = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(said | {"pad_token": "<unk>"}))
    tower, tokenizer = text_half(imported(folder, "siglip", tmp_path / "backbone"))
    assert tower.architecture["pad"] == 0
    pieces = tokenize(tokenizer, WORDS, LENGTH)
    with torch.inference_mode():
        wanted = source[1].get_text_features(pieces.ids).pooler_output
        torch.testing.assert_close(tower(pieces.ids, pieces.mask), wanted, atol=1e-5, rtol=0)


def test_a_directory_without_tokenizer_json_is_refused(source: tuple[Path, SiglipModel], tmp_path: Path) -> None:
    folder = copied(source[0], tmp_path / "source")
    (folder / "tokenizer.json").unlink()
    with pytest.raises(BackboneError, match=r"has no tokenizer\.json"):
        import_backbone(folder, "siglip", tmp_path / "backbone")


def test_a_spoilt_checkpoint_is_refused_with_all_its_faults_and_nothing_is_written(
    source: tuple[Path, SiglipModel], tmp_path: Path
) -> None:
    tensors = load_file(source[0] / "model.safetensors")
    del tensors["logit_bias"], tensors["vision_model.head.probe"]
    tensors["text_model.head.weight"] = torch.zeros(24, 23)
    folder = copied(source[0], tmp_path / "spoilt", tensors)
    with pytest.raises(BackboneError) as caught:
        import_backbone(folder, "siglip", tmp_path / "backbone")
    for fault in ("missing: logit_bias", "missing: vision_model.head.probe", "text_model.head.weight: has shape"):
        assert fault in str(caught.value)
    assert not (tmp_path / "backbone").exists()
