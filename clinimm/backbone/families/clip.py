"""CLIP as transformers saves it (Radford et al. 2021): a directory of a CLIPModel."""

from collections.abc import Mapping
from typing import Any

from clinimm.backbone.families.hugging_face import halves, padding_piece, standardization
from clinimm.backbone.family import Family, Plan
from clinimm.backbone.foreign import Checkpoint
from clinimm.backbone.keys import Leave, Rename
from clinimm.models.towers.clip import OPENAI_MEAN, OPENAI_STD

_WIDTH = 512  # transformers' default, which it leaves out of config.json
_RULES = (
    Leave("*.embeddings.position_ids", "positions are counted, not stored"),
    Rename("vision_model.**", "image", "model.**"),
    Rename("visual_projection.weight", "image", "projection.0.weight"),
    Rename("text_model.**", "text", "model.**"),
    Rename("text_projection.weight", "text", "projection.0.weight"),
    Rename("logit_scale", "joint", "logit_scale", reshape=True),
)


def _plan(checkpoint: Checkpoint, options: Mapping[str, Any]) -> Plan:
    vision, text = halves(checkpoint, "clip")
    width = checkpoint.config.get("projection_dim") or _WIDTH
    pixels = standardization(checkpoint, OPENAI_MEAN, OPENAI_STD)
    towers = {
        "image": {"name": "clip_image", "config": vision, "width": width, **pixels},
        "text": {"name": "clip_text", "config": text, "width": width},
    }
    return Plan(towers, _RULES, joint=("logit_scale",), padding=padding_piece(checkpoint, "<|endoftext|>"))


CLIP = Family("clip", takes="a directory of transformers' CLIPModel, with its tokenizer", plan=_plan)
