"""A backbone on disk: towers as safetensors, all else as JSON, every file hashed; nothing unpickles.

backbone.json         format, family, towers' architectures, provenance, hashes
image.safetensors     weights of the image tower, under our own names
text.safetensors      weights of the text tower
joint.safetensors     logit_scale (log), and logit_bias where the family has one
leftover.safetensors  tensors of an imported checkpoint that no tower uses, under their original names: for export
tokenizer.json        the text tower's; its padding section says the padding piece
patients.json         hashes of the patients that pretraining saw; absent where that is not known, as if imported"""

import hashlib
import json
import math
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor

import clinimm
from clinimm.errors import BackboneError
from clinimm.models.towers.base import ImageTower, TextTower, Tower
from clinimm.models.towers.build import build_tower
from clinimm.models.towers.unfilled import Unfilled

FORMAT = "clinimm.backbone/1"


@dataclass(frozen=True)
class Backbone:
    """An image tower, a text tower, or both in one space. `scale` is the log of what cosines are multiplied by; `bias`
    is added to that (SigLIP). `leftover` are tensors of an imported checkpoint that no tower uses, kept for export.
    `provenance` tells, as JSON types, where it came from. `seen` are the patients whose pictures or texts pretraining
    saw, as `pseudonyms.hashed` has them; empty where that is not known, as of an imported one."""

    family: str
    image: ImageTower | None = None
    text: TextTower | None = None
    tokenizer: Tokenizer | None = None
    scale: float = math.log(1 / 0.07)
    bias: float | None = None
    leftover: Mapping[str, Tensor] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    seen: frozenset[str] = frozenset()
    digest: str = ""

    @property
    def towers(self) -> dict[str, Tower]:
        """The towers that it has, as "image" and "text"."""
        return {kind: tower for kind, tower in (("image", self.image), ("text", self.text)) if tower is not None}


def save(directory: Path, backbone: Backbone) -> str:
    """Writes the directory whole or not at all, in the place of what was there, and returns its digest."""
    building = directory.with_name(f".{directory.name}.building")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    for kind, tower in backbone.towers.items():
        _save(building / f"{kind}.safetensors", tower.state_dict())
    joint = {"logit_scale": torch.tensor(backbone.scale)}
    _save(
        building / "joint.safetensors",
        joint | ({} if backbone.bias is None else {"logit_bias": torch.tensor(backbone.bias)}),
    )
    if backbone.leftover:
        _save(building / "leftover.safetensors", backbone.leftover)
    if backbone.tokenizer is not None:
        backbone.tokenizer.save(str(building / "tokenizer.json"))
    if backbone.seen:
        (building / "patients.json").write_text(json.dumps(sorted(backbone.seen)), encoding="utf-8")
    about = {
        "format": FORMAT,
        "family": backbone.family,
        "towers": {kind: dict(tower.architecture) for kind, tower in backbone.towers.items()},
        "provenance": dict(backbone.provenance),
        "versions": {"clinimm": clinimm.__version__, "torch": torch.__version__.partition("+")[0]},
        "files": {path.name: _sha256(path) for path in sorted(building.iterdir())},
    }
    (building / "backbone.json").write_text(json.dumps(about, indent=1, sort_keys=True, allow_nan=False), "utf-8")
    for path in [*building.iterdir(), building]:
        handle = os.open(path, os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)
    digest = _sha256(building / "backbone.json")
    shutil.rmtree(directory, ignore_errors=True)
    building.rename(directory)
    return digest


def describe(directory: Path) -> dict[str, Any]:
    """What `backbone.json` says, its digest added as "digest". Reads no weights. Raises BackboneError."""
    path = directory / "backbone.json"
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BackboneError(
            "is not a backbone directory", where=str(directory), mend="make one with `clinimm backbone import`"
        ) from error
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise BackboneError("is of an unknown format", where=str(directory), mend=f"import it again for {FORMAT}")
    return about | {"digest": _sha256(path)}


def load(directory: Path) -> Backbone:
    """The backbone, after every hash was checked. Raises BackboneError that lists every file at fault."""
    about = describe(directory)
    faults = [
        f"{name} is missing" if not (directory / name).is_file() else f"{name} was changed"
        for name, expected in sorted(about["files"].items())
        if not (directory / name).is_file() or _sha256(directory / name) != expected
    ]
    if faults:
        raise BackboneError("; ".join(faults), where=str(directory), mend="import or pretrain it again")
    towers = {kind: _tower(directory, kind, architecture) for kind, architecture in about["towers"].items()}
    joint = load_file(directory / "joint.safetensors")
    tokenizer, leftover = directory / "tokenizer.json", directory / "leftover.safetensors"
    patients = directory / "patients.json"
    return Backbone(
        family=about["family"],
        image=towers.get("image"),  # type: ignore[arg-type]
        text=towers.get("text"),  # type: ignore[arg-type]
        tokenizer=Tokenizer.from_file(str(tokenizer)) if tokenizer.is_file() else None,
        scale=float(joint["logit_scale"]),
        bias=float(joint["logit_bias"]) if "logit_bias" in joint else None,
        leftover=load_file(leftover) if leftover.is_file() else {},
        provenance=about["provenance"],
        seen=frozenset(json.loads(patients.read_text("utf-8"))) if patients.name in about["files"] else frozenset(),
        digest=about["digest"],
    )


def _tower(directory: Path, kind: str, architecture: Mapping[str, Any]) -> Tower:
    with Unfilled():
        tower = build_tower(architecture, where=f"{directory}: {kind} tower")
    try:
        tower.load_state_dict(load_file(directory / f"{kind}.safetensors"))
    except (SafetensorError, RuntimeError) as error:
        raise BackboneError(f"the {kind} tower's weights do not fit", where=str(directory)) from error
    return tower.eval()


def _save(path: Path, tensors: Mapping[str, Tensor]) -> None:
    save_file({name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}, path)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
