"""Where a pretraining run stands after an epoch; shards are put together to be written and cut up again when read."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from clinimm.pretraining.processes import Processes, sharded_as, whole
from clinimm.training.checkpoint import Standing, Weights, moments, read, restore, write


def weights_of(modules: nn.Module) -> Weights:
    """Every weight and running statistic, whole, on the CPU; all processes must ask for it."""
    return {name: whole(tensor).detach().cpu().clone() for name, tensor in modules.state_dict().items()}


@torch.no_grad()
def fill(modules: nn.Module, weights: Weights) -> None:
    """Gives modules the weights that `weights_of` told."""
    for name, tensor in modules.state_dict().items():
        tensor.copy_(sharded_as(weights[name], tensor))


def save(
    folder: Path, standing: Standing, modules: nn.Module, best: Weights, optimizer: Optimizer, processes: Processes
) -> None:
    """Writes a checkpoint in the place of the last one, by the process that leads."""
    gathered = {name: whole(value) for name, value in moments(optimizer).items()}
    groups = {"weights": weights_of(modules), "best": best, "optimizer": gathered}
    if processes.leads:
        write(folder, standing, groups)


def load(folder: Path, fingerprint: str, modules: nn.Module, optimizer: Optimizer) -> tuple[Standing, Weights] | None:
    """The standing and the best weights; modules and optimizer are filled. None if nothing was saved yet. Raises
    TrainingError for a checkpoint of other settings or another corpus."""
    found = read(folder, fingerprint)
    if found is None:
        return None
    standing, groups = found
    fill(modules, groups["weights"])
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    restore(optimizer, {name: _cut(name, value, weights) for name, value in groups.get("optimizer", {}).items()})
    return standing, groups["best"]


def _cut(name: str, value: Tensor, weights: list[Tensor]) -> Tensor:
    """A moment cut up as its weight is; the count of steps has no shape of its own."""
    weight = weights[int(name.partition("/")[0])]
    return sharded_as(value, weight) if value.shape == weight.shape and value.ndim else value
