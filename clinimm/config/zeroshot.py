"""The settings of zero-shot scores: targets told in words, and where the pictures are."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from clinimm.config.inputs import Data, Picture, Section, Target


class Prompts(Section):
    """Sentences: every template with every choice of `words` for its {placeholders}."""

    templates: tuple[str, ...] = Field(min_length=1)
    words: Mapping[str, tuple[str, ...]] = {}


class ZeroShotTarget(Target):
    """A target and what a report says where it holds (`positive`), and where it does not (`negative`)."""

    positive: Prompts
    negative: Prompts


class ZeroShotConfig(Section):
    """`ensemble` makes one similarity of many prompts': their "mean" or "max", or that to the prompts' "center", the
    unit vector of their mean. `score` is the "softmax" over positive and negative at the backbone's temperature, or
    their "difference"."""

    name: str
    data: Data = Data()
    image: Picture
    targets: tuple[ZeroShotTarget, ...] = Field(min_length=1)
    ensemble: Literal["mean", "max", "center"] = "mean"
    score: Literal["softmax", "difference"] = "softmax"
    bootstrap: int = Field(1000, ge=10)
    seed: int = 0
