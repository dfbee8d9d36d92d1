"""BiomedCLIP in and out. open_clip and timm are not installed: what they compute is written out here, in plain torch,
from open_clip's CustomTextCLIP, TimmModel and HFTextEncoder, timm's VisionTransformer and BERT's paper."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from small_backbones import TEXTS
from small_foreign import assert_blocks_hold, assert_round_trip, assert_same_tensors, image_half, imported, text_half
from torch import Tensor
from torch.nn.functional import conv2d, gelu, layer_norm, linear, normalize

from clinimm.backbone.directory import Backbone
from clinimm.backbone.encode import encode_pictures, encode_texts, tokenize
from clinimm.backbone.foreign import read_checkpoint
from clinimm.backbone.transfer import export_backbone, import_backbone
from clinimm.data.words import SPECIAL
from clinimm.errors import BackboneError

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
WIDTH, SPACE, LAYERS, HEADS, PATCH, SIDE, LENGTH = 128, 24, 2, 2, 8, 32, 32
WORDS = (*SPECIAL, *sorted({word for text in TEXTS for word in text.lower().split()}))
CONFIG = {
    "model_cfg": {
        "embed_dim": SPACE,
        "vision_cfg": {
            "timm_model_name": "vit_base_patch16_224", "timm_model_pretrained": False, "timm_pool": "",
            "timm_proj": "linear", "image_size": SIDE,
        },
        "text_cfg": {
            "hf_model_name": "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract",
            "hf_tokenizer_name": "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract",
            "hf_proj_type": "mlp", "hf_pooler_type": "cls_last_hidden_state_pooler", "context_length": LENGTH,
        },
    },
    "preprocess_cfg": {"mean": MEAN, "std": STD},
}  # fmt: skip

Weights = dict[str, Tensor]


def shapes() -> dict[str, tuple[int, ...]]:
    """Every tensor of open_clip's file, as it names them, at our small sizes."""
    found: dict[str, tuple[int, ...]] = {"logit_scale": ()}
    trunk, bert, inner = "visual.trunk.", "text.transformer.", 4 * WIDTH
    for name, rows, columns in (
        *((f"{trunk}blocks.{i}.{part}", rows, columns) for i in range(LAYERS) for part, rows, columns in (
            ("attn.qkv", 3 * WIDTH, WIDTH), ("attn.proj", WIDTH, WIDTH),
            ("mlp.fc1", inner, WIDTH), ("mlp.fc2", WIDTH, inner),
        )),
        *((f"{bert}encoder.layer.{i}.{part}", rows, columns) for i in range(LAYERS) for part, rows, columns in (
            *((f"attention.self.{each}", WIDTH, WIDTH) for each in ("query", "key", "value")),
            ("attention.output.dense", WIDTH, WIDTH),
            ("intermediate.dense", inner, WIDTH), ("output.dense", WIDTH, inner),
        )),
    ):  # fmt: skip
        found |= {f"{name}.weight": (rows, columns), f"{name}.bias": (rows,)}
    for name in (
        f"{trunk}norm", f"{bert}embeddings.LayerNorm",
        *(f"{trunk}blocks.{i}.norm{n}" for i in range(LAYERS) for n in (1, 2)),
        *(f"{bert}encoder.layer.{i}.attention.output.LayerNorm" for i in range(LAYERS)),
        *(f"{bert}encoder.layer.{i}.output.LayerNorm" for i in range(LAYERS)),
    ):  # fmt: skip
        found |= {f"{name}.weight": (WIDTH,), f"{name}.bias": (WIDTH,)}
    middle = (WIDTH + SPACE) // 2
    return found | {
        f"{trunk}cls_token": (1, 1, WIDTH),
        f"{trunk}pos_embed": (1, (SIDE // PATCH) ** 2 + 1, WIDTH),
        f"{trunk}patch_embed.proj.weight": (WIDTH, 3, PATCH, PATCH),
        f"{trunk}patch_embed.proj.bias": (WIDTH,),
        "visual.head.proj.weight": (SPACE, WIDTH),
        f"{bert}embeddings.word_embeddings.weight": (len(WORDS), WIDTH),
        f"{bert}embeddings.position_embeddings.weight": (64, WIDTH),
        f"{bert}embeddings.token_type_embeddings.weight": (2, WIDTH),
        "text.proj.0.weight": (middle, WIDTH),
        "text.proj.2.weight": (SPACE, middle),
    }


def weights() -> Weights:
    source = torch.Generator().manual_seed(0)
    drawn = {name: torch.randn(shape, generator=source) * 0.1 for name, shape in shapes().items()}
    return drawn | {"text.transformer.embeddings.position_ids": torch.arange(64)[None]}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("biomedclip")
    torch.save(weights(), folder / "open_clip_pytorch_model.bin")
    (folder / "open_clip_config.json").write_text(json.dumps(CONFIG))
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    return folder


@pytest.fixture(scope="module")
def backbone(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    return imported(source, "biomedclip", tmp_path_factory.mktemp("backbones") / "biomedclip")


def pictures() -> Tensor:
    return torch.rand(3, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(1))


def attended(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    b, n, width = q.shape
    q, k, v = (part.view(b, n, HEADS, -1).transpose(1, 2) for part in (q, k, v))
    scores = q @ k.transpose(-1, -2) / (width // HEADS) ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask[:, None, None, :], -torch.inf)
    mixed: Tensor = scores.softmax(-1) @ v
    return mixed.transpose(1, 2).reshape(b, n, width)


def timm_tokens(w: Weights, pixels: Tensor) -> Tensor:
    """timm's VisionTransformer: pre-norm blocks, eps 1e-6, a final norm over all tokens."""

    def dense(name: str, x: Tensor) -> Tensor:
        return linear(x, w[f"visual.trunk.{name}.weight"], w[f"visual.trunk.{name}.bias"])

    def norm(name: str, x: Tensor) -> Tensor:
        return layer_norm(x, (WIDTH,), w[f"visual.trunk.{name}.weight"], w[f"visual.trunk.{name}.bias"], 1e-6)

    patches = conv2d(
        pixels, w["visual.trunk.patch_embed.proj.weight"], w["visual.trunk.patch_embed.proj.bias"], stride=PATCH
    )
    x = torch.cat([w["visual.trunk.cls_token"].expand(len(pixels), -1, -1), patches.flatten(2).transpose(1, 2)], 1)
    x = x + w["visual.trunk.pos_embed"]
    for i in range(LAYERS):
        q, k, v = dense(f"blocks.{i}.attn.qkv", norm(f"blocks.{i}.norm1", x)).chunk(3, -1)
        x = x + dense(f"blocks.{i}.attn.proj", attended(q, k, v))
        x = x + dense(f"blocks.{i}.mlp.fc2", gelu(dense(f"blocks.{i}.mlp.fc1", norm(f"blocks.{i}.norm2", x))))
    return norm("norm", x)


def bert_tokens(w: Weights, ids: Tensor) -> Tensor:
    """BERT: post-norm layers, eps 1e-12, padding (id 0) not attended to."""

    def dense(name: str, x: Tensor) -> Tensor:
        return linear(x, w[f"text.transformer.{name}.weight"], w[f"text.transformer.{name}.bias"])

    def norm(name: str, x: Tensor) -> Tensor:
        name = f"text.transformer.{name}.LayerNorm"
        return layer_norm(x, (WIDTH,), w[f"{name}.weight"], w[f"{name}.bias"], 1e-12)

    tables = {
        part: w[f"text.transformer.embeddings.{part}_embeddings.weight"] for part in ("word", "position", "token_type")
    }
    x = norm("embeddings", tables["word"][ids] + tables["position"][: ids.shape[1]] + tables["token_type"][0])
    for i in range(LAYERS):
        layer = f"encoder.layer.{i}."
        q, k, v = (dense(f"{layer}attention.self.{each}", x) for each in ("query", "key", "value"))
        x = norm(f"{layer}attention.output", x + dense(f"{layer}attention.output.dense", attended(q, k, v, ids != 0)))
        x = norm(f"{layer}output", x + dense(f"{layer}output.dense", gelu(dense(f"{layer}intermediate.dense", x))))
    return x


def image_features(w: Weights, pixels: Tensor) -> Tensor:
    standard = (pixels - torch.tensor(MEAN).view(1, 3, 1, 1)) / torch.tensor(STD).view(1, 3, 1, 1)
    return linear(timm_tokens(w, standard)[:, 0], w["visual.head.proj.weight"])


def text_features(w: Weights, ids: Tensor) -> Tensor:
    return linear(gelu(linear(bert_tokens(w, ids)[:, 0], w["text.proj.0.weight"])), w["text.proj.2.weight"])


@torch.inference_mode()
def test_image_features_are_the_original_s(backbone: Backbone) -> None:
    ours = image_half(backbone)(pictures())
    torch.testing.assert_close(ours, image_features(weights(), pictures()), atol=1e-5, rtol=0)


@torch.inference_mode()
def test_text_features_are_the_original_s(backbone: Backbone) -> None:
    tower, tokenizer = text_half(backbone)
    pieces = tokenize(tokenizer, [*TEXTS, "", " ".join(TEXTS)], tower.length)
    assert pieces.ids.shape[1] == LENGTH
    ours = tower(pieces.ids, pieces.mask)
    torch.testing.assert_close(ours, text_features(weights(), pieces.ids), atol=1e-5, rtol=0)


@torch.inference_mode()
def test_logits_are_the_original_s(backbone: Backbone) -> None:
    tower, tokenizer = text_half(backbone)
    ids = tokenize(tokenizer, TEXTS, tower.length).ids
    left, right = image_features(weights(), pictures()), text_features(weights(), ids)
    wanted = weights()["logit_scale"].exp() * normalize(left, dim=1) @ normalize(right, dim=1).T
    ours = encode_pictures(backbone, pictures()) @ encode_texts(backbone, TEXTS)[0].T
    torch.testing.assert_close(torch.tensor(backbone.scale).exp() * ours, wanted, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["image", "text"])
def test_every_weight_of_a_tower_lies_in_one_block_or_its_projection_and_learns(backbone: Backbone, kind: str) -> None:
    values = pictures() if kind == "image" else torch.randint(5, 20, (3, 9))
    assert_blocks_hold(backbone.towers[kind], values, ("projection.",))


def test_import_then_export_gives_every_bit_back(source: Path, tmp_path: Path) -> None:
    report = import_backbone(source, "biomedclip", tmp_path / "backbone")
    assert list(report.dropped) == ["text.transformer.embeddings.position_ids"]
    assert_round_trip(tmp_path / "backbone", source / "open_clip_pytorch_model.bin", tmp_path / "again.bin")


def test_half_precision_safetensors_with_open_clip_s_older_config_are_taken(source: Path, tmp_path: Path) -> None:
    folder = tmp_path / "half"
    folder.mkdir()
    halved = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in weights().items()}
    save_file(halved, folder / "open_clip_model.safetensors")
    config = json.loads(json.dumps(CONFIG))
    text = config["model_cfg"]["text_cfg"]
    text["proj"], text["pooler_type"] = text.pop("hf_proj_type"), text.pop("hf_pooler_type")
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    import_backbone(folder, "biomedclip", tmp_path / "backbone")
    export_backbone(tmp_path / "backbone", tmp_path / "again.safetensors")
    assert_same_tensors(read_checkpoint(tmp_path / "again.safetensors").tensors, halved)


@pytest.mark.parametrize(
    ("half", "change", "said"),
    [
        ("text_cfg", {"hf_pooler_type": "mean_pooler", "hf_proj_type": "linear"}, "is 'linear'.*is 'mean_pooler'"),
        ("vision_cfg", {"timm_model_name": "convnext_base", "timm_pool": "avg"}, "'convnext_base'.*timm_pool is 'avg'"),
    ],
)  # fmt: skip
def test_a_config_of_another_net_is_refused(
    source: Path, tmp_path: Path, half: str, change: dict[str, str], said: str
) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    config = json.loads(json.dumps(CONFIG))
    config["model_cfg"][half] |= change
    torch.save(weights(), folder / "open_clip_pytorch_model.bin")
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    with pytest.raises(BackboneError, match=said):
        import_backbone(folder, "biomedclip", tmp_path / "backbone")


def test_a_spoilt_checkpoint_is_refused_with_all_its_faults_and_nothing_is_written(
    source: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "spoilt"
    folder.mkdir()
    tensors = weights()
    del tensors["visual.trunk.blocks.1.attn.qkv.bias"], tensors["text.proj.2.weight"]
    tensors["visual.trunk.norm.weight"] = torch.zeros(WIDTH + 1)
    torch.save(tensors, folder / "open_clip_pytorch_model.bin")
    (folder / "open_clip_config.json").write_text(json.dumps(CONFIG))
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    with pytest.raises(BackboneError) as caught:
        import_backbone(folder, "biomedclip", tmp_path / "backbone")
    for fault in (
        "missing: visual.trunk.blocks.1.attn.qkv.bias", "missing: text.proj.2.weight",
        "visual.trunk.norm.weight: has shape (129,), expected (128,)",
    ):  # fmt: skip
        assert fault in str(caught.value)
    assert not (tmp_path / "backbone").exists()


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("visual.head.proj.weight", (SPACE + 1, WIDTH)),
        ("visual.trunk.patch_embed.proj.weight", (WIDTH, 3, PATCH - 1, PATCH - 1)),
        ("visual.trunk.patch_embed.proj.weight", (WIDTH + 64, 3, PATCH, PATCH)),
        ("visual.trunk.pos_embed", (1, 5, WIDTH)),
        ("visual.trunk.blocks.0.mlp.fc1.weight", (WIDTH, WIDTH)),
        ("visual.trunk.blocks.0.norm1.weight", (WIDTH - 64,)),
        ("text.transformer.embeddings.word_embeddings.weight", (len(WORDS), WIDTH + 64)),
        ("text.transformer.embeddings.position_embeddings.weight", (LENGTH - 1, WIDTH)),
        ("text.transformer.encoder.layer.1.intermediate.dense.weight", (WIDTH, WIDTH)),
        ("text.proj.0.weight", (3, WIDTH)),
    ],
)
def test_one_misshapen_tensor_is_named_even_where_sizes_are_read(
    source: Path, tmp_path: Path, name: str, shape: tuple[int, ...]
) -> None:
    folder = tmp_path / "misshapen"
    shutil.copytree(source, folder)
    torch.save(weights() | {name: torch.zeros(shape)}, folder / "open_clip_pytorch_model.bin")
    with pytest.raises(BackboneError) as caught:
        import_backbone(folder, "biomedclip", tmp_path / "backbone")
    said = str(caught.value)
    assert f"{name}: has shape {shape}" in said or f"{name} {shape}" in said
    assert "key(s)" not in said or "1 key(s) at fault" in said
    assert not (tmp_path / "backbone").exists()


def test_a_checkpoint_of_another_family_is_refused(tmp_path: Path) -> None:
    torch.save({"features.conv0.weight": torch.zeros(4, 3, 7, 7)}, tmp_path / "densenet.pth")
    with pytest.raises(BackboneError, match="is missing"):
        import_backbone(tmp_path / "densenet.pth", "biomedclip", tmp_path / "backbone")
