"""CLIP in and out: transformers' own CLIPModel is the original."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from small_backbones import TEXTS
from small_foreign import (
    assert_blocks_hold,
    assert_round_trip,
    byte_level_bpe,
    copied,
    image_half,
    imported,
    scrambled,
    text_half,
)
from tokenizers import Tokenizer
from torch import Tensor
from transformers import CLIPConfig, CLIPModel, PreTrainedTokenizerFast

from clinimm.backbone.directory import Backbone
from clinimm.backbone.encode import encode_pictures, encode_texts, tokenize
from clinimm.backbone.transfer import import_backbone
from clinimm.errors import BackboneError

LONG = " ".join(TEXTS)
MEAN, STD = [0.4, 0.5, 0.6], [0.2, 0.25, 0.3]


def clip_directory(folder: Path, tokenizer: Tokenizer) -> CLIPModel:
    """A small CLIP, saved as transformers saves one."""
    shared = {"intermediate_size": 32, "num_hidden_layers": 3}
    end = tokenizer.token_to_id("<|endoftext|>")
    config = CLIPConfig(
        text_config={
            **shared, "hidden_size": 16, "num_attention_heads": 2, "vocab_size": tokenizer.get_vocab_size(),
            "max_position_embeddings": 24, "bos_token_id": 0, "eos_token_id": end, "pad_token_id": end,
        },
        vision_config={
            **shared, "hidden_size": 24, "num_attention_heads": 3, "image_size": 32, "patch_size": 8,
        },
        projection_dim=20,
    )  # fmt: skip
    model = scrambled(CLIPModel(config))
    model.save_pretrained(folder)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|startoftext|>", eos_token="<|endoftext|>", pad_token="<|endoftext|>"
    ).save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps({"image_mean": MEAN, "image_std": STD}))
    return model


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, CLIPModel]:
    folder = tmp_path_factory.mktemp("clip")
    return folder, clip_directory(folder, byte_level_bpe())


@pytest.fixture(scope="module")
def backbone(source: tuple[Path, CLIPModel], tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    return imported(source[0], "clip", tmp_path_factory.mktemp("backbones") / "clip")


def pictures() -> Tensor:
    return torch.rand(3, 1, 32, 32, generator=torch.Generator().manual_seed(1))


def standardized(pixels: Tensor) -> Tensor:
    return (pixels - torch.tensor(MEAN).view(1, 3, 1, 1)) / torch.tensor(STD).view(1, 3, 1, 1)


@torch.inference_mode()
def test_image_features_are_the_original_s(source: tuple[Path, CLIPModel], backbone: Backbone) -> None:
    tower = image_half(backbone)
    wanted = source[1].get_image_features(standardized(pictures()))
    torch.testing.assert_close(tower(pictures()), wanted.pooler_output, atol=1e-5, rtol=0)
    tokens = tower.read(pictures(), None).tokens
    torch.testing.assert_close(tokens.values, wanted.last_hidden_state, atol=1e-5, rtol=0)
    assert tokens.values.shape == (3, 17, 24)


@torch.inference_mode()
def test_text_features_are_the_original_s_for_texts_of_any_length(
    source: tuple[Path, CLIPModel], backbone: Backbone
) -> None:
    tower, tokenizer = text_half(backbone)
    texts = [*TEXTS, "", LONG]
    pieces = tokenize(tokenizer, texts, tower.length)
    theirs = PreTrainedTokenizerFast.from_pretrained(source[0])(
        texts, padding="max_length", truncation=True, max_length=24, return_tensors="pt"
    )
    assert torch.equal(pieces.ids, theirs["input_ids"])
    assert torch.equal(pieces.mask.long(), theirs["attention_mask"])
    wanted = source[1].get_text_features(**theirs).pooler_output
    torch.testing.assert_close(tower(pieces.ids, pieces.mask), wanted, atol=1e-5, rtol=0)
    assert pieces.cut[-1] > 0
    assert not any(pieces.cut[:-1])


@torch.inference_mode()
def test_logits_are_the_original_s(source: tuple[Path, CLIPModel], backbone: Backbone) -> None:
    theirs = PreTrainedTokenizerFast.from_pretrained(source[0])(
        list(TEXTS), padding=True, truncation=True, max_length=24, return_tensors="pt"
    )
    wanted = source[1](pixel_values=standardized(pictures()), **theirs).logits_per_image
    ours = encode_pictures(backbone, pictures()) @ encode_texts(backbone, TEXTS)[0].T
    torch.testing.assert_close(torch.tensor(backbone.scale).exp() * ours, wanted, atol=1e-5, rtol=0)


@torch.inference_mode()
def test_padding_does_not_change_a_text_s_point(backbone: Backbone) -> None:
    tower, tokenizer = text_half(backbone)
    pieces = tokenize(tokenizer, ["no cough", "old man with chest pain"], tower.length)
    before = tower(pieces.ids, pieces.mask)
    changed, short = torch.where(pieces.mask, pieces.ids, 7), int(pieces.mask.sum(1).max())
    torch.testing.assert_close(tower(changed, pieces.mask), before, atol=1e-6, rtol=0)
    torch.testing.assert_close(tower(pieces.ids[:, :short], pieces.mask[:, :short]), before, atol=1e-6, rtol=0)


@torch.inference_mode()
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_text_without_any_word_stays_finite_beside_others(backbone: Backbone, dtype: torch.dtype) -> None:
    tower, _ = text_half(backbone)
    ids, mask = torch.full((2, 6), 5), torch.tensor([[True] * 6, [False] * 6])
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        hidden = tower.read(tower.embed(ids), mask)
    assert hidden.tokens.values.isfinite().all()
    assert hidden.pooled.isfinite().all()


@pytest.mark.parametrize("kind", ["image", "text"])
def test_every_weight_of_a_tower_lies_in_one_block_or_its_projection_and_learns(backbone: Backbone, kind: str) -> None:
    tower = backbone.towers[kind]
    assert_blocks_hold(tower, pictures() if kind == "image" else torch.randint(2, 50, (3, 9)), ("projection.",))


def test_pixels_are_standardized_as_either_of_transformers_files_says(
    source: tuple[Path, CLIPModel], tmp_path: Path
) -> None:
    folder = copied(source[0], tmp_path / "source")
    (folder / "preprocessor_config.json").unlink()
    assert image_half(imported(folder, "clip", tmp_path / "openai")).architecture["mean"][0] == 0.48145466
    said = {"image_processor": {"image_mean": MEAN, "image_std": STD}}
    (folder / "processor_config.json").write_text(json.dumps(said))
    tower = image_half(imported(folder, "clip", tmp_path / "said"))
    assert (tower.architecture["mean"], tower.architecture["std"]) == (MEAN, STD)


def test_import_then_export_gives_every_bit_back(source: tuple[Path, CLIPModel], tmp_path: Path) -> None:
    tensors = {name: tensor.half() for name, tensor in load_file(source[0] / "model.safetensors").items()}
    tensors["text_model.embeddings.position_ids"] = torch.arange(24)[None]  # as older versions wrote it
    folder = copied(source[0], tmp_path / "half", tensors)
    report = import_backbone(folder, "clip", tmp_path / "backbone")
    assert list(report.dropped) == ["text_model.embeddings.position_ids"]
    assert_round_trip(tmp_path / "backbone", folder / "model.safetensors", tmp_path / "again.safetensors")


def test_a_spoilt_checkpoint_is_refused_with_all_its_faults_and_nothing_is_written(
    source: tuple[Path, CLIPModel], tmp_path: Path
) -> None:
    tensors = load_file(source[0] / "model.safetensors")
    del tensors["logit_scale"], tensors["text_model.encoder.layers.1.mlp.fc1.bias"]
    tensors["visual_projection.weight"] = torch.zeros(20, 23)
    tensors["vision_model.encoder.layers.7.mlp.fc1.bias"] = torch.zeros(32)
    folder = copied(source[0], tmp_path / "spoilt", tensors)
    with pytest.raises(BackboneError) as caught:
        import_backbone(folder, "clip", tmp_path / "backbone")
    said = str(caught.value)
    for fault in (
        "missing: logit_scale", "missing: text_model.encoder.layers.1.mlp.fc1.bias", "visual_projection.weight",
        "unexpected: vision_model.encoder.layers.7.mlp.fc1.bias",
    ):  # fmt: skip
        assert fault in said
    assert not (tmp_path / "backbone").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model_type": "siglip"}, "says siglip, not clip"),
        ({"text_config": {"hidden_size": 15, "num_attention_heads": 2}}, "not a multiple of 2 heads"),
        ({"vision_config": {"num_hidden_layers": "many", "patch_size": 0}}, "num_hidden_layers is 'many'; .* is 0"),
    ],
)
def test_a_config_that_is_no_clip_s_is_refused(
    source: tuple[Path, CLIPModel], tmp_path: Path, change: dict[str, object], said: str
) -> None:
    folder = copied(source[0], tmp_path / "other")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(BackboneError, match=said):
        import_backbone(folder, "clip", tmp_path / "backbone")
    assert not (tmp_path / "backbone").exists()
