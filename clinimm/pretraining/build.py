"""From a config to the parts of a pretraining run: columns, towers, objectives, habits."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import nn

from clinimm.backbone import directory
from clinimm.backbone.directory import Backbone
from clinimm.config import Adapt, PretrainConfig
from clinimm.config.pretrain import Tower as TowerSection
from clinimm.data.pairs import IMAGE, TEXT, read_pairs, source_of
from clinimm.data.words import learn_tokenizer, pad_id, special_ids
from clinimm.errors import ConfigError, TrainingError
from clinimm.findings.prompts import MEDCLIP_PROMPTS, draw, expand
from clinimm.findings.reader import FindingReader
from clinimm.models.adapt import Adaptation, Adapted, adapt
from clinimm.models.text import small_bert
from clinimm.models.towers.base import ImageTower, TextTower, Tower
from clinimm.models.towers.build import build_tower
from clinimm.pretraining.corpus import Language
from clinimm.pretraining.encoders import Encoders
from clinimm.pretraining.loop import Plan, Rates
from clinimm.pretraining.masked import MaskedPatches, MaskedWords
from clinimm.pretraining.objectives import OBJECTIVES, JointObjectives
from clinimm.pretraining.sampling import Habits, Hiding
from clinimm.pretraining.step import HIDDEN
from clinimm.types import Case, Note

_PROMPTS = 16  # for each observation
_MASKS = ("[MASK]", "<mask>")


def read_cases(config: PretrainConfig, data_dir: Path) -> list[Case]:
    """The cases of the config's manifest in `data_dir` that are of its `folds`. Raises ManifestError, ConfigError."""
    data = config.data
    return read_pairs(source_of(config), data_dir / data.manifest, data_dir, data.folds, labelled=True)


@dataclass(frozen=True)
class Start:
    """What a run starts from: nothing but the settings, or a backbone, whose `weights` may be thrown away."""

    backbone: Backbone | None
    tokenizer: Tokenizer
    pretrained: bool = True

    @property
    def weights(self) -> Backbone | None:
        """The backbone, if its weights are used."""
        return self.backbone if self.pretrained else None


def start(config: PretrainConfig, cases: Sequence[Case]) -> Start:
    """The backbone the config names, and its tokenizer or one learned from the training cases' texts.

    Raises BackboneError, and TrainingError if there is no text to learn from."""
    use = config.backbone
    backbone = None if use is None else directory.load(use.path)
    pretrained = use is not None and use.pretrained
    if backbone is not None and config.text.tower is None:
        if backbone.text is None or backbone.tokenizer is None:
            raise ConfigError("has no text tower", where="backbone.path", mend="give text.tower")
        return Start(backbone, backbone.tokenizer, pretrained)
    texts = {found.text for case in cases if isinstance(found := case.inputs.get(TEXT), Note)}
    if not texts:
        raise TrainingError("no case has a text to learn words from", where="text.column", mend="start from a backbone")
    tokenizer = learn_tokenizer(sorted(texts), config.text.vocabulary)
    padding = pad_id(tokenizer)
    tokenizer.enable_padding(pad_id=padding, pad_token=tokenizer.id_to_token(padding))  # so that its file says which
    return Start(backbone, tokenizer, pretrained)


def build_language(config: PretrainConfig, begun: Start) -> Language:
    """How texts are read: no longer than the tower that reads them. Raises ConfigError for a bad pattern."""
    reader = FindingReader(config.findings)
    observations = tuple(dict.fromkeys((*reader.observations, *config.data.labels)))
    own = None if begun.backbone is None or config.text.tower else begun.backbone.text
    length = config.text.length if own is None else min(config.text.length, own.length)
    return Language(begun.tokenizer, length, reader, observations, _prompts(config, observations))


