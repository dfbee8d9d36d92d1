"""A trained model on disk: safetensors and JSON, every file hashed, nothing pickled.

manifest.json     format, versions, and the SHA-256 of every other file; its own SHA-256 is the artifact's digest
config.json       the run's settings
preparer.json     what was fitted to turn cases into batches
encoders.json     architectures of text encoders and of a backbone's towers
origin.json       the backbone that was used: its digest, and where it was
weights.safetensors
calibration.json
decision.json     conformal sets, what disagreement of inputs is normal, and the guards without their arrays
guards.safetensors  the guards' arrays
patients.json     hashes of the patients it was trained and calibrated on, so that none of them is tested on
metrics.json      the evaluation
card.md           the model card"""

import hashlib
import json
import os
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

import clinimm
from clinimm.backbone.directory import Backbone, describe
from clinimm.backbone.use import adapt_section, adaptation, empty_towers, opened, towers_for
from clinimm.calibration import Calibrator
from clinimm.config import Config, ImageInput, dump, parse
from clinimm.data.doors import recorded_preparer
from clinimm.data.note_door import NoteDoor
from clinimm.data.prepare import Preparer
from clinimm.data.quality import QUALITIES
from clinimm.decision import Uncertainty
from clinimm.errors import ArtifactError, BackboneError
from clinimm.guard.guards import Guards
from clinimm.io.sandbox import Sandbox
from clinimm.models.backbone_encoder import BackboneEncoder
from clinimm.models.build import EncoderPlan, TowerPlan, Vocabulary, build_network
from clinimm.models.network import Network
from clinimm.models.text import NoteTransformer
from clinimm.models.towers.base import Tower
from clinimm.pseudonyms import hashed

FORMAT = "clinimm.artifact/1"
_PARTS = (
    "config.json", "preparer.json", "encoders.json", "weights.safetensors", "calibration.json", "decision.json",
    "guards.safetensors", "patients.json",
)  # fmt: skip


@dataclass(frozen=True)
class Artifact:
    digest: str
    config: Config
    preparer: Preparer
    network: Network
    calibrator: Calibrator
    uncertainty: Uncertainty
    guards: Guards


def network_for(
    config: Config,
    preparer: Preparer,
    prior: list[float],
    *,
    towers: Mapping[str, Tower] | None = None,
    architectures: Mapping[str, Mapping[str, Any]] | None = None,
) -> Network:
    """The network that a config means, with the `towers` of the inputs that use a backbone: see `towers_for`. With
    `architectures` (a saved model's) no pretrained file is looked for."""
    return build_network(
        preparer.modalities,
        {m.name: _plan(config, preparer, m.name, towers or {}, architectures) for m in preparer.modalities},
        {m.name: len(QUALITIES[m.kind]) for m in preparer.modalities},
        width=config.model.width,
        fusion=config.model.fusion,
        fusion_options=config.model.fusion_options,
        dropout=config.model.dropout,
        prior=prior,
    )


def _plan(
    config: Config,
    preparer: Preparer,
    name: str,
    towers: Mapping[str, Tower],
    architectures: Mapping[str, Mapping[str, Any]] | None,
) -> EncoderPlan:
    section, door = config.inputs[name].encoder, preparer.doors[name]
    return EncoderPlan(
        name=section.name,
        pretrained=section.pretrained if architectures is None else None,
        dropout=section.dropout,
        options=section.options,
        vocabulary=Vocabulary(*door.vocabulary) if isinstance(door, NoteDoor) else None,
        architecture=None if architectures is None else architectures.get(name),
        tower=_tower_plan(config, name, towers.get(name)),
        resampler=None if section.resampler is None else section.resampler.model_dump(),
    )


def _tower_plan(config: Config, name: str, tower: Tower | None) -> TowerPlan | None:
    section, how = config.inputs[name], adapt_section(config, name)
    if tower is None or how is None:
        return None
    if isinstance(section, ImageInput):
        return TowerPlan(tower, adaptation(how), section.mean, section.std)
    return TowerPlan(tower, adaptation(how))


def save(
    directory: Path,
    *,
    config: Config,
    preparer: Preparer,
    network: Network,
    calibrator: Calibrator,
    uncertainty: Uncertainty,
    guards: Guards,
    metrics: Mapping[str, Any],
    card: str,
    seen: Collection[str],
    backbone: Backbone | None = None,
) -> str:
    """Writes the artifact whole or not at all, in the place of what was there, and returns its digest. `seen` are the
    patients that training and calibration saw; `backbone` is what the network's towers come from."""
    building = directory.with_name(f".{directory.name}.building")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    architectures = {
        name: encoder.architecture
        for name, encoder in network.named_encoders()
        if isinstance(encoder, NoteTransformer | BackboneEncoder)
    }
    texts = {
        "config.json": dump(config),
        "preparer.json": _json(preparer.record()),
        "encoders.json": _json(architectures),
        "calibration.json": calibrator.to_json(),
        "decision.json": _json({"uncertainty": uncertainty.record(), "guards": guards.record()}),
        "patients.json": json.dumps(sorted({hashed(patient) for patient in seen})),
        "metrics.json": _json(metrics),
        "card.md": card,
    }
    if config.backbone is not None and backbone is not None:
        origin = {"digest": backbone.digest, "family": backbone.family, "path": str(config.backbone.path)}
        texts["origin.json"] = _json(origin | {"save": config.backbone.save})
    for name, text in texts.items():
        (building / name).write_text(text, encoding="utf-8")
    state = network.learned() if _adapters_only(config) else network.state_dict()
    save_file({name: w.detach().cpu().contiguous() for name, w in state.items()}, building / "weights.safetensors")
    save_file({name: array.cpu() for name, array in guards.state().items()}, building / "guards.safetensors")
    digest = _seal(building)
    shutil.rmtree(directory, ignore_errors=True)
    building.rename(directory)
    return digest


