"""MedCLIP (Wang et al. 2022): a Swin or ResNet-50 image tower and a ClinicalBERT text tower.

Sizes are read from the weights' shapes, since its files hold no config. Names as RyanWangZf/MedCLIP saves them with
transformers 4; those of transformers 5, which renamed Swin's, are taken as well."""

from collections.abc import Callable, Mapping
from typing import Any

from clinimm.backbone.family import Family, Plan
from clinimm.backbone.foreign import Checkpoint
from clinimm.backbone.keys import Leave, Rename, Rule, Shape, count, usual_size
from clinimm.errors import BackboneError, ConfigError

MEAN, STD = 0.5862785803043838, 0.27950088968644304  # of its films' pixels in [0, 1]
LENGTH = 77  # word pieces
SPACE = 512  # width
_HEAD = 64  # width of an attention head of every BERT-base
_POOLINGS = ("layers", "layers_with_padding", "mean", "cls")

_SWIN = "embeddings.patch_embeddings.projection.weight"
_RESNET = "conv1.weight"
_BERT = "embeddings.word_embeddings.weight"
_STAGES = (("layer1", 4), ("layer2", 5), ("layer3", 6), ("layer4", 7))  # ours count from the stem's convolution


def plan(checkpoint: Checkpoint, options: Mapping[str, Any]) -> Plan:
    """Both towers of a whole MedCLIP, or one of a vision-only or text-only state dict, with or without its prefix."""
    towers: dict[str, dict[str, Any]] = {}
    rules: list[Rule] = [Rename("logit_scale", "joint", "logit_scale", reshape=True)]
    vision, text = _prefix(checkpoint, "vision_model.", (_SWIN, _RESNET)), _prefix(checkpoint, "text_model.", (_BERT,))
    if vision is not None and any(name.startswith(f"{vision}model.{_STAGES[0][0]}.") for name in checkpoint.tensors):
        towers["image"] = _resnet(checkpoint, vision, options)
        rules += _resnet_rules(vision)
    elif vision is not None:
        towers["image"] = _swin(checkpoint, vision, options)
        rules += _swin_rules(vision)
    if text is not None:
        towers["text"] = _bert(checkpoint, text, options)
        rules += _bert_rules(text)
    if not towers:
        raise BackboneError(
            "has neither a Swin, a ResNet nor a BERT under MedCLIP's names",
            where=str(checkpoint.path),
            mend="name the family that the checkpoint is of",
        )
    whole = "logit_scale" in checkpoint.tensors or len(towers) > 1
    return Plan(towers, rules, joint=("logit_scale",) if whole else ())


def _prefix(checkpoint: Checkpoint, prefix: str, marks: tuple[str, ...]) -> str | None:
    """What stands before "model." in a tower's names: `prefix`, or nothing where the tower was saved alone."""
    if any(name.startswith(prefix) for name in checkpoint.tensors):
        return prefix
    return "" if any(f"model.{mark}" in checkpoint.tensors for mark in marks) else None


def _swin(checkpoint: Checkpoint, prefix: str, options: Mapping[str, Any]) -> dict[str, Any]:
    shape, usual = _shapes(checkpoint), _usual(checkpoint)
    layers = f"{prefix}model.encoder.layers."
    new = any(".attention.q_proj." in name for name in checkpoint.tensors)
    table = "relative_position_bias" if new else "self"
    embed = usual(f"{prefix}model.embeddings.**", 0)
    patches = shape(f"{prefix}model.{_SWIN}", (embed, 3, 4, 4))
    stages = range(count(checkpoint.tensors, layers))
    config = {
        "image_size": _whole_number(options, "size", 224),
        "num_channels": patches[1],
        "patch_size": patches[2],
        "embed_dim": embed,
        "depths": [count(checkpoint.tensors, f"{layers}{stage}.blocks.") for stage in stages],
        "num_heads": [
            usual(f"{layers}{stage}.blocks.*.attention.{table}.relative_position_bias_table", 1) for stage in stages
        ],
        "window_size": (round(usual(f"{layers}**.relative_position_bias_table", 0) ** 0.5) + 1) // 2,
        "mlp_ratio": usual(f"{layers}0.blocks.*.{'mlp.fc1' if new else 'intermediate.dense'}.*", 0) / embed,
    }
    width = shape(f"{prefix}projection_head.weight", (SPACE, 0))[0]
    return {"name": "swin", "config": config, "width": width, "mean": [MEAN], "std": [STD]}


def _shapes(checkpoint: Checkpoint) -> Callable[[str, Shape], Shape]:
    """Looks a shape up; that of the published MedCLIP stands in for a tensor that is not there, or has other axes, so
    that it is told together with all other faults."""

    def shape(name: str, published: Shape) -> Shape:
        tensor = checkpoint.tensors.get(name)
        return published if tensor is None or tensor.ndim != len(published) else tuple(tensor.shape)

    return shape


