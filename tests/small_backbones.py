"""Small real backbones, in memory and on disk, for whoever tests what is done with one."""

from collections.abc import Iterable
from pathlib import Path

import torch

from clinimm.backbone import directory
from clinimm.backbone.directory import Backbone
from clinimm.data.words import learn_tokenizer
from clinimm.models.text import small_bert
from clinimm.models.towers.base import ImageTower, TextTower
from clinimm.models.towers.build import build_tower

TEXTS = (
    "No cough and no fever . Heart size is normal .",
    "Breathless with chest pain and fever . Cough for two days .",
    "Heart size is normal . No pleural effusion . Old man with cough .",
    "Patchy consolidation in the left lung . Pleural effusion on the right .",
    "Consolidation of the right lung and chest pain . Breathless old man .",
)


def small_image_tower(
    trunk: str = "resnet10", *, width: int = 8, size: tuple[int, ...] = (32, 32), seed: int = 0
) -> ImageTower:
    """A tower of 16 wide tokens over one of TRUNKS: "resnet10" or "vit"."""
    options = {
        "resnet10": {"planes": [4, 8, 8, 16]},
        "vit": {"hidden": 16, "layers": 2, "heads": 2, "mlp": 16, "patch": 16},
    }[trunk]
    torch.manual_seed(seed)
    tower = build_tower(
        {"name": "trunk", "trunk": trunk, "width": width, "size": list(size), "options": options}
    ).eval()
    assert isinstance(tower, ImageTower)
    return tower


def small_text_tower(vocabulary: int, *, width: int = 8, length: int = 48, seed: int = 0) -> TextTower:
    """A BERT of two layers, 16 wide."""
    torch.manual_seed(seed)
    config = small_bert(vocabulary, length, hidden=16, layers=2, heads=2)
    tower = build_tower({"name": "bert", "config": config, "width": width, "length": length}).eval()
    assert isinstance(tower, TextTower)
    return tower


def small_backbone(
    trunk: str = "resnet10", *, texts: Iterable[str] = TEXTS, length: int = 48, seed: int = 0
) -> Backbone:
    """A resnet10 (or vit) of 32 x 32 and a BERT of `length`, with a tokenizer of the words of `texts`."""
    tokenizer = learn_tokenizer([*texts, *TEXTS, *TEXTS], 2000)
    tokenizer.enable_padding(pad_id=tokenizer.token_to_id("[PAD]"), pad_token="[PAD]")
    image = small_image_tower(trunk, seed=seed)
    text = small_text_tower(tokenizer.get_vocab_size(), length=length, seed=seed + 1)
    return Backbone("clinimm", image, text, tokenizer)


def saved_backbone(folder: Path, **settings: object) -> Path:
    """`small_backbone` in a directory of its own."""
    directory.save(folder, small_backbone(**settings))  # type: ignore[arg-type]
    return folder
