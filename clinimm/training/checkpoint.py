"""Where a run stands after an epoch, in safetensors and JSON, so that a run cut off ends as one that was not."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.optim import Optimizer

from clinimm.errors import TrainingError

Weights = Mapping[str, Tensor]


@dataclass(frozen=True)
class Standing:
    """`epoch` epochs are done; `best` is the lowest monitored pair of figures, reached at `best_epoch`. `history` has a
    row of figures per epoch. `fingerprint` tells which settings and cases the run has."""

    fingerprint: str
    epoch: int = 0
    best: tuple[float, float] = (1.0, float("inf"))
    best_epoch: int = 0
    history: list[dict[str, float]] = field(default_factory=list)


def save(directory: Path, standing: Standing, weights: Weights, best_weights: Weights, optimizer: Optimizer) -> None:
    """Writes a checkpoint in the place of the last one; a crash leaves the one or the other."""
    write(directory, standing, {"weights": weights, "best": best_weights, "optimizer": moments(optimizer)})


def write(directory: Path, standing: Standing, groups: Mapping[str, Weights]) -> None:
    """`save` of any named groups of tensors."""
    building = directory.with_name(f".{directory.name}.building")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    tensors = {f"{group}/{name}": w for group, named in groups.items() for name, w in named.items()}
    save_file({name: w.detach().cpu().clone() for name, w in tensors.items()}, building / "state.safetensors")
    (building / "standing.json").write_text(json.dumps(asdict(standing)), encoding="utf-8")
    old = directory.with_name(f".{directory.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if directory.exists():
        directory.rename(old)
    building.rename(directory)
    shutil.rmtree(old, ignore_errors=True)


def load(directory: Path, fingerprint: str, optimizer: Optimizer) -> tuple[Standing, Weights, Weights] | None:
    """The standing, the weights and the best weights; the optimizer is filled. None if nothing was saved yet. Raises
    TrainingError for a checkpoint of other settings or other cases."""
    found = read(directory, fingerprint)
    if found is None:
        return None
    standing, groups = found
    restore(optimizer, groups.get("optimizer", {}))
    return standing, groups["weights"], groups["best"]


def read(directory: Path, fingerprint: str) -> tuple[Standing, dict[str, Weights]] | None:
    """The standing and the groups of tensors that were written; None if nothing was saved yet. Raises as `load`."""
    source = directory if directory.exists() else directory.with_name(f".{directory.name}.old")
    if not source.exists():
        return None
    values: dict[str, Any] = json.loads((source / "standing.json").read_text(encoding="utf-8"))
    standing = Standing(**(values | {"best": tuple(values["best"])}))
    if standing.fingerprint != fingerprint:
        raise TrainingError(
            "the run was started with other settings or other cases",
            where=str(directory.parent),
            mend="give another --out, or delete that folder to start anew",
        )
    groups: dict[str, dict[str, Tensor]] = {}
    for path, tensor in load_file(source / "state.safetensors").items():
        group, _, name = path.partition("/")
        groups.setdefault(group, {})[name] = tensor
    return standing, dict(groups)


def moments(optimizer: Optimizer) -> dict[str, Tensor]:
    """What the optimizer has gathered of each weight, by the weight's number and the figure's name."""
    state = optimizer.state_dict()["state"]
    return {f"{i}/{key}": torch.as_tensor(value) for i, values in state.items() for key, value in values.items()}


def restore(optimizer: Optimizer, found: Weights) -> None:
    """Gives an optimizer of the same weights its `moments` back."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in found.items():
        index, key = name.split("/")
        state.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