def _usual(checkpoint: Checkpoint) -> Callable[[str, int], int]:
    return lambda pattern, axis: usual_size(checkpoint.tensors, pattern, axis, str(checkpoint.path))


def _resnet(checkpoint: Checkpoint, prefix: str, options: Mapping[str, Any]) -> dict[str, Any]:
    shape = _shapes(checkpoint)
    size = _whole_number(options, "size", 224)
    planes = [_usual(checkpoint)(f"{prefix}model.{stage}.*.conv1.weight", 0) for stage, _ in _STAGES]
    return {
        "name": "trunk",
        "trunk": "resnet50",
        "width": shape(f"{prefix}model.fc.weight", (SPACE, 0))[0],
        "size": [size, size],
        "channels": shape(f"{prefix}model.{_RESNET}", (0, 3, 7, 7))[1],
        "mean": [MEAN],
        "std": [STD],
        "options": {"bias_downsample": False, "planes": planes},
    }


def _bert(checkpoint: Checkpoint, prefix: str, options: Mapping[str, Any]) -> dict[str, Any]:
    shape, usual = _shapes(checkpoint), _usual(checkpoint)
    model = f"{prefix}model."
    hidden = usual(f"{model}encoder.layer.*.output.LayerNorm.*", 0)
    positions = shape(f"{model}embeddings.position_embeddings.weight", (512, 0))[0]
    config = {
        "model_type": "bert",
        "vocab_size": shape(model + _BERT, (28996, 0))[0],
        "hidden_size": hidden,
        "num_hidden_layers": count(checkpoint.tensors, f"{model}encoder.layer."),
        "num_attention_heads": _whole_number(options, "heads", max(1, hidden // _HEAD)),
        "intermediate_size": usual(f"{model}encoder.layer.*.intermediate.dense.*", 0),
        "max_position_embeddings": positions,
        "type_vocab_size": shape(f"{model}embeddings.token_type_embeddings.weight", (2, 0))[0],
    }
    pooling = options.get("pooling", "layers")
    if pooling not in _POOLINGS:
        raise ConfigError(f"{pooling!r} is no pooling", where="pooling", mend=f"choose one of {', '.join(_POOLINGS)}")
    width = shape(f"{prefix}projection_head.weight", (SPACE, 0))[0]
    length = min(_whole_number(options, "length", LENGTH), positions)
    return {"name": "bert", "config": config, "width": width, "length": length, "pooling": pooling}


def _whole_number(options: Mapping[str, Any], name: str, default: int) -> int:
    value = options.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError(f"{name} is {value!r}", where=name, mend="give a whole number above 0")
    return value


def _swin_rules(prefix: str) -> list[Rule]:
    there, here = f"{prefix}model.**.blocks.*.", "model.**.blocks.*."
    renamed = {
        "attention.self.relative_position_bias_table": "attention.relative_position_bias.relative_position_bias_table",
        "attention.self.query.*": "attention.q_proj.*",
        "attention.self.key.*": "attention.k_proj.*",
        "attention.self.value.*": "attention.v_proj.*",
        "attention.output.dense.*": "attention.o_proj.*",
        "intermediate.dense.*": "mlp.fc1.*",
        "output.dense.*": "mlp.fc2.*",
    }
    return [
        Leave(f"{prefix}**.relative_position_index", "it follows from the window's size"),
        *(Rename(there + old, "image", here + new) for old, new in renamed.items()),
        Rename(f"{prefix}model.**", "image", "model.**"),
        Rename(f"{prefix}projection_head.weight", "image", "projection.0.weight"),
    ]


def _resnet_rules(prefix: str) -> list[Rule]:
    return [
        Rename(f"{prefix}model.conv1.*", "image", "trunk.layers.0.*"),
        Rename(f"{prefix}model.bn1.*", "image", "trunk.layers.1.*"),
        *(Rename(f"{prefix}model.{there}.**", "image", f"trunk.layers.{here}.**") for there, here in _STAGES),
        Rename(f"{prefix}model.fc.weight", "image", "projection.0.weight"),
    ]


def _bert_rules(prefix: str) -> list[Rule]:
    return [
        Leave(f"{prefix}model.embeddings.position_ids", "positions are counted, not stored"),
        Leave(f"{prefix}model.pooler.**", "hidden states are pooled without weights"),
        Rename(f"{prefix}model.**", "text", "model.**"),
        Rename(f"{prefix}projection_head.weight", "text", "projection.0.weight"),
    ]


MEDCLIP = Family(
    name="medclip",
    takes="MedCLIP's pytorch_model.bin, or the zip it comes in; Swin or ResNet-50; whole, vision-only or text-only",
    plan=plan,
    options={
        "pooling": "layers (default: over words), layers_with_padding (the original's), mean or cls",
        "length": f"word pieces of a text, {LENGTH} by default",
        "heads": f"attention heads of the text tower, by default one for {_HEAD} of its width",
        "size": "pixels of a picture's side, 224 by default",
    },
)
