"""What lies beside the weights in a directory that transformers saved: the model's kind, its pixels, its padding."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from clinimm.backbone.foreign import Checkpoint
from clinimm.errors import BackboneError

_SIZES = (
    "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "image_size", "patch_size",
    "num_channels", "vocab_size", "max_position_embeddings",
)  # fmt: skip


def halves(checkpoint: Checkpoint, model_type: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The settings of the image and of the text tower. Raises BackboneError if config.json is of another model."""
    config = checkpoint.config
    if config.get("model_type") != model_type:
        found = config.get("model_type") or "no model_type"
        raise BackboneError(
            f"config.json says {found}, not {model_type}",
            where=str(checkpoint.path),
            mend=f"give the directory of a {model_type} model, with its config.json, or name its own family",
        )
    vision, text = (_half(config, kind) for kind in ("vision", "text"))
    named = (("vision_config", vision), ("text_config", text))
    faults = [f"{kind}: {fault}" for kind, half in named for fault in _faults(half)]
    if faults:
        raise BackboneError("; ".join(faults), where=f"{checkpoint.path}: config.json", mend="fetch the model again")
    return vision, text


def _half(config: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """Old files hold it twice; transformers lets the second one win."""
    return {**(config.get(f"{kind}_config") or {}), **(config.get(f"{kind}_config_dict") or {})}


def _faults(half: Mapping[str, Any]) -> list[str]:
    sizes = {name: half[name] for name in _SIZES if name in half}
    faults = [f"{name} is {size!r}" for name, size in sizes.items() if type(size) is not int or size < 1]
    width, heads = sizes.get("hidden_size"), sizes.get("num_attention_heads")
    if not faults and width and heads and width % heads:
        faults.append(f"hidden_size {width} is not a multiple of {heads} heads")
    return faults


def standardization(checkpoint: Checkpoint, mean: Sequence[float], std: Sequence[float]) -> dict[str, list[float]]:
    """The "mean" and "std" of preprocessor_config.json, or as transformers 5 has it of processor_config.json; the given
    ones where neither says any."""
    said = _beside(checkpoint.directory, "preprocessor_config.json")
    said = said or _beside(checkpoint.directory, "processor_config.json").get("image_processor") or {}
    return {"mean": list(said.get("image_mean") or mean), "std": list(said.get("image_std") or std)}


def padding_piece(checkpoint: Checkpoint, default: str) -> str:
    """The padding piece that tokenizer_config.json or special_tokens_map.json names; `default` where neither does."""
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        piece = _beside(checkpoint.directory, name).get("pad_token")
        if piece:
            return str(piece["content"] if isinstance(piece, dict) else piece)
    return default


def _beside(directory: Path | None, name: str) -> dict[str, Any]:
    if directory is None or not (directory / name).is_file():
        return {}
    try:
        content = json.loads((directory / name).read_text(encoding="utf-8"))
    except ValueError as error:
        raise BackboneError("is not JSON", where=str(directory / name)) from error
    return content if isinstance(content, dict) else {}
