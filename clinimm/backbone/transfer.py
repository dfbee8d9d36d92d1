"""Into a backbone directory and out again: foreign checkpoints imported, and exported as they were."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor

from clinimm.backbone import directory as backbones
from clinimm.backbone.directory import Backbone
from clinimm.backbone.families import FAMILIES
from clinimm.backbone.family import Family, Plan
from clinimm.backbone.foreign import Checkpoint, read_checkpoint, write_checkpoint
from clinimm.backbone.keys import Converted, convert, restore
from clinimm.backbone.vocabulary import read_tokenizer
from clinimm.choose import choose
from clinimm.errors import BackboneError, ClinimmError
from clinimm.models.towers.base import TextTower, Tower
from clinimm.models.towers.build import build_tower


@dataclass(frozen=True)
class Report:
    """What an import did. `used` gives, for each name in the checkpoint, where it went (tower and names there);
    `dropped`, why no tower uses it (kept for export). `lacking` are weights that it may lack and does: the towers' new
    ones stand. `parameters` counts by tower; `width` is the space's."""

    family: str
    directory: Path
    digest: str
    used: Mapping[str, Mapping[str, Any]]
    dropped: Mapping[str, str]
    lacking: Sequence[str]
    parameters: Mapping[str, int]
    width: int

    @property
    def keys(self) -> dict[str, int]:
        """How many keys each tower took; "joint" is what both share."""
        return dict(Counter(how["tower"] for how in self.used.values()))


def import_backbone(
    path: Path, family: str, out: Path, options: Mapping[str, Any] | None = None, tokenizer: Path | None = None
) -> Report:
    """Makes a backbone directory at `out` of a foreign checkpoint. `tokenizer` is a directory with the tokenizer's
    files, by default the checkpoint's own.

    Everything is checked before anything is written. Raises BackboneError, or ConfigError for an option."""
    options = options or {}
    plans = choose(FAMILIES, family, "--family")
    for name in options:
        choose(plans.options, name, f"--option of {family}")
    _check_free(out)
    checkpoint = read_checkpoint(path)
    plan, towers = _towers(plans, checkpoint, options)
    converted = _fill(towers, plan, checkpoint)
    joint = {name: float(value) for name, value in converted.weights["joint"].items()}
    backbone = Backbone(
        family=family,
        image=towers.get("image"),  # type: ignore[arg-type]
        text=towers.get("text"),  # type: ignore[arg-type]
        tokenizer=_tokenizer(towers.get("text"), plan, tokenizer or checkpoint.directory),
        scale=joint.get("logit_scale", Backbone.scale),
        bias=joint.get("logit_bias"),
        leftover={name: tensor for name, (tensor, _) in converted.left.items()},
        provenance=_provenance(checkpoint, plans, options, converted),
    )
    return Report(
        family=family,
        directory=out,
        digest=backbones.save(out, backbone),
        used=converted.used,
        dropped={name: reason for name, (_, reason) in converted.left.items()},
        lacking=converted.lacking,
        parameters=parameters(towers),
        width=next(iter(towers.values())).width,
    )


def export_backbone(directory: Path, out: Path) -> list[str]:
    """Writes the checkpoint that the backbone was imported from, with the weights it has now, and returns the names.

    Names, shapes and number types are the original's, and so is every bit where the weights were not trained since.
    Raises BackboneError if it was not imported."""
    backbone = backbones.load(directory)
    provenance = backbone.provenance
    if "keys" not in provenance:
        raise BackboneError("was not imported, so it has no original names", where=str(directory))
    joint = {"logit_scale": torch.tensor(backbone.scale)}
    if backbone.bias is not None:
        joint["logit_bias"] = torch.tensor(backbone.bias)
    weights = {"joint": joint, **{kind: tower.state_dict() for kind, tower in backbone.towers.items()}}
    tensors = {**restore(weights, provenance["keys"]), **backbone.leftover}
    write_checkpoint(out, tensors, wrapper=provenance["wrapper"], prefix=provenance["prefix"])
    return sorted(provenance["prefix"] + name for name in tensors)


def parameters(towers: Mapping[str, Tower]) -> dict[str, int]:
    """How many parameters each tower has."""
    return {kind: sum(weight.numel() for weight in tower.parameters()) for kind, tower in towers.items()}


def _check_free(out: Path) -> None:
    """An import may replace a backbone, and nothing else."""
    if out.exists() and not (out / "backbone.json").is_file() and not (out.is_dir() and not any(out.iterdir())):
        raise BackboneError("is there already, and is no backbone", where=str(out), mend="name another directory")


def _towers(plans: Family, checkpoint: Checkpoint, options: Mapping[str, Any]) -> tuple[Plan, dict[str, Tower]]:
    """The plan, and the towers it means with new weights. A foreign config can hold anything, and the nets' own checks
    raise what they like."""
    try:
        plan = plans.plan(checkpoint, options)
        towers = {kind: build_tower(plan.towers[kind], where=f"{kind} tower").eval() for kind in plan.towers}
    except ClinimmError:
        raise
    except Exception as error:
        raise BackboneError(
            f"its sizes make no net: {error}",
            where=str(checkpoint.path),
            mend="name the family that the checkpoint is of",
        ) from error
    return plan, towers


def _fill(towers: Mapping[str, Tower], plan: Plan, checkpoint: Checkpoint) -> Converted:
    """The checkpoint's tensors, after the towers were given theirs."""
    expected: dict[str, Mapping[str, Tensor]] = {kind: tower.state_dict() for kind, tower in towers.items()}
    expected["joint"] = {name: torch.zeros(()) for name in plan.joint}
    converted = convert(checkpoint.tensors, plan.rules, expected, where=str(checkpoint.path))
    widths = {kind: tower.width for kind, tower in towers.items()}
    if len(set(widths.values())) > 1:
        said = " and ".join(f"the {kind} tower's is {width} wide" for kind, width in widths.items())
        raise BackboneError(f"its towers share no space: {said}", where=str(checkpoint.path))
    for kind, tower in towers.items():
        tower.load_state_dict(dict(converted.weights[kind]))
    return converted


def _tokenizer(tower: Tower | None, plan: Plan, directory: Path | None) -> Tokenizer | None:
    if not isinstance(tower, TextTower):
        return None
    if directory is None:
        raise BackboneError("has no tokenizer", mend="give one with --tokenizer DIR")
    tokenizer = read_tokenizer(directory, plan.padding)
    rows, pieces = len(tower.word_vectors()), max(tokenizer.get_vocab(with_added_tokens=True).values()) + 1
    if pieces > rows:
        raise BackboneError(
            f"the tokenizer has {pieces} pieces and the text tower {rows} word vectors",
            where=str(directory),
            mend="give the checkpoint's own tokenizer with --tokenizer DIR",
        )
    return tokenizer


def _provenance(
    checkpoint: Checkpoint, family: Family, options: Mapping[str, Any], converted: Converted
) -> dict[str, Any]:
    """Where the weights came from, and all that export needs. The file's name, not its folder: that is another's."""
    return {
        "imported": checkpoint.path.resolve().name,
        "sha256": checkpoint.sha256,
        "family": family.name,
        "options": dict(options),
        "wrapper": checkpoint.wrapper,
        "prefix": checkpoint.prefix,
        "keys": dict(converted.used),
        "dropped": {name: reason for name, (_, reason) in converted.left.items()},
    }
