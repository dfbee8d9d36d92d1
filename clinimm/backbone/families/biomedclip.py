"""BiomedCLIP as open_clip saves it (Zhang et al. 2023): timm's ViT and transformers' BERT.

open_clip_config.json names the nets but gives no sizes: they are read from the weights. Heads are 64 wide, as in every
ViT of timm's and BERT of that config's kind. Source of the names and of both forwards: open_clip's TimmModel,
HFTextEncoder and timm's VisionTransformer."""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from math import isqrt
from typing import Any

from clinimm.backbone.family import Family, Plan
from clinimm.backbone.foreign import Checkpoint
from clinimm.backbone.keys import Leave, Rename, count, shapes, usual_size
from clinimm.errors import BackboneError
from clinimm.models.towers.clip import OPENAI_MEAN, OPENAI_STD

_HEAD = 64  # features of an attention head
_LENGTH = 256  # word pieces of a text
_CONFIG = "open_clip_config.json"
_TRUNK, _BERT = "visual.trunk", "text.transformer"
_RULES = (
    Rename(f"{_TRUNK}.cls_token", "image", "model.embeddings.cls_token"),
    Rename(f"{_TRUNK}.pos_embed", "image", "model.embeddings.position_embeddings"),
    Rename(f"{_TRUNK}.patch_embed.proj.*", "image", "model.embeddings.patch_embeddings.projection.*"),
    Rename(f"{_TRUNK}.blocks.*.norm1.*", "image", "model.layers.*.layernorm_before.*"),
    Rename(
        f"{_TRUNK}.blocks.*.attn.qkv.*",
        "image",
        tuple(f"model.layers.*.attention.{part}_proj.*" for part in ("q", "k", "v")),
    ),
    Rename(f"{_TRUNK}.blocks.*.attn.proj.*", "image", "model.layers.*.attention.o_proj.*"),
    Rename(f"{_TRUNK}.blocks.*.norm2.*", "image", "model.layers.*.layernorm_after.*"),
    Rename(f"{_TRUNK}.blocks.*.mlp.*.*", "image", "model.layers.*.mlp.*.*"),
    Rename(f"{_TRUNK}.norm.*", "image", "model.layernorm.*"),
    Rename("visual.head.proj.weight", "image", "projection.0.weight"),
    Leave(f"{_BERT}.embeddings.position_ids", "positions are counted, not stored"),
    Leave(f"{_BERT}.pooler.**", "the text is read at its first position, before BERT's pooler"),
    Rename(f"{_BERT}.**", "text", "model.**"),
    Rename("text.proj.*.weight", "text", "projection.*.weight"),
    Rename("logit_scale", "joint", "logit_scale", reshape=True),
)


def _plan(checkpoint: Checkpoint, options: Mapping[str, Any]) -> Plan:
    config = _config(checkpoint)
    model, pixels = config.get("model_cfg", {}), config.get("preprocess_cfg", {})
    vision, text = model.get("vision_cfg", {}), model.get("text_cfg", {})
    _check(checkpoint, vision, text)
    length = text.get("context_length", _LENGTH)
    width = model.get("embed_dim") or usual_size(checkpoint.tensors, "visual.head.proj.weight", 0, str(checkpoint.path))
    towers = {
        "image": {
            "name": "vit", "config": _vit(checkpoint, vision.get("image_size")), "width": width,
            "mean": list(pixels.get("mean", OPENAI_MEAN)), "std": list(pixels.get("std", OPENAI_STD)),
        },
        "text": {
            "name": "bert", "config": _bert(checkpoint, length), "width": width, "length": length,
            "pooling": "cls", "projection": "mlp",
        },
    }  # fmt: skip
    return Plan(towers, _RULES, joint=("logit_scale",))


def _config(checkpoint: Checkpoint) -> Mapping[str, Any]:
    path = None if checkpoint.directory is None else checkpoint.directory / _CONFIG
    if path is None or not path.is_file():
        return checkpoint.config
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise BackboneError("is not a JSON object", where=str(path)) from error


