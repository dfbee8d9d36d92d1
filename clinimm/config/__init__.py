"""A run's settings: TOML read once into frozen sections that forbid unknown keys.

Modules never see a section: builders unpack it into plain arguments."""

from clinimm.config.backbone import Adapt, BackboneUse
from clinimm.config.inputs import (
    AnalyteColumn,
    Data,
    Encoder,
    ImageInput,
    InputSection,
    Resampler,
    Section,
    TabularInput,
    Target,
    TextInput,
)
from clinimm.config.pretrain import PretrainConfig
from clinimm.config.reading import dump, load, load_as, parse, parse_as
from clinimm.config.train import Config, Reference
from clinimm.config.zeroshot import Prompts, ZeroShotConfig, ZeroShotTarget

__all__ = [
    "Adapt", "AnalyteColumn", "BackboneUse", "Config", "Data", "Encoder", "ImageInput", "InputSection",
    "PretrainConfig", "Prompts", "Reference", "Resampler", "Section", "TabularInput", "Target", "TextInput",
    "ZeroShotConfig", "ZeroShotTarget", "dump", "load", "load_as", "parse", "parse_as",
]  # fmt: skip
