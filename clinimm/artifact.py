"""A trained model on disk: safetensors and JSON, every file hashed, nothing pickled.

manifest.json     format, versions, and the SHA-256 of every other file; its own SHA-256 is the artifact's digest
config.json       the run's settings
preparer.json     what was fitted to turn cases into batches
encoders.json     architectures of text encoders and of a backbone's towers
members.json      what the committee is made of, and hashes of the patients held out from each fold's members
origin.json       the backbone that was used: its digest, and where it was
weights.safetensors
calibration.json
decision.json     conformal sets, what disagreement of inputs is normal, and the guards without their arrays
guards.safetensors  the guards' arrays
patients.json     hashes of the patients it was trained and calibrated on, so that none of them is tested on
metrics.json      the evaluation
subgroups.json    the same by subgroups of patients, where the config keeps attributes
card.md           the model card"""

import hashlib
import json
import os
import shutil
from collections.abc import Collection, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

import clinimm
from clinimm.assembly import (
    architectures_of,
    empty_learner,
    fill,
    members_record,
    network_for,
    state_of,
    with_empty_readout,
)
from clinimm.backbone.directory import Backbone, describe
from clinimm.backbone.use import empty_towers, opened, towers_for
from clinimm.calibration import Calibrator
from clinimm.config import Config, dump, parse
from clinimm.data.doors import recorded_preparer
from clinimm.data.prepare import Preparer
from clinimm.decision import Uncertainty
from clinimm.errors import ArtifactError, BackboneError
from clinimm.guard.guards import Guards
from clinimm.io.sandbox import Sandbox
from clinimm.models.committee import Committee
from clinimm.models.network import Network
from clinimm.pseudonyms import hashed

FORMAT = "clinimm.artifact/2"
_PARTS = (
    "config.json", "preparer.json", "encoders.json", "members.json", "weights.safetensors", "calibration.json",
    "decision.json", "guards.safetensors", "patients.json",
)  # fmt: skip


@dataclass(frozen=True)
class Provenance:
    """What an artifact says of itself: the SHA-256 of each of its files, the `versions` it was made with, and the
    evaluation that it brought along, by subgroups too. Empty for a model that was never on disk."""

    files: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    subgroups: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True)
class Artifact:
    digest: str
    config: Config
    preparer: Preparer
    network: Committee
    calibrator: Calibrator
    uncertainty: Uncertainty
    guards: Guards
    provenance: Provenance


def save(
    directory: Path,
    *,
    config: Config,
    preparer: Preparer,
    network: Committee,
    calibrator: Calibrator,
    uncertainty: Uncertainty,
    guards: Guards,
    metrics: Mapping[str, Any],
    card: str,
    seen: Collection[str],
    held_out: Sequence[Collection[str]],
    subgroups: Sequence[Mapping[str, Any]] = (),
    backbone: Backbone | None = None,
) -> str:
    """Writes the artifact whole or not at all, in the place of what was there, and returns its digest. `seen` are the
    patients that training and calibration saw, `held_out` those that each fold's members did not; `backbone` is what
    the networks' towers come from."""
    building = directory.with_name(f".{directory.name}.building")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    texts = {
        "config.json": dump(config),
        "preparer.json": _json(preparer.record()),
        "encoders.json": _json(architectures_of(network.networks[0])),
        "members.json": _json(members_record(network) | {"held_out": [_hashes(one) for one in held_out]}),
        "calibration.json": calibrator.to_json(),
        "decision.json": _json({"uncertainty": uncertainty.record(), "guards": guards.record()}),
        "patients.json": json.dumps(_hashes(seen)),
        "metrics.json": _json(metrics),
        "card.md": card,
    }
    if subgroups:
        texts["subgroups.json"] = json.dumps({"targets": list(subgroups)}, allow_nan=False)
    if config.backbone is not None and backbone is not None:
        origin = {"digest": backbone.digest, "family": backbone.family, "path": str(config.backbone.path)}
        texts["origin.json"] = _json(origin | {"save": config.backbone.save})
    for name, text in texts.items():
        (building / name).write_text(text, encoding="utf-8")
    save_file(state_of(network, adapters_only=_adapters_only(config)), building / "weights.safetensors")
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
    network = _committee(directory, config, preparer, backbone)
    calibrator = Calibrator.from_json((directory / "calibration.json").read_text(encoding="utf-8"))
    decision = _read_json(directory / "decision.json")
    uncertainty = Uncertainty.from_record(decision.get("uncertainty"))
    state = load_file(directory / "guards.safetensors")
    guards = Guards.restore(state, decision.get("guards", {}), preparer.modalities)
    return Artifact(digest, config, preparer, network, calibrator, uncertainty, guards, _provenance(directory))


def _provenance(directory: Path) -> Provenance:
    manifest = _read_json(directory / "manifest.json")
    told = {
        name: _read_json(directory / f"{name}.json") if f"{name}.json" in manifest["files"] else {}
        for name in ("metrics", "subgroups")
    }
    return Provenance(manifest["files"], manifest["versions"], told["metrics"], told["subgroups"].get("targets", ()))


def _committee(directory: Path, config: Config, preparer: Preparer, backbone: Path | None) -> Committee:
    """The committee in `directory`, filled. Raises ArtifactError."""
    architectures, members = _read_json(directory / "encoders.json"), _read_json(directory / "members.json")
    kept = _backbone_of(directory, config, backbone) if _adapters_only(config) else None
    unknown = [0.0] * len(config.targets)

    def built() -> Network:
        towers = towers_for(config, deepcopy(kept)) if kept is not None else empty_towers(config, architectures)
        return network_for(config, preparer, unknown, towers=towers, architectures=architectures)

    nets = [with_empty_readout(built(), members) for _ in members["held_out"]]
    committee = Committee(nets, empty_learner(config, preparer, members["learner"], unknown))
    try:
        fill(committee, load_file(directory / "weights.safetensors"), adapters_only=_adapters_only(config))
    except (SafetensorError, RuntimeError, KeyError) as error:
        raise ArtifactError("the weights do not fit the config", where=str(directory)) from error
    return committee


def held_out_patients(directory: Path) -> list[frozenset[str]]:
    """For each fold, hashes of the patients that its members were not trained on."""
    return [frozenset(one) for one in _read_json(directory / "members.json")["held_out"]]


def _hashes(patients: Collection[str]) -> list[str]:
    return sorted({hashed(patient) for patient in patients})


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
