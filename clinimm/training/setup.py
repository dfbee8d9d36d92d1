"""What a run needs before it trains: settings unpacked, cases prepared, facts counted."""

import hashlib
import json
import math
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.precision import MixedPrecision
from lightning_fabric.strategies.ddp import DDPStrategy
from rich.console import Console

from clinimm.backbone.directory import Backbone
from clinimm.backbone.use import adapt_section
from clinimm.batch import Batch
from clinimm.config import Config, ImageInput, dump
from clinimm.data.prepare import Preparer, prepare_all
from clinimm.data.split import Splits
from clinimm.errors import TrainingError
from clinimm.models.network import Network
from clinimm.progress import progress_bar
from clinimm.pseudonyms import known
from clinimm.training.features import Features
from clinimm.training.learner import Recipe
from clinimm.training.loop import Plan
from clinimm.training.modality_dropout import Schedule
from clinimm.training.objective import Terms
from clinimm.training.optim import TowerRate
from clinimm.types import Case, Status

PARTS = ("train", "val", "test")


class Autocast(MixedPrecision):
    """Mixed precision that hands batches on as they are: Fabric cannot rebuild a frozen dataclass, and autocast casts
    what it must by itself."""

    def convert_input(self, data: Any) -> Any:
        return data


def build_fabric(config: Config) -> Fabric:
    """Device, precision and processes: `run.devices` of them, started here or by torchrun."""
    run = config.run
    # A pretrained text net may have a pooler that nothing reads, which DDP otherwise waits for.
    strategy = DDPStrategy(find_unused_parameters=True) if run.devices > 1 else "auto"
    place = "cuda" if run.device != "cpu" and torch.cuda.is_available() else "cpu"
    precision = None if run.precision == "32-true" else Autocast(run.precision, place)
    fabric = Fabric(accelerator=run.device, devices=run.devices, plugins=precision, strategy=strategy)
    fabric.launch()
    return fabric


def is_leader() -> bool:
    """Whether this is the only process of the run, or the first of them: the one that writes and prints."""
    return os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0")) == "0"


def leave(fabric: Fabric) -> None:
    """Waits for all processes and ends their group: without that, leaving aborts now and then."""
    fabric.barrier()
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def prepare_splits(preparer: Preparer, splits: Splits, workers: int, console: Console | None) -> dict[str, Batch]:
    """Train, val and test as batches. Raises TrainingError if a target has no known label of a class to learn from."""
    bar = progress_bar(console)
    with bar:
        task = bar.add_task("read", total=sum(len(getattr(splits, part)) for part in PARTS), note="")

        def prepared(part: str) -> Batch:
            cases = getattr(splits, part)
            return prepare_all(preparer, cases, workers=workers, on_done=lambda _: bar.advance(task))

        parts = {part: prepared(part) for part in PARTS}
    _check_labels(parts["train"], preparer.targets)
    return parts


def _check_labels(train: Batch, targets: Sequence[str]) -> None:
    known = train.target_mask
    positive = (train.targets.bool() & known).sum(0)
    lacking = [
        name for name, yes, n in zip(targets, positive.tolist(), known.sum(0).tolist(), strict=True) if yes in (0, n)
    ]
    if lacking:
        raise TrainingError(
            f"no training case of one of the classes of {', '.join(lacking)}",
            where="targets",
            mend="give more cases, or leave the target out",
        )


def prior_logits(train: Batch) -> list[float]:
    """Logits of the prevalence of each target, one case of each class added (Laplace's rule)."""
    known = train.target_mask
    positive = (train.targets.bool() & known).sum(0).tolist()
    return [math.log((yes + 1) / (n - yes + 1)) for yes, n in zip(positive, known.sum(0).tolist(), strict=True)]


def patients(cases: Sequence[Case]) -> tuple[str, ...]:
    return tuple(case.patient_id for case in cases)


