"""Towers by name: from plain values to a tower with new weights."""

from collections.abc import Callable, Mapping
from typing import Any

from clinimm.choose import choose
from clinimm.errors import ConfigError
from clinimm.models.towers.base import Tower
from clinimm.models.towers.bert import BertTower
from clinimm.models.towers.clip import ClipImageTower, ClipTextTower
from clinimm.models.towers.siglip import SiglipImageTower, SiglipTextTower
from clinimm.models.towers.swin import SwinTower
from clinimm.models.towers.trunk import TrunkTower
from clinimm.models.towers.vit import VitTower

TOWERS: dict[str, Callable[..., Tower]] = {
    "trunk": TrunkTower,
    "swin": SwinTower,
    "bert": BertTower,
    "clip_image": ClipImageTower,
    "clip_text": ClipTextTower,
    "siglip_image": SiglipImageTower,
    "siglip_text": SiglipTextTower,
    "vit": VitTower,
}


def build_tower(architecture: Mapping[str, Any], where: str = "tower") -> Tower:
    """The tower that an `architecture` means, with new weights. Raises ConfigError for an unknown name or option."""
    values = dict(architecture)
    name = values.pop("name", "")
    try:
        return choose(TOWERS, name, where)(**values)
    except TypeError as error:
        raise ConfigError(f"{name} has no such option, or lacks one: {error}", where=where) from error
