"""Epochs: draw, step, judge on validation under every mask, keep the best."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
from jaxtyping import Int
from lightning_fabric import Fabric
from torch import Tensor
from torch.optim import Optimizer

from clinimm.batch import Batch
from clinimm.data.augment import augment
from clinimm.data.quality.moved import Looks
from clinimm.errors import TrainingError
from clinimm.inference import score_subsets
from clinimm.metrics import auroc, log_loss
from clinimm.models.network import Network
from clinimm.scores import Scores
from clinimm.training import checkpoint
from clinimm.training.balance import Balance
from clinimm.training.checkpoint import Standing, Weights
from clinimm.training.doubt import learn_doubt
from clinimm.training.modality_dropout import Schedule, draw_kept
from clinimm.training.objective import Objective, Terms
from clinimm.training.optim import Rates, TowerRate, build_optimizer, encoder_of, peak_rates, rate_at
from clinimm.types import Modality

OnEpoch = Callable[[dict[str, float]], None]


@dataclass(frozen=True)
class Plan:
    """How to train, as plain settings. Rates that are not given are `lr`."""

    lr: float
    weight_decay: float
    epochs: int
    batch_size: int
    clip: float
    warmup: float
    patience: int
    terms: Terms
    schedule: Schedule
    observed: float
    analyte_dropout: float
    pictures: tuple[str, ...]
    seed: int
    fusion_lr: float | None = None
    heads_lr: float | None = None
    spoilt: int = 4
    balance: float = 0.0
    evenness_until: float = 0.0
    towers: Mapping[str, TowerRate] = field(default_factory=dict)

    @property
    def rates(self) -> Rates:
        return Rates(self.lr, self.fusion_lr, self.heads_lr, self.towers)

    def easing(self, progress: float) -> float:
        """The share of the pull on the gate's evenness that is left, at a share of the run: it falls to 0 in a line."""
        return max(0.0, 1 - progress / self.evenness_until) if self.evenness_until else 0.0


@dataclass(frozen=True)
class Fold:
    """Prepared cases to train and to judge on; `patients` are those of `val`; `looks` measures their pictures."""

    train: Batch
    val: Batch
    patients: tuple[str, ...]
    targets: tuple[str, ...]
    looks: Mapping[str, Looks] = field(default_factory=dict)


def fit(
    network: Network, fold: Fold, plan: Plan, fabric: Fabric, *, folder: Path, fingerprint: str, on_epoch: OnEpoch
) -> list[dict[str, float]]:
    """Trains `network` in place, up to the epoch whose validation AUROC, averaged over all modality masks, is highest.
    Returns the figures of each epoch. Goes on from the checkpoint in `folder`, if there is one.

    Raises TrainingError if the loss stops being finite."""
    objective = Objective(network, plan.terms)
    plain = build_optimizer(peak_rates(network, plan.rates), plan.weight_decay, encoder_of(network))
    loaded = checkpoint.load(folder, fingerprint, plain)
    standing = Standing(fingerprint)
    best: Weights = _learned(network)
    if loaded is not None:
        standing, weights, best = loaded
        network.load_learned(weights)
    module, optimizer = fabric.setup(objective, plain)
    names = [modality.name for modality in network.modalities]
    for row in standing.history:
        on_epoch(row)
    while standing.epoch < plan.epochs and standing.epoch - standing.best_epoch < plan.patience:
        balance = Balance.resumed(names, plan.balance, standing.history[-1] if standing.history else {})
        figures = train_epoch(module, optimizer, network.modalities, fold.train, plan, fabric, standing.epoch, balance)
        figures = fabric.broadcast(figures | _judge(network, fold))  # ranks must agree when to stop
        standing, best = _advance(standing, figures, best, network)
        if fabric.is_global_zero:
            checkpoint.save(folder, standing, _learned(network), best, optimizer.optimizer)
        fabric.barrier()
        on_epoch(figures)
    network.load_learned(best)
    learn_doubt(network, fold.train, fold.val, fold.looks, draws=plan.spoilt, seed=plan.seed)
    return standing.history


