"""How a model uses an image-text backbone: which one, and how far each of its towers is trained."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from clinimm.config.inputs import Section


class Adapt(Section):
    """How one tower is adapted. "frozen": not at all; "lora": low-rank updates of `rank` and scale `alpha` / `rank` of
    its `targets`; "last_n": its last `last_n` blocks; "full": all of it.

    `lr` is its own learning rate, by default the run's; a block's rate is `decay` times that of the block above it.
    `cache` keeps a frozen tower's tokens on disk, so that an epoch does not pay for the tower; its pictures then are
    not augmented."""

    mode: Literal["frozen", "lora", "last_n", "full"] = "full"
    last_n: int = Field(1, ge=1)
    rank: int = Field(4, ge=1)
    alpha: float = Field(8.0, gt=0)
    lora_dropout: float = Field(0.0, ge=0, lt=1)
    targets: Literal["attention", "all"] = "attention"
    lr: float | None = Field(None, gt=0)
    decay: float = Field(1.0, gt=0, le=1)
    cache: bool = True


class BackboneUse(Section):
    """`path` is a backbone directory; inputs whose encoder is named "backbone" take its tower of their kind. `save`:
    the artifact holds the "whole" towers, or only what was trained ("adapters") and then needs the directory too.
    `pretrained = false` keeps the towers' architecture and throws their weights away."""

    path: Path
    image: Adapt = Adapt()
    text: Adapt = Adapt()
    save: Literal["whole", "adapters"] = "whole"
    pretrained: bool = True