def plan_of(config: Config) -> Plan:
    """The config's sections, unpacked for the loop."""
    optim, hiding = config.optim, config.modality_dropout
    return Plan(
        lr=optim.lr,
        weight_decay=optim.weight_decay,
        epochs=optim.epochs,
        batch_size=optim.batch_size,
        clip=optim.clip,
        warmup=optim.warmup,
        patience=optim.patience,
        terms=Terms(optim.unimodal_loss, optim.evenness_loss, optim.evenness),
        schedule=Schedule(hiding.p, hiding.quiet, hiding.ramp),
        observed=hiding.observed,
        analyte_dropout=hiding.analyte,
        spoilt=hiding.spoilt,
        balance=optim.balance,
        evenness_until=optim.evenness_until,
        pictures=tuple(
            name
            for name, section in config.inputs.items()
            if isinstance(section, ImageInput) and section.augment and name not in cached_inputs(config)
        ),
        seed=config.run.seed,
        fusion_lr=optim.fusion_lr,
        heads_lr=optim.heads_lr,
        towers={
            name: TowerRate(how.lr or optim.lr, how.decay)
            for name in config.inputs
            if (how := adapt_section(config, name)) is not None
        },
    )


def recipe_of(config: Config) -> Recipe:
    """How the learner on fixed features is fitted."""
    section = config.committee
    return Recipe(nets=section.narrow, epochs=section.narrow_epochs, trees=section.trees)


def cached_inputs(config: Config) -> tuple[str, ...]:
    """The inputs whose towers' hidden tokens are kept on disk."""
    return tuple(
        name
        for name in config.inputs
        if (how := adapt_section(config, name)) is not None and how.mode == "frozen" and how.cache
    )


def with_features(
    parts: dict[str, Batch],
    network: Network,
    names: Sequence[str],
    folder: Path,
    fabric: Fabric,
    console: Console | None,
) -> dict[str, Batch]:
    """The parts, with what frozen towers read in the inputs `names`. Processes share the work by the folder."""
    if not names:
        return parts
    features = Features.of(network.to(fabric.device), names, folder)
    if fabric.world_size > 1:
        for batch in parts.values():
            features.add(batch.rows(torch.arange(fabric.global_rank, len(batch), fabric.world_size)))
        fabric.barrier()
    present = sum(int(batch.modalities[name].present.sum()) for batch in parts.values() for name in names)
    with progress_bar(console) as bar:
        task = bar.add_task("towers", total=present, note="")
        return {part: features.add(batch, lambda: bar.advance(task)) for part, batch in parts.items()}


def fingerprint(config: Config, splits: Splits, backbone: Backbone | None = None) -> str:
    """A hash of the settings, of which case is where, and of the backbone: a checkpoint of another one is not
    resumed."""
    cases = {part: [case.case_id for case in getattr(splits, part)] for part in PARTS}
    digest = "" if backbone is None else backbone.digest
    return hashlib.sha256((dump(config) + json.dumps(cases) + digest).encode()).hexdigest()


def cohort_facts(
    splits: Splits, parts: dict[str, Batch], config: Config, backbone: Backbone | None = None
) -> dict[str, Any]:
    """Counts for the model card and the artifact: cases, patients, and what became of each input; of the test part,
    what the backbone's pretraining saw of it."""
    facts: dict[str, Any] = {
        part: {
            "cases": len(parts[part]),
            "patients": len(set(patients(getattr(splits, part)))),
            "inputs": {name: _states(batch.states) for name, batch in parts[part].modalities.items()},
        }
        for part in PARTS
    }
    if backbone is not None and config.backbone is not None and config.backbone.pretrained:
        facts["test"]["pretraining"] = _overlap(splits.test, backbone)
    return facts


def _overlap(cases: Sequence[Case], backbone: Backbone) -> dict[str, Any]:
    """How many of the cases' patients pretraining saw (None: not known), and the observations it read labels of."""
    seen = known(sorted(set(patients(cases))), backbone.seen)
    return {"patients": None if seen is None else sum(seen), "labels": list(backbone.provenance.get("labels", ()))}


def _states(states: Sequence[Any]) -> dict[str, int]:
    counts = Counter(s.status.value if s.status in (Status.PRESENT, Status.ABSENT) else s.reason for s in states)
    return dict(sorted(counts.items()))
