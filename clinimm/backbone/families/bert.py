"""BERT and its kin as Hugging Face directories: a backbone of a text tower alone, without a projection."""

from collections.abc import Mapping
from typing import Any

from clinimm.backbone.family import Family, Plan
from clinimm.backbone.foreign import Checkpoint
from clinimm.backbone.keys import Leave, Rename, Rule
from clinimm.errors import BackboneError, ConfigError

_PREFIXES = {  # before every name of the encoder, where a head was saved with it
    "bert": "bert.", "roberta": "roberta.", "xlm-roberta": "roberta.", "camembert": "roberta.",
    "distilbert": "distilbert.", "electra": "electra.", "mpnet": "mpnet.",
}  # fmt: skip
_OFFSET = ("roberta", "xlm-roberta", "camembert", "mpnet")  # positions count from the padding piece's id + 1
_NOT_SIZES = ("torch_dtype", "dtype", "auto_map", "architectures", "_name_or_path", "quantization_config")
_POOLINGS = ("mean", "cls")
_LONGEST = 512  # word pieces, where the net could read more


def plan(checkpoint: Checkpoint, options: Mapping[str, Any]) -> Plan:
    """The encoder alone; heads that were saved with it are left."""
    where = str(checkpoint.path)
    kind = checkpoint.config.get("model_type")
    if kind not in _PREFIXES:
        known = ", ".join(sorted(_PREFIXES))
        said = "there is no config.json with a model_type" if kind is None else f"its model_type is {kind!r}"
        raise BackboneError(said, where=where, mend=f"give a Hugging Face directory of one of {known}")
    pooling = options.get("pooling", "mean")
    if pooling not in _POOLINGS:
        raise ConfigError(f"{pooling!r} is no pooling", where="pooling", mend=f"choose one of {', '.join(_POOLINGS)}")
    config = {name: value for name, value in checkpoint.config.items() if name not in _NOT_SIZES}
    room = _positions(config, str(kind))
    length = options.get("length", min(room, _LONGEST))
    if not isinstance(length, int) or not 3 <= length <= room:
        raise ConfigError(f"length is {length!r}", where="length", mend=f"give 3 to {room}")
    width = config.get("hidden_size", config.get("dim", 768))
    tower = {
        "name": "bert", "config": config, "width": width, "length": length, "pooling": pooling, "projection": "none",
    }  # fmt: skip
    prefix = _PREFIXES[str(kind)]
    headed = any(name.startswith(prefix) for name in checkpoint.tensors)
    old = any(name.endswith(".LayerNorm.gamma") for name in checkpoint.tensors)
    return Plan({"text": tower}, _rules(prefix if headed else "", headed, old))


def _positions(config: Mapping[str, Any], kind: str) -> int:
    """How many word pieces have a position."""
    table = int(config.get("max_position_embeddings", 512))
    if kind not in _OFFSET:
        return table
    padding = 1 if kind == "mpnet" else int(config.get("pad_token_id", 1))  # MPNet's net has a 1, whatever its config
    return table - padding - 1


def _rules(prefix: str, headed: bool, old: bool) -> list[Rule]:
    """`headed`: there is more than the encoder; `old`: normalization has the names that TensorFlow gave it."""
    rules: list[Rule] = [
        Leave(f"{prefix}embeddings.position_ids", "positions are counted, not stored"),
        Leave(f"{prefix}embeddings.token_type_ids", "a text is one segment"),
        Leave(f"{prefix}pooler.**", "hidden states are pooled without weights"),
    ]
    if old:
        rules += [
            Rename(f"{prefix}**.LayerNorm.gamma", "text", "model.**.LayerNorm.weight"),
            Rename(f"{prefix}**.LayerNorm.beta", "text", "model.**.LayerNorm.bias"),
        ]
    rules.append(Rename(f"{prefix}**", "text", "model.**"))
    return [*rules, Leave("**", "it is of a head, not of the encoder")] if headed else rules


BERT = Family(
    name="bert",
    takes=f"a Hugging Face directory with config.json and a tokenizer, of {', '.join(sorted(_PREFIXES))}",
    plan=plan,
    options={
        "pooling": "mean (default, over words) or cls",
        "length": f"word pieces of a text, by default as many as the net can read, at most {_LONGEST}",
    },
)
