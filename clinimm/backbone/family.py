"""What a family of foreign checkpoints is: how its towers are made, and how its weights are called."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from clinimm.backbone.foreign import Checkpoint
from clinimm.backbone.keys import Rule


@dataclass(frozen=True)
class Plan:
    """How one checkpoint becomes a backbone: the architecture (for build_tower) of each tower it holds, "image" and
    "text"; the rules that name its weights; which of "logit_scale" and "logit_bias" it holds (rules of tower "joint",
    shape () here); the padding piece of its tokenizer, where that is not [PAD] or <pad>."""

    towers: Mapping[str, Mapping[str, Any]]
    rules: Sequence[Rule]
    joint: Sequence[str] = ()
    padding: str | None = None


@dataclass(frozen=True)
class Family:
    """`takes` says in a line what may be imported. `options` are names of options and what they mean; `plan` gets
    those that were given, and raises BackboneError if the checkpoint is not of the family, ConfigError for a value
    that an option cannot have."""

    name: str
    takes: str
    plan: Callable[[Checkpoint, Mapping[str, Any]], Plan]
    options: Mapping[str, str] = field(default_factory=dict)