def train_epoch(
    module: torch.nn.Module,
    optimizer: Optimizer,
    modalities: Sequence[Modality],
    train: Batch,
    plan: Plan,
    fabric: Fabric,
    epoch: int,
    balance: Balance,
) -> dict[str, float]:
    """One pass over the training cases. All that is random comes from the seed and the epoch's number, so that a
    resumed run draws as one that was not cut off."""
    generator = torch.Generator().manual_seed(plan.seed * 100_003 + epoch)
    torch.manual_seed((plan.seed * 100_003 + epoch) * 1009 + fabric.global_rank)
    module.train()
    steps = _steps(len(train), plan.batch_size, fabric.world_size)
    sums = np.zeros(4)
    patterns = train.present
    for step, index in enumerate(_shards(len(train), plan.batch_size, fabric, generator)):
        progress = (epoch * steps + step) / (plan.epochs * steps)
        for group in optimizer.param_groups:
            group["lr"] = rate_at(epoch * steps + step, plan.epochs * steps, group["peak"], plan.warmup)
            group["lr"] *= balance.factor(group["encoder"])
        batch = augment(
            train.rows(index), modalities, generator, pictures=plan.pictures,
            analyte_dropout=plan.analyte_dropout,
        )  # fmt: skip
        kept = draw_kept(batch.present, plan.schedule.at(progress), plan.observed, patterns, generator)
        losses = module(batch.to(fabric.device), kept.to(fabric.device), plan.easing(progress))
        fabric.backward(losses.total)
        fabric.clip_gradients(module, optimizer, max_norm=plan.clip, error_if_nonfinite=False)
        optimizer.step()
        optimizer.zero_grad()
        # Every process must hear the same, or their rates, and then their weights, part ways.
        balance.hear(cast(Tensor, fabric.all_reduce(losses.belief, reduce_op="sum")))
        sums += [float(value.detach()) for value in (losses.total, losses.whole, losses.part, losses.unimodal)]
    if not np.isfinite(sums).all():
        raise TrainingError("the loss is not finite", where=f"epoch {epoch + 1}", mend="lower optim.lr")
    names = ("train_loss", "train_loss_all_inputs", "train_loss_some_hidden", "train_loss_each_alone")
    last = rate_at((epoch + 1) * steps - 1, plan.epochs * steps, plan.lr, plan.warmup)
    told = dict(zip(names, (sums / steps).tolist(), strict=True))
    return {"epoch": epoch + 1.0, "lr": last} | told | balance.figures()


def _steps(cases: int, batch_size: int, world: int) -> int:
    return -(-cases // (batch_size * world))


def _shards(cases: int, batch_size: int, fabric: Fabric, generator: torch.Generator) -> Iterator[Int[Tensor, " r"]]:
    """This process's rows of each step, in an order that all processes draw alike; the last steps wrap around so that
    every process takes as many."""
    steps = _steps(cases, batch_size, fabric.world_size)
    order = torch.randperm(cases, generator=generator)
    if fabric.world_size > 1:
        order = order.repeat(2)[: steps * batch_size * fabric.world_size]
    for step in range(steps):
        rows = order[step * batch_size * fabric.world_size : (step + 1) * batch_size * fabric.world_size]
        yield rows[fabric.global_rank :: fabric.world_size]


def _judge(network: Network, fold: Fold) -> dict[str, float]:
    """Validation figures: log loss and AUROC averaged over every subset of inputs and target, and with all inputs."""
    scores = score_subsets(network, fold.val, fold.patients, fold.targets)
    losses, ranks = {}, {}
    for subset in scores.logits:
        losses[subset], ranks[subset] = _subset_figures(scores, subset)
    return {
        "val_loss": float(np.nanmean(list(losses.values()))),
        "val_auroc_over_masks": float(np.nanmean(list(ranks.values()))),
        "val_auroc_all_inputs": ranks[scores.whole],
    }


def _subset_figures(scores: Scores, subset: str) -> tuple[float, float]:
    """Mean log loss and AUROC over the targets, of the cases that have something of the subset; NaN if none has."""
    pairs = []
    for j, target in enumerate(scores.target_names):
        rows = scores.known(target) & scores.answered(subset)
        if rows.any():
            labels, logits = scores.targets[rows, j] > 0.5, scores.logits[subset][rows, j]
            pairs.append((log_loss(labels, 1 / (1 + np.exp(-logits))), auroc(labels, logits)))
    if not pairs:
        return float("nan"), float("nan")
    figures = np.array(pairs)
    ranks = figures[~np.isnan(figures[:, 1]), 1]
    return float(figures[:, 0].mean()), float(ranks.mean()) if len(ranks) else float("nan")


def _advance(
    standing: Standing, figures: dict[str, float], best: Weights, network: Network
) -> tuple[Standing, Weights]:
    standing = replace(standing, epoch=standing.epoch + 1, history=[*standing.history, figures])
    if (found := _monitored(figures)) < standing.best:
        return replace(standing, best=found, best_epoch=standing.epoch), _learned(network)
    return standing, best


def _monitored(figures: dict[str, float]) -> tuple[float, float]:
    """What an epoch is judged by, less is better: how badly it ranks, averaged over every mask; then its loss.

    Not the loss first: it rises as soon as one input is overconfident, which calibration mends afterwards, while the
    others are still learning."""
    rank = figures["val_auroc_over_masks"]
    return (1.0 if np.isnan(rank) else 1 - rank, figures["val_loss"])


def _learned(network: Network) -> dict[str, Tensor]:
    """A copy of what training changes: a frozen tower is not kept epoch by epoch."""
    return {name: w.detach().clone() for name, w in network.learned().items()}
