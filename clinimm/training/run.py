"""A training run, one noun to the next. The page to read first."""

from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console

from clinimm import artifact
from clinimm.artifact import network_for
from clinimm.backbone.use import opened, towers_for
from clinimm.calibration import Calibrator
from clinimm.config import Config
from clinimm.data.doors import fit_preparer
from clinimm.data.split import Splits
from clinimm.decision import Uncertainty
from clinimm.evaluation.answers import Answers
from clinimm.evaluation.card import model_card, pretraining_overlap
from clinimm.evaluation.evaluate import Evaluation, evaluate
from clinimm.guard.gate import fit_guards
from clinimm.inference import score_subsets
from clinimm.io.sandbox import Sandbox
from clinimm.training.loop import Fold, fit
from clinimm.training.setup import (
    build_fabric,
    cached_inputs,
    cohort_facts,
    fingerprint,
    labeled,
    leave,
    patients,
    plan_of,
    prepare_splits,
    prior_logits,
    with_features,
)
from clinimm.training.tracking import Tracker


@dataclass(frozen=True)
class Trained:
    """A finished run: its artifact, what it said of the test cases, and how good that is."""

    directory: Path
    answers: Answers
    evaluation: Evaluation


def train(
    config: Config,
    splits: Splits,
    out: Path,
    *,
    console: Console | None = None,
    label: str = "train",
    features: Path | None = None,
) -> Trained:
    """Trains on `splits.train`, stops and calibrates by `splits.val`, is judged on `splits.test`, and leaves an
    artifact in `out/artifact`. A run cut off goes on where it stood. What frozen towers read is kept in `features`, by
    default `out/features`. Raises TrainingError, ConfigError, BackboneError."""
    torch.set_num_threads(config.run.threads)
    fabric = build_fabric(config)
    console = console if fabric.is_global_zero else None
    torch.manual_seed(config.run.seed)
    backbone = opened(config)
    towers = towers_for(config, backbone)
    with Sandbox(processes=max(1, config.run.workers)) as sandbox:
        preparer = fit_preparer(config, splits.train, sandbox)
        parts = prepare_splits(preparer, splits, config.run.workers, console)
    network = network_for(config, preparer, prior_logits(parts["train"]), towers=towers)
    network.fit_encoders(parts["train"])
    parts = with_features(parts, network, cached_inputs(config), features or out / "features", fabric, console)
    fold = Fold(labeled(parts["train"]), parts["val"], patients(splits.val), config.target_names)
    with Tracker(out if fabric.is_global_zero else None, config.optim.epochs, console, label) as tracker:
        fit(
            network, fold, plan_of(config), fabric, folder=out / "checkpoint",
            fingerprint=fingerprint(config, splits, backbone), on_epoch=tracker.epoch,
        )  # fmt: skip
    network.eval()
    val = score_subsets(network, parts["val"], patients(splits.val), config.target_names)
    calibrator = Calibrator.fit(val, sensitivity=config.evaluation.sensitivity, seed=config.run.seed)
    uncertainty = Uncertainty.fit(val, calibrator, alpha=config.decision.alpha)
    guards = fit_guards(config, preparer.modalities, parts["train"], splits.train)
    test = score_subsets(network, parts["test"], patients(splits.test), config.target_names)
    answers = Answers.of(test, calibrator)
    evaluation = evaluate(answers, bootstrap=config.evaluation.bootstrap, seed=config.run.seed)
    facts = cohort_facts(splits, parts, config, backbone)
    if fabric.is_global_zero:
        artifact.save(
            out / "artifact", config=config, preparer=preparer, network=network, calibrator=calibrator,
            uncertainty=uncertainty, guards=guards, metrics=evaluation.record() | {"cohort": facts},
            card=model_card(config, evaluation, facts, calibrator),
            seen=(*patients(splits.train), *patients(splits.val)), backbone=backbone,
        )  # fmt: skip
    if console and (overlap := pretraining_overlap(facts)):
        console.print(overlap, highlight=False)
    leave(fabric)
    return Trained(out / "artifact", answers, evaluation)
