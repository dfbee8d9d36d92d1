"""A config's backbone: opened, its towers handed to the inputs that use them, every misfit told at once."""

import copy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from clinimm.backbone import directory
from clinimm.backbone.directory import Backbone
from clinimm.config import Adapt, BackboneUse, Config, ImageInput, InputSection, TabularInput, TextInput
from clinimm.errors import ConfigError
from clinimm.models.adapt import Adaptation, misfit
from clinimm.models.towers.base import TextTower, Tower
from clinimm.models.towers.build import build_tower
from clinimm.models.towers.unfilled import Unfilled


def opened(config: Config, path: Path | None = None) -> Backbone | None:
    """The backbone that the config uses, from `path` or where the config says; None if it uses none. Raises
    BackboneError."""
    return None if config.backbone is None else directory.load(path or config.backbone.path)


def towers_for(config: Config, backbone: Backbone | None) -> dict[str, Tower]:
    """A tower of its own for each input whose encoder is "backbone": the backbone's, or a copy where another input has
    that. Raises ConfigError that lists every misfit."""
    if backbone is None or config.backbone is None:
        return {}
    faults = list(_faults(config, config.backbone, backbone))
    if faults:
        listed = "\n".join(f"  {fault}" for fault in faults)
        raise ConfigError(f"{len(faults)} fault(s)\n{listed}", where="backbone")
    towers: dict[str, Tower] = {}
    for name, section in _users(config):
        tower = backbone.towers[section.kind]
        if not config.backbone.pretrained:
            towers[name] = build_tower(tower.architecture)
        else:
            towers[name] = copy.deepcopy(tower) if tower in towers.values() else tower
    return towers


def empty_towers(config: Config, architectures: Mapping[str, Mapping[str, Any]]) -> dict[str, Tower]:
    """Towers for the same inputs, of these architectures: for weights that are loaded into them next."""
    with Unfilled():
        return {name: build_tower(architectures[name], where=f"inputs.{name}") for name, _ in _users(config)}


def adapt_section(config: Config, name: str) -> Adapt | None:
    """How the tower of an input is adapted; None if it has none."""
    section = config.inputs[name]
    if config.backbone is None or section.encoder.name != "backbone":
        return None
    return config.backbone.image if isinstance(section, ImageInput) else config.backbone.text


def adaptation(section: Adapt) -> Adaptation:
    return Adaptation(
        mode=section.mode, last_n=section.last_n, rank=section.rank, alpha=section.alpha, dropout=section.lora_dropout,
        targets=section.targets,
    )  # fmt: skip


def _users(config: Config) -> Iterator[tuple[str, InputSection]]:
    return ((name, section) for name, section in config.inputs.items() if section.encoder.name == "backbone")


def _faults(config: Config, use: BackboneUse, backbone: Backbone) -> Iterator[str]:
    if use.save == "adapters" and not use.pretrained:
        yield 'backbone.save: "adapters" needs the pretrained weights again, and pretrained = false throws them away'
    for name, section in _users(config):
        where = f"inputs.{name}"
        if section.encoder.pretrained is not None or section.encoder.options:
            yield f"{where}.encoder: pretrained and options mean nothing beside a backbone; leave them out"
        if isinstance(section, TabularInput):
            yield f"{where}.encoder.name: a backbone has no tower for tables"
            continue
        tower = backbone.towers.get(section.kind)
        if tower is None:
            yield f"{where}.encoder.name: the backbone has no {section.kind} tower"
            continue
        how = use.image if isinstance(section, ImageInput) else use.text
        if fault := misfit(tower, adaptation(how)):
            yield f"backbone.{section.kind}: {fault}"
        yield from (f"{where}.{fault}" for fault in _unreadable(tower, section))


def _unreadable(tower: Tower, section: ImageInput | TextInput) -> Iterator[str]:
    if isinstance(section, TextInput):
        longest = tower.length if isinstance(tower, TextTower) else 0
        if section.length > longest:
            yield f"length: the text tower reads no more than {longest} pieces, not {section.length}"
        return
    try:
        with torch.no_grad():
            tower.read(tower.embed(torch.zeros(1, 1, *section.size)), None)
    except ConfigError as error:
        yield f"size: {error.what} (to mend: {error.mend})"
    except (RuntimeError, ValueError):
        yield f"size: the image tower cannot read a picture of {section.size}"