def _check(checkpoint: Checkpoint, vision: Mapping[str, Any], text: Mapping[str, Any]) -> None:
    """Raises BackboneError for every setting that would make another net of the same weights."""
    known = {
        "timm_model_name": (vision, ("vit_",)),
        "timm_pool": (vision, ("", "token")),
        "timm_proj": (vision, ("linear",)),
        "hf_proj_type": (text, ("mlp",)),
        "proj": (text, ("mlp",)),
        "hf_pooler_type": (text, ("cls_last_hidden_state_pooler",)),
        "pooler_type": (text, ("cls_last_hidden_state_pooler",)),
    }
    faults = [
        f"{name} is {part[name]!r}, not {' or '.join(map(repr, values))}"
        for name, (part, values) in known.items()
        if name in part and not _among(name, part[name], values)
    ]
    if faults:
        raise BackboneError(
            "; ".join(faults), where=f"{checkpoint.path}: {_CONFIG}", mend="give a checkpoint built like BiomedCLIP"
        )


def _among(name: str, value: Any, values: Sequence[str]) -> bool:
    return str(value).startswith(tuple(values)) if name == "timm_model_name" else value in values


def _vit(checkpoint: Checkpoint, image_size: int | None) -> dict[str, Any]:
    """Settings of a ViTConfig that make timm's VisionTransformer. Raises BackboneError if the patches do not fill a
    picture of `image_size`."""
    usual = partial(usual_size, checkpoint.tensors, where=str(checkpoint.path))
    patches, positions = f"{_TRUNK}.patch_embed.proj.weight", f"{_TRUNK}.pos_embed"
    sizes = shapes(checkpoint.tensors, {patches: 4, positions: 3}, str(checkpoint.path))
    channels, patch = sizes[patches][1:3]
    side = isqrt(sizes[positions][1] - 1) * patch
    if image_size not in (None, side):
        said = f"{patches} {sizes[patches]} and {positions} {sizes[positions]} do not make pictures of {image_size}"
        raise BackboneError(said, where=str(checkpoint.path), mend=f"compare with image_size in {_CONFIG}")
    width = usual(f"{_TRUNK}.blocks.*.norm1.*", 0)
    return {
        "hidden_size": width,
        "num_hidden_layers": count(checkpoint.tensors, f"{_TRUNK}.blocks."),
        "num_attention_heads": max(1, width // _HEAD),
        "intermediate_size": usual(f"{_TRUNK}.blocks.*.mlp.fc1.*", 0),
        "image_size": side,
        "patch_size": patch,
        "num_channels": channels,
        "layer_norm_eps": 1e-6,
        "qkv_bias": True,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
    }


def _bert(checkpoint: Checkpoint, length: int) -> dict[str, Any]:
    """Settings of a BertConfig; what the weights do not say is as in PubMedBERT. Raises BackboneError if it cannot
    read texts of `length`."""
    usual = partial(usual_size, checkpoint.tensors, where=str(checkpoint.path))
    tables = {part: f"{_BERT}.embeddings.{part}_embeddings.weight" for part in ("word", "position", "token_type")}
    sizes = shapes(checkpoint.tensors, dict.fromkeys(tables.values(), 2), str(checkpoint.path))
    if sizes[tables["position"]][0] < length:
        said = f"{tables['position']} {sizes[tables['position']]} cannot place texts of {length}"
        raise BackboneError(said, where=str(checkpoint.path), mend=f"compare with context_length in {_CONFIG}")
    width = usual(f"{_BERT}.encoder.layer.*.output.LayerNorm.*", 0)
    return {
        "model_type": "bert",
        "vocab_size": sizes[tables["word"]][0],
        "hidden_size": width,
        "num_hidden_layers": count(checkpoint.tensors, f"{_BERT}.encoder.layer."),
        "num_attention_heads": max(1, width // _HEAD),
        "intermediate_size": usual(f"{_BERT}.encoder.layer.*.intermediate.dense.*", 0),
        "max_position_embeddings": sizes[tables["position"]][0],
        "type_vocab_size": sizes[tables["token_type"]][0],
        "layer_norm_eps": 1e-12,
        "hidden_act": "gelu",
        "pad_token_id": 0,
    }


BIOMEDCLIP = Family(
    "biomedclip",
    takes="open_clip's directory of BiomedCLIP: open_clip_config.json, its weights and tokenizer",
    plan=_plan,
)
