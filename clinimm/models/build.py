"""From plain settings to a Network: look each part's name up, build it, join them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch

from clinimm.choose import choose
from clinimm.errors import ConfigError
from clinimm.models.adapt import Adaptation
from clinimm.models.backbone_encoder import BackboneImageEncoder, BackboneTextEncoder
from clinimm.models.encoder import Encoder
from clinimm.models.fusions import FUSIONS
from clinimm.models.image import TRUNKS, build_image_encoder
from clinimm.models.linear import BagOfWords, EigenImage
from clinimm.models.network import Network
from clinimm.models.resampler import PerceiverResampler
from clinimm.models.tabular import AnalyteEncoder, CompletedAnalyteEncoder
from clinimm.models.text import architecture_of, build_note_encoder, small_bert
from clinimm.models.towers.base import ImageTower, TextTower, Tower
from clinimm.types import Kind, Modality

ENCODERS: dict[Kind, dict[str, str]] = {
    Kind.IMAGE: {
        **dict.fromkeys(TRUNKS, "a MONAI net"),
        "eigen": "principal components",
        "backbone": "a backbone's image tower",
    },
    Kind.TEXT: {
        "transformer": "a BERT-like net",
        "bag": "latent semantic analysis",
        "backbone": "a backbone's text tower",
    },
    Kind.TABULAR: {
        "analytes": "a token per analyte that is known",
        "completed": "a token per analyte, a missing one completed",
    },
}


@dataclass(frozen=True)
class Vocabulary:
    """What a text encoder must know of its tokenizer."""

    size: int
    pad_id: int
    special_ids: tuple[int, ...]


@dataclass(frozen=True)
class TowerPlan:
    """A tower of an input's own and how it is trained; pictures come to it standardized with `mean` and `std`."""

    tower: Tower
    adaptation: Adaptation
    mean: float = 0.0
    std: float = 1.0


@dataclass(frozen=True)
class EncoderPlan:
    """How to build one modality's encoder. `architecture` is transformers' config of a text net, once it is known;
    `tower` is what the
    encoder "backbone" reads with; `resampler` has the options of a PerceiverResampler."""

    name: str
    pretrained: Path | None = None
    dropout: float = 0.1
    options: Mapping[str, Any] = field(default_factory=dict)
    vocabulary: Vocabulary | None = None
    architecture: Mapping[str, Any] | None = None
    tower: TowerPlan | None = None
    resampler: Mapping[str, int] | None = None


def build_network(
    modalities: Sequence[Modality],
    plans: Mapping[str, EncoderPlan],
    qualities: Mapping[str, int],
    *,
    width: int,
    fusion: str,
    dropout: float,
    prior: Sequence[float],
    fusion_options: Mapping[str, Any] | None = None,
) -> Network:
    """A network with new (or the plans' pretrained) weights. `prior` are the logits of the training prevalence, one per
    target. Raises ConfigError for unknown names or options."""
    encoders = {m.name: build_encoder(m, plans[m.name], width) for m in modalities}
    operator = choose(FUSIONS, fusion, "model.fusion")
    sizes = [qualities[m.name] for m in modalities]
    try:
        joined = operator(width, sizes, len(prior), dropout, **(fusion_options or {}))
    except (TypeError, AssertionError) as error:
        raise ConfigError(f"{fusion} cannot be built: {error}", where="model.fusion_options") from error
    return Network(modalities, encoders, joined, width, torch.tensor(list(prior), dtype=torch.float32))


def build_encoder(modality: Modality, plan: EncoderPlan, width: int) -> Encoder:
    """The encoder of one modality. Text encoders carry `pad_id` and `special_ids`."""
    where = f"inputs.{modality.name}.encoder"
    choose(ENCODERS[modality.kind], plan.name, f"{where}.name")
    try:
        encoder = _encoder(modality, plan, width)
    except TypeError as error:
        raise ConfigError(f"{plan.name} has no such option: {error}", where=f"{where}.options") from error
    if plan.resampler is not None:
        encoder.resampler = PerceiverResampler(width, **plan.resampler)
    return encoder


def _encoder(modality: Modality, plan: EncoderPlan, width: int) -> Encoder:
    if modality.kind is Kind.IMAGE:
        return _image(modality, plan, width)
    if modality.kind is Kind.TEXT:
        return _text(modality, plan, width)
    analytes = CompletedAnalyteEncoder if plan.name == "completed" else AnalyteEncoder
    return analytes(modality.shape[0], width, plan.dropout, **plan.options)


def _image(modality: Modality, plan: EncoderPlan, width: int) -> Encoder:
    if plan.name == "backbone":
        mine = _tower(modality, plan)
        tower = cast(ImageTower, mine.tower)
        return BackboneImageEncoder(
            tower, modality.shape, width, plan.dropout, mine.adaptation, mean=mine.mean, std=mine.std
        )
    if plan.name == "eigen":
        return EigenImage(modality.shape, width, plan.dropout, **plan.options)
    return build_image_encoder(plan.name, modality.shape, width, plan.dropout, plan.pretrained, **plan.options)


def _text(modality: Modality, plan: EncoderPlan, width: int) -> Encoder:
    vocabulary = plan.vocabulary
    if vocabulary is None:
        raise ConfigError("has no tokenizer yet", where=f"inputs.{modality.name}", mend="fit the preparer first")
    encoder: Encoder
    if plan.name == "bag":
        encoder = BagOfWords(vocabulary.size, width, plan.dropout, **plan.options)
    elif plan.name == "backbone":
        mine = _tower(modality, plan)
        encoder = BackboneTextEncoder(cast(TextTower, mine.tower), width, plan.dropout, mine.adaptation)
    else:
        architecture = plan.architecture or text_architecture(plan, modality)
        encoder = build_note_encoder(architecture, width, plan.dropout, plan.pretrained)
    encoder.pad_id, encoder.special_ids = vocabulary.pad_id, vocabulary.special_ids
    return encoder


def _tower(modality: Modality, plan: EncoderPlan) -> TowerPlan:
    if plan.tower is None:
        raise ConfigError("has no backbone to read with", where=f"inputs.{modality.name}", mend="name one: [backbone]")
    return plan.tower


def text_architecture(plan: EncoderPlan, modality: Modality) -> Mapping[str, Any]:
    """The architecture that a text plan means: that of its pretrained directory, or a small new one."""
    if plan.pretrained is not None:
        return architecture_of(plan.pretrained)
    size = plan.vocabulary.size if plan.vocabulary else 0
    return small_bert(size, modality.shape[0], **plan.options)
