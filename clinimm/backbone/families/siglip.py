"""SigLIP as transformers saves it (Zhai et al. 2023): a directory of a SiglipModel with a tokenizer.json."""

from collections.abc import Mapping
from typing import Any

from clinimm.backbone.families.hugging_face import halves, padding_piece, standardization
from clinimm.backbone.family import Family, Plan
from clinimm.backbone.foreign import Checkpoint
from clinimm.backbone.keys import Leave, Rename
from clinimm.backbone.vocabulary import read_tokenizer
from clinimm.data.words import pad_id
from clinimm.errors import BackboneError

_HALF = (0.5, 0.5, 0.5)
_RULES = (
    Leave("*.embeddings.position_ids", "positions are counted, not stored"),
    Rename("vision_model.**", "image", "model.**"),
    Rename("text_model.**", "text", "model.**"),
    Rename("logit_scale", "joint", "logit_scale", reshape=True),
    Rename("logit_bias", "joint", "logit_bias", reshape=True),
)


def _plan(checkpoint: Checkpoint, options: Mapping[str, Any]) -> Plan:
    vision, text = halves(checkpoint, "siglip")
    piece = padding_piece(checkpoint, "</s>")
    towers: dict[str, dict[str, Any]] = {
        "image": {"name": "siglip_image", "config": vision, **standardization(checkpoint, _HALF, _HALF)},
        "text": {"name": "siglip_text", "config": text, "pad": _pad(checkpoint, piece)},
    }
    return Plan(towers, _RULES, joint=("logit_scale", "logit_bias"), padding=piece)


def _pad(checkpoint: Checkpoint, piece: str) -> int:
    """The tower reads padding, so which vector pads is part of the net."""
    if checkpoint.directory is None or not (checkpoint.directory / "tokenizer.json").is_file():
        raise BackboneError(
            "has no tokenizer.json",
            where=str(checkpoint.path),
            mend="put one beside the weights: spiece.model is not read",
        )
    return pad_id(read_tokenizer(checkpoint.directory, piece))


SIGLIP = Family(
    "siglip", takes="a directory of transformers' SiglipModel, with preprocessor and tokenizer.json", plan=_plan
)