def load(directory: Path, sandbox: Sandbox, backbone: Path | None = None) -> Artifact:
    """The artifact, after every hash was checked. One that holds only what was trained takes the rest from the
    directory `backbone`, by default where it was when it was trained.

    Raises ArtifactError that lists every file at fault, or says which backbone is missing."""
    digest = verify(directory)
    config = parse(_read_json(directory / "config.json"), where=str(directory / "config.json"))
    preparer = recorded_preparer(config, _read_json(directory / "preparer.json"), sandbox)
    architectures = _read_json(directory / "encoders.json")
    if _adapters_only(config):
        towers = towers_for(config, _backbone_of(directory, config, backbone))
    else:
        towers = empty_towers(config, architectures)
    network = network_for(config, preparer, [0.0] * len(config.targets), towers=towers, architectures=architectures)
    take = network.load_learned if _adapters_only(config) else network.load_state_dict
    try:
        take(load_file(directory / "weights.safetensors"))
    except (SafetensorError, RuntimeError) as error:
        raise ArtifactError("the weights do not fit the config", where=str(directory)) from error
    calibrator = Calibrator.from_json((directory / "calibration.json").read_text(encoding="utf-8"))
    decision = _read_json(directory / "decision.json")
    uncertainty = Uncertainty.from_record(decision.get("uncertainty"))
    state = load_file(directory / "guards.safetensors")
    guards = Guards.restore(state, decision.get("guards", {}), preparer.modalities)
    return Artifact(digest, config, preparer, network, calibrator, uncertainty, guards)


def _adapters_only(config: Config) -> bool:
    return config.backbone is not None and config.backbone.save == "adapters"


def _backbone_of(directory: Path, config: Config, path: Path | None) -> Backbone | None:
    """The backbone that was used in training, from `path` or where it was. Raises ArtifactError if it is not there."""
    wanted = _read_json(directory / "origin.json")["digest"]
    place = path or (config.backbone.path if config.backbone else Path())
    try:
        found = describe(place)["digest"]
        if found != wanted:
            raise BackboneError(f"is another backbone, {found[:12]}", where=str(place))
        return opened(config, place)
    except BackboneError as error:
        raise ArtifactError(
            f"holds only what was trained, and needs the backbone {wanted}, but {error.where} {error.what}",
            where=str(directory),
            mend='name its directory (--backbone), or train again with backbone.save = "whole"',
        ) from error


def seen_patients(directory: Path) -> frozenset[str]:
    """Hashes of the patients that this model was trained or calibrated on: see `pseudonyms.hashed`."""
    try:
        return frozenset(json.loads((directory / "patients.json").read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise ArtifactError("does not say which patients it has seen", where=str(directory)) from error


def verify(directory: Path) -> str:
    """The digest of an artifact whose files all are what its manifest says. Raises ArtifactError that lists every
    missing, changed or extra file."""
    manifest = _read_json(directory / "manifest.json")
    if manifest.get("format") != FORMAT:
        raise ArtifactError("is of an unknown format", where=str(directory), mend=f"train it again for {FORMAT}")
    files = manifest["files"]
    faults = [f"{name} is missing" for name in sorted({*files, *_PARTS}) if not (directory / name).is_file()]
    faults += [f"{path.name} is not in the manifest" for path in _files(directory) if path.name not in files]
    faults += [
        f"{name} was changed"
        for name, expected in sorted(files.items())
        if (directory / name).is_file() and _sha256(directory / name) != expected
    ]
    if faults:
        raise ArtifactError("; ".join(faults), where=str(directory), mend="restore it from where it was trained")
    return _sha256(directory / "manifest.json")


def _seal(directory: Path) -> str:
    """Writes the manifest, makes all of it durable, and returns the digest."""
    files = {path.name: _sha256(path) for path in _files(directory)}
    versions = {"clinimm": clinimm.__version__, "torch": torch.__version__.partition("+")[0]}
    manifest = directory / "manifest.json"
    manifest.write_text(_json({"format": FORMAT, "versions": versions, "files": files}), encoding="utf-8")
    for path in [*directory.iterdir(), directory]:
        handle = os.open(path, os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)
    return _sha256(manifest)


def _files(directory: Path) -> list[Path]:
    return sorted(path for path in directory.iterdir() if path.name != "manifest.json")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _json(values: Mapping[str, Any]) -> str:
    return json.dumps(values, sort_keys=True, indent=1, allow_nan=False)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ArtifactError(
            "cannot be read", where=str(path), mend="give the directory that clinimm train wrote"
        ) from error
    if not isinstance(values, dict):
        raise ArtifactError("is not a JSON object", where=str(path))
    return values