def _prompts(config: PretrainConfig, observations: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Sentences that state each observation, its bare name where there are no templates; none unless asked for."""
    if not config.sampling.prompts:
        return {}
    known = {name: expand(*MEDCLIP_PROMPTS[name]) if name in MEDCLIP_PROMPTS else (name,) for name in observations}
    return {name: draw(lines, _PROMPTS, config.run.seed) for name, lines in known.items()}


def build_encoders(config: PretrainConfig, begun: Start, length: int) -> Encoders:
    """Both towers, those of the backbone adapted as the config says, and the heads of masked modeling that are on.

    Raises ConfigError for a tower that does not fit."""
    image, text, adapted = _towers(config, begun, length)
    on = config.objectives
    patches = _masked_patches(image, config.image.size) if on.masked_patches else None
    words = None
    if on.masked_words:
        pieces, width = text.word_vectors().shape
        words = MaskedWords(text.features, width, pieces)
    return Encoders(image, text, words, patches, adapted)


def _towers(config: PretrainConfig, begun: Start, length: int) -> tuple[ImageTower, TextTower, list[Adapted]]:
    backbone, use = begun.backbone, config.backbone
    old = {} if backbone is None else backbone.towers
    kept = {kind: tower for kind, tower in old.items() if getattr(config, kind).tower is None}
    width = next((tower.width for tower in kept.values()), config.space.width)
    made: dict[str, Tower] = {}
    adapted: list[Adapted] = []
    for kind, size in ((IMAGE, {"size": list(config.image.size)}), (TEXT, {"length": length})):
        section: TowerSection | None = getattr(config, kind).tower
        if section is not None:
            made[kind] = _new(section, {"width": width, **size}, begun.tokenizer, f"{kind}.tower")
        elif kind in kept and use is not None:
            tower = kept[kind] if use.pretrained else build_tower(kept[kind].architecture, "backbone.path")
            made[kind] = tower.train()
            adapted += _adapted(tower, getattr(use, kind), kind)
        else:
            raise ConfigError(f"the backbone has no {kind} tower", where="backbone.path", mend=f"give {kind}.tower")
    image, text = made[IMAGE], made[TEXT]
    if not isinstance(image, ImageTower) or not isinstance(text, TextTower):
        raise ConfigError("a tower reads the wrong kind of input", where="image.tower, text.tower", mend="swap them")
    return image, text, adapted


def _new(section: TowerSection, given: Mapping[str, Any], tokenizer: Tokenizer, where: str) -> Tower:
    """A tower with new weights; what the run knows already (widths, sizes, the vocabulary) need not be in the
    options. A "bert" may be told by `hidden`, `layers`, `heads` and `dropout` alone."""
    options = dict(section.options)
    if section.name == "bert":
        small = {name: options.pop(name) for name in ("hidden", "layers", "heads", "dropout") if name in options}
        vocabulary = tokenizer.get_vocab_size()
        own = dict(options.get("config", {})) or small_bert(vocabulary, given["length"], **small)
        options["config"] = own | {"vocab_size": vocabulary, "pad_token_id": pad_id(tokenizer)}
    return build_tower({"name": section.name, **given, **options}, where)


def _adapted(tower: Tower, section: Adapt, kind: str) -> list[Adapted]:
    """The tower made ready to be trained as far as the section says; what projects to the space always is."""
    if section.mode == "full":
        return []
    if section.mode == "lora":
        raise ConfigError(
            "pretraining trains whole blocks", where=f"backbone.{kind}.mode", mend="frozen, last_n or full"
        )
    ready = adapt(tower, Adaptation(section.mode, section.last_n))
    for weight in _beyond_blocks(tower):
        weight.requires_grad_()
    return [ready]


def _beyond_blocks(tower: Tower) -> list[nn.Parameter]:
    inside = {weight for block in tower.blocks() for weight in block.parameters()}
    return [weight for weight in tower.parameters() if weight not in inside]


@torch.no_grad()
def _masked_patches(tower: ImageTower, size: Sequence[int]) -> MaskedPatches:
    training = tower.training
    tokens = tower.eval().read(torch.zeros(1, 1, *size), None).tokens.values.shape[1]
    tower.train(training)
    return MaskedPatches(tower.features, grid_of(size, tokens), tuple(size))


def grid_of(size: Sequence[int], tokens: int) -> tuple[int, ...]:
    """How so many tokens lie in a picture of these sides, of equal blocks; class tokens may stand before them."""
    grids = (tuple(math.ceil(side / block) for side in size) for block in range(1, max(size) + 1))
    return next(grid for grid in grids if math.prod(grid) <= tokens)


def build_objectives(config: PretrainConfig, begun: Start, width: int) -> JointObjectives:
    """The joint objectives, their temperature and bias where the backbone's stood."""
    on, backbone = config.objectives, begun.backbone
    objectives = JointObjectives(
        width,
        {name: getattr(on, name) for name in OBJECTIVES},
        temperature=config.space.temperature if backbone is None else math.exp(-backbone.scale),
        similarity=on.similarity,
        target_temperature=on.target_temperature,
    )
    if objectives.logit_bias is not None and backbone is not None and backbone.bias is not None:
        objectives.logit_bias.data.fill_(backbone.bias)
    return objectives


def hidden_weights(config: PretrainConfig) -> dict[str, float]:
    """The weights of masked modeling."""
    return {name: getattr(config.objectives, name) for name in HIDDEN}


def habits_of(config: PretrainConfig, tokenizer: Tokenizer, pieces: int) -> Habits:
    """How rows are drawn; `pieces` is how many word pieces the text tower knows. Raises ConfigError if words are to be
    hidden and the tokenizer has no piece that hides."""
    on, sampling = config.objectives, config.sampling
    mask_id = next((i for name in _MASKS if (i := tokenizer.token_to_id(name)) is not None), None)
    if on.masked_words and mask_id is None:
        raise ConfigError("the tokenizer has no mask piece", where="objectives.masked_words", mend="set it to 0")
    hiding = Hiding(
        words=on.word_share if on.masked_words else 0.0,
        special_ids=special_ids(tokenizer),
        mask_id=mask_id or 0,
        vocabulary=pieces,
        patches=on.patch_share if on.masked_patches else 0.0,
        patch=on.patch,
    )
    return Habits(sampling.sentence, sampling.decoupled, sampling.prompts, config.image.augment, hiding)


def plan_of(config: PretrainConfig, begun: Start, encoders: Encoders) -> Plan:
    """The config's sections, unpacked for the loop. Raises ConfigError as `habits_of`."""
    optim = config.optim
    habits = habits_of(config, begun.tokenizer, begun.tokenizer.get_vocab_size())
    return Plan(optim.weight_decay, optim.epochs, optim.batch_size, optim.clip, optim.warmup, config.run.seed, habits)


def rates_of(config: PretrainConfig, encoders: Encoders, objectives: JointObjectives) -> Rates:
    """Trained weights with their peak learning rates: of a backbone's tower its own, falling by `decay` from block to
    block towards the input; of all else the run's. The objectives' are apart: they are never sharded."""
    base, use = config.optim.lr, config.backbone
    rates: dict[nn.Parameter, float] = dict.fromkeys(encoders.parameters(), base)
    for kind in (IMAGE, TEXT) if use is not None else ():
        if getattr(config, kind).tower is None:
            section: Adapt = getattr(use, kind)
            for above, block in enumerate(reversed(getattr(encoders, kind).blocks())):
                rates |= dict.fromkeys(block.parameters(), (section.lr or base) * section.decay**above)
    groups: dict[float, list[nn.Parameter]] = {}
    for weight, rate in rates.items():
        if weight.requires_grad:
            groups.setdefault(rate, []).append(weight)
    learned = [weight for weight in objectives.parameters() if weight.requires_grad]
    return [*((weights, rate) for rate, weights in groups.items()), (learned, base)]
