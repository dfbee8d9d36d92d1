"""Epochs of pretraining: draw, step, judge on unseen patients, keep the best."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm
from torch.optim import AdamW, Optimizer

from clinimm.errors import TrainingError
from clinimm.pretraining import checkpoint
from clinimm.pretraining.corpus import Corpus
from clinimm.pretraining.encoders import Encoders
from clinimm.pretraining.processes import whole
from clinimm.pretraining.sampling import Habits, draws, generator_of, plain, steps_of
from clinimm.pretraining.step import Learner, backward, losses_of
from clinimm.pretraining.watch import monitored, retrieval
from clinimm.training.checkpoint import Standing
from clinimm.training.optim import rate_at

Rates = list[tuple[list[nn.Parameter], float]]
_JUDGED = -1  # stands for the epoch in the seed of what validation draws, which is the same in every epoch


@dataclass(frozen=True)
class Plan:
    """How to pretrain, as plain settings. `batch_size` is that of all processes together."""

    weight_decay: float
    epochs: int
    batch_size: int
    clip: float
    warmup: float
    seed: int
    habits: Habits


def fit(
    learner: Learner,
    encoders: Encoders,
    rates: Rates,
    train: Corpus,
    val: Corpus | None,
    plan: Plan,
    *,
    folder: Path,
    fingerprint: str,
    on_epoch: Callable[[dict[str, float]], None],
) -> Standing:
    """Trains in place, up to the epoch that `watch.monitored` finds best, or to the last where nothing can be
    monitored. Goes on from the checkpoint in `folder`, if there is one. `encoders` are those that `learner` joined.

    Raises TrainingError if the loss stops being finite."""
    modules = nn.ModuleDict({"encoders": encoders, "objectives": learner.objectives})
    optimizer = build_optimizer(rates, plan.weight_decay)
    loaded = checkpoint.load(folder, fingerprint, modules, optimizer)
    standing, best = loaded or (Standing(fingerprint), checkpoint.weights_of(modules))
    for row in standing.history:
        on_epoch(row)
    while standing.epoch < plan.epochs:
        figures = train_epoch(learner, optimizer, train, plan, standing.epoch)
        learner.processes.average_(_statistics(encoders))
        figures |= judge(learner, val, plan)
        standing = replace(standing, epoch=standing.epoch + 1, history=[*standing.history, figures])
        found = monitored(figures)
        if found is None or found < standing.best:
            standing = replace(standing, best=found or standing.best, best_epoch=standing.epoch)
            best = checkpoint.weights_of(modules)
        checkpoint.save(folder, standing, modules, best, optimizer, learner.processes)
        on_epoch(figures)
    checkpoint.fill(modules, best)
    return standing


def build_optimizer(rates: Rates, weight_decay: float) -> AdamW:
    """AdamW (Loshchilov and Hutter 2019), a group for each peak rate; biases, norms and the temperature, being no
    matrices, are not decayed."""
    groups = [
        {"params": [w for w in weights if (w.ndim > 1) == matrix], "peak": peak, "weight_decay": weight_decay * matrix}
        for weights, peak in rates
        for matrix in (True, False)
    ]
    return AdamW([group for group in groups if group["params"]])


def train_epoch(learner: Learner, optimizer: Optimizer, train: Corpus, plan: Plan, epoch: int) -> dict[str, float]:
    """One pass over the cases; means over the steps of the loss and its parts."""
    learner.encoders.train()
    steps = steps_of(len(train), plan.batch_size)
    sums: dict[str, Tensor] = {}
    for step, draw in enumerate(draws(train, plan.habits, plan.batch_size, plan.seed, epoch)):
        for group in optimizer.param_groups:
            group["lr"] = rate_at(epoch * steps + step, plan.epochs * steps, group["peak"], plan.warmup)
        told = backward(learner, train, draw, (plan.seed, epoch, step))
        clip(learner, plan.clip)
        optimizer.step()
        optimizer.zero_grad()
        learner.objectives.clamp()
        sums = {name: sums.get(name, 0) + value for name, value in told.items()}
    means = {f"train_{'loss' if name == 'total' else name}": float(total) / steps for name, total in sums.items()}
    if not np.isfinite(list(means.values())).all():
        raise TrainingError("the loss is not finite", where=f"epoch {epoch + 1}", mend="lower optim.lr")
    return {"epoch": epoch + 1.0, "lr": float(optimizer.param_groups[0]["lr"])} | means


def clip(learner: Learner, largest: float) -> None:
    """Scales all gradients down so that their norm over every weight is at most `largest`."""
    weights = [[w for w in part.parameters() if w.grad is not None] for part in (learner.encoders, learner.objectives)]
    norms = [whole(get_total_norm([w.grad for w in part if w.grad is not None])) for part in weights if part]
    norm = torch.stack(norms).norm()
    for part in weights:
        clip_grads_with_norm_(part, largest, norm)


def judge(learner: Learner, val: Corpus | None, plan: Plan) -> dict[str, float]:
    """Loss and retrieval on the validation patients, each picture beside its whole text; nothing without any."""
    if val is None:
        return {}
    learner.encoders.eval()
    generator = generator_of(plan.seed, _JUDGED)
    draw = plain(val, torch.arange(len(val)), plan.habits.hiding, generator)
    bounded = replace(learner, micro_batch=learner.micro_batch or -(-plan.batch_size // learner.processes.world))
    losses, joint = losses_of(bounded, val, draw, (plan.seed, _JUDGED))
    return {"val_loss": float(losses["total"])} | {f"val_{name}": value for name, value in retrieval(joint).items()}


def _statistics(module: nn.Module) -> list[Tensor]:
    """Running statistics, of which each process has its own."""
    buffers: Iterable[Tensor] = module.buffers()
    return [buffer for buffer in buffers if buffer.is_floating_point()]
