"""A training run, one noun to the next. The page to read first."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from clinimm import artifact
from clinimm.assembly import learner_for, network_for
from clinimm.backbone.use import opened, towers_for
from clinimm.batch import Batch
from clinimm.calibration import Calibrator
from clinimm.config import Config
from clinimm.data.doors import fit_preparer
from clinimm.data.split import Splits
from clinimm.decision import Uncertainty
from clinimm.evaluation.answers import Answers, attributes_of
from clinimm.evaluation.card import model_card, pretraining_overlap
from clinimm.evaluation.evaluate import Evaluation, evaluate
from clinimm.evaluation.faithfulness import measure, sample
from clinimm.evaluation.subgroups import judge_subgroups
from clinimm.guard.gate import admit, fit_guards
from clinimm.guard.guards import Guards
from clinimm.inference import care_of, score_subsets
from clinimm.io.sandbox import Sandbox
from clinimm.models.committee import Committee
from clinimm.models.network import Network
from clinimm.training.committee import Development, held_out, train_committee
from clinimm.training.ledger import opened_ledger
from clinimm.training.setup import (
    build_fabric,
    cached_inputs,
    cohort_facts,
    fingerprint,
    leave,
    patients,
    plan_of,
    prepare_splits,
    prior_logits,
    recipe_of,
    with_features,
)
from clinimm.training.tracking import Tracker


@dataclass(frozen=True)
class Trained:
    """A finished run: its artifact, what it said of the test cases and how good that is; `held_out` is what the folds'
    members said of the training patients held out from them, by which settings may be chosen."""

    directory: Path
    answers: Answers
    held_out: Answers
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
    """Trains a committee on `splits.train` and `splits.val`, calibrates it by what each fold's members say of the
    patients held out from them, judges it on `splits.test`, and leaves an artifact in `out/artifact`. A run cut off
    goes on where it stood. What frozen towers read is kept in `features`, by default `out/features`. Raises
    TrainingError, ConfigError, BackboneError."""
    torch.set_num_threads(config.run.threads)
    fabric = build_fabric(config)
    console = console if fabric.is_global_zero else None
    torch.manual_seed(config.run.seed)
    backbone, cases = opened(config), (*splits.train, *splits.val)
    with Sandbox(processes=max(1, config.run.workers)) as sandbox:
        preparer = fit_preparer(config, cases, sandbox)
        parts = prepare_splits(preparer, splits, config.run.workers, console)
    prior, shown = prior_logits(Batch.cat([parts["train"], parts["val"]])), _shown(config, parts["test"], splits)

    def build() -> Network:
        return network_for(config, preparer, prior, towers=towers_for(config, deepcopy(backbone)))

    parts = with_features(parts, build(), cached_inputs(config), features or out / "features", fabric, console)
    development = Development(
        Batch.cat([parts["train"], parts["val"]]), patients(cases), config.target_names,
        tuple(held_out(splits, config.committee.folds, config.run.seed)), preparer.looks,
    )  # fmt: skip
    ledger = opened_ledger(config, out, label) if fabric.is_global_zero else None
    with Tracker(
        out if fabric.is_global_zero else None, development.folds * config.optim.epochs, console, label, ledger=ledger
    ) as told:
        committee, scores = train_committee(
            development, plan_of(config), fabric, build=build, learner=learner_for(config, preparer, prior),
            recipe=recipe_of(config), readout=config.committee.readout, folder=out / "checkpoint",
            fingerprint=fingerprint(config, splits, backbone), on_epoch=told.epoch,
        )  # fmt: skip
    calibrator = Calibrator.fit(scores, sensitivity=config.evaluation.sensitivity, seed=config.run.seed)
    uncertainty = Uncertainty.fit(scores, calibrator, alpha=config.decision.alpha)
    guards = fit_guards(config, preparer.modalities, development.batch, cases)
    test = score_subsets(committee, parts["test"], patients(splits.test), config.target_names)
    answers = Answers.of(test, calibrator, attributes_of(splits.test, config.data.attributes), uncertainty.conformal)
    evaluation = evaluate(answers, bootstrap=config.evaluation.bootstrap, seed=config.run.seed)
    facts = cohort_facts(splits, parts, config, backbone)
    if fabric.is_global_zero:
        digest = artifact.save(
            out / "artifact", config=config, preparer=preparer, network=committee, calibrator=calibrator,
            uncertainty=uncertainty, guards=guards, backbone=backbone,
            metrics=evaluation.record() | {"cohort": facts} | _told(config, committee, guards, *shown, console),
            card=model_card(config, evaluation, facts, calibrator, parts=committee.parts()),
            subgroups=_groups(answers, config), seen=development.patients, held_out=development.held_patients,
        )  # fmt: skip
        if ledger is not None:
            ledger.finish(evaluation, digest)
    if console and (overlap := pretraining_overlap(facts)):
        console.print(overlap, highlight=False)
    leave(fabric)
    return Trained(out / "artifact", answers, Answers.of(scores, calibrator), evaluation)


def _groups(answers: Answers, config: Config) -> list[Mapping[str, Any]]:
    """The evaluation by subgroups of patients; empty where no attribute splits them."""
    found = judge_subgroups(answers, bootstrap=config.evaluation.bootstrap, seed=config.run.seed)
    return [one.record() for one in found if one.cells]


def _shown(config: Config, test: Batch, splits: Splits) -> tuple[Batch, list[str]]:
    """The test cases to be explained, and their patients. To be asked before only what towers read in them is left."""
    patient_ids = patients(splits.test)
    rows = sample(test.present.numpy(), patient_ids, config.explain.measured, seed=config.run.seed)
    return test.rows(torch.tensor(rows, dtype=torch.long)), [patient_ids[row] for row in rows]


def _told(
    config: Config, committee: Committee, guards: Guards, shown: Batch, patient_ids: Sequence[str],
    console: Console | None,
) -> dict[str, Any]:  # fmt: skip
    """What explanations of these cases are worth, for the artifact's metrics; nothing where there are none."""
    if not patient_ids:
        return {}
    seed, seen, care = config.run.seed, admit(guards, shown)[0], care_of(config.explain)
    found = measure(
        committee, seen, patient_ids, range(len(seen)), config.target_names, care, seed=seed, console=console
    )
    return {"explanations": found.faithfulness(resamples=config.evaluation.bootstrap, seed=seed).record()}
