"""A pretraining run, one noun to the next. The page to read first."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from clinimm.backbone import directory
from clinimm.backbone.directory import Backbone
from clinimm.config import PretrainConfig, dump
from clinimm.data.pairs import IMAGE, TEXT, picture_door
from clinimm.data.split import split_off
from clinimm.errors import TrainingError
from clinimm.io.sandbox import Sandbox
from clinimm.models.towers.build import build_tower
from clinimm.pretraining.build import (
    Start,
    build_encoders,
    build_language,
    build_objectives,
    hidden_weights,
    plan_of,
    rates_of,
    start,
)
from clinimm.pretraining.checkpoint import weights_of
from clinimm.pretraining.corpus import Corpus, Language, build_corpus, read_pictures
from clinimm.pretraining.encoders import Encoders
from clinimm.pretraining.loop import fit
from clinimm.pretraining.objectives import JointObjectives
from clinimm.pretraining.processes import joined
from clinimm.pretraining.step import Learner
from clinimm.pretraining.watch import note
from clinimm.progress import progress_bar
from clinimm.pseudonyms import hashed
from clinimm.training.tracking import Tracker
from clinimm.types import Case


@dataclass(frozen=True)
class Pretrained:
    """A finished run: its backbone, and what is told of it there: "corpus" (counts of train and val), "observations",
    and the "epoch" that was kept with its "figures". `leads` is False on processes that must not print."""

    directory: Path
    told: Mapping[str, Any]
    leads: bool


def pretrain(config: PretrainConfig, cases: Sequence[Case], out: Path, *, console: Console | None = None) -> Pretrained:
    """Learns a backbone from the cases' pictures and texts and leaves it in `out/backbone`, with the figures of every
    epoch in `out/metrics.jsonl`. A run cut off goes on where it stood. Under torchrun, all processes call this alike.

    Raises TrainingError, ConfigError, BackboneError."""
    torch.set_num_threads(config.run.threads)
    with joined(config.run.device, config.run.strategy, config.run.precision) as processes:
        console = console if processes.leads else None
        parts = split_off(cases, config.data.split.val, config.data.split.seed, config.data.split_column)
        begun = start(config, parts[0])
        language = build_language(config, begun)
        train, val = (read_corpus(config, part, language, console) for part in parts)
        if not len(train):
            raise TrainingError("no case has a picture or a text", where="image, text", mend="check the columns' names")
        torch.manual_seed(config.run.seed)
        encoders = build_encoders(config, begun, language.length)
        objectives = build_objectives(config, begun, encoders.image.width).to(processes.device)
        joint = processes.join(encoders)
        learner = Learner(joint, objectives, hidden_weights(config), processes, config.optim.micro_batch)
        rates = rates_of(config, encoders, objectives)
        with Tracker(out if processes.leads else None, config.optim.epochs, console, "pretrain", note) as tracker:
            standing = fit(
                learner, encoders, rates, train, val if len(val) else None, plan_of(config, begun, encoders),
                folder=out / "checkpoint", fingerprint=fingerprint(config, parts), on_epoch=tracker.epoch,
            )  # fmt: skip
        told = {
            "corpus": {"train": dict(train.facts), "val": dict(val.facts)},
            "observations": list(language.observations),
            "epoch": standing.best_epoch,
            "figures": standing.history[standing.best_epoch - 1],
        }
        backbone = as_backbone(encoders, objectives, begun, told | origin(config, begun))
        if processes.leads:
            directory.save(out / "backbone", replace(backbone, seen=seen_patients(parts, begun)))
        return Pretrained(out / "backbone", told, processes.leads)


def read_corpus(
    config: PretrainConfig, cases: Sequence[Case], language: Language, console: Console | None = None
) -> Corpus:
    """The cases as tensors: pictures on the config's grid, as the file's own gray values in [0, 1]."""
    with Sandbox(processes=max(1, config.run.workers)) as sandbox, progress_bar(console) as bar:
        door = picture_door(config.image, config.image.size, sandbox)
        task = bar.add_task("read", total=len(cases), note="")
        pictures = read_pictures(
            cases, door, workers=config.run.workers, on_done=lambda done: bar.update(task, completed=done)
        )
    return build_corpus(cases, pictures, TEXT, language)


def fingerprint(config: PretrainConfig, parts: Sequence[Sequence[Case]]) -> str:
    """A hash of the settings and of which case is where, with its text: a checkpoint of another one is not resumed."""
    told = [[(case.case_id, getattr(case.inputs.get(TEXT), "text", "")) for case in part] for part in parts]
    return hashlib.sha256((dump(config) + json.dumps(told)).encode()).hexdigest()


def seen_patients(parts: Sequence[Sequence[Case]], begun: Start) -> frozenset[str]:
    """Hashes of the patients that have a picture or a text here, to learn from or to stop by, and of those that the
    weights it starts from have seen."""
    here = {hashed(case.patient_id) for part in parts for case in part if case.inputs}
    return frozenset(here) | (begun.weights.seen if begun.weights else frozenset())


def origin(config: PretrainConfig, begun: Start) -> dict[str, Any]:
    """What the weights come from: "config"; "labels", the observations whose answers were read from the manifest, here
    or before; "start", the backbone they started from, and whether all patients that it had seen are known."""
    before = begun.weights
    labels = {*config.data.labels, *(before.provenance.get("labels", ()) if before else ())}
    begins = before and {"family": before.family, "digest": before.digest, "patients_known": _known(before)}
    return {"config": json.loads(dump(config)), "labels": sorted(labels), "start": begins}


def _known(backbone: Backbone) -> bool:
    start = backbone.provenance.get("start")
    return bool(backbone.seen) and (start is None or start["patients_known"])


def as_backbone(
    encoders: Encoders, objectives: JointObjectives, begun: Start, provenance: Mapping[str, Any]
) -> Backbone:
    """The towers on the CPU, put together from their shards, and the space's temperature and bias. What objectives
    learned beside that (is this a pair? what would the missing one be?) is kept as leftover tensors."""
    weights, learned = weights_of(encoders), weights_of(objectives)
    towers = {}
    for kind, tower in ((IMAGE, encoders.image), (TEXT, encoders.text)):
        towers[kind] = build_tower(tower.architecture)
        towers[kind].load_state_dict(
            {name.removeprefix(f"{kind}."): w for name, w in weights.items() if name.startswith(f"{kind}.")}
        )
    space = {"logit_scale", "logit_bias"}
    return Backbone(
        family="clinimm",
        image=towers[IMAGE].eval(),  # type: ignore[arg-type]
        text=towers[TEXT].eval(),  # type: ignore[arg-type]
        tokenizer=begun.tokenizer,
        scale=float(learned["logit_scale"]),
        bias=float(learned["logit_bias"]) if "logit_bias" in learned else None,
        leftover={f"objectives.{name}": w for name, w in learned.items() if name not in space},
        provenance=provenance,
    )
