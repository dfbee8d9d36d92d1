"""What an artifact's JSON says of it: enough to judge what comes in and to tell who asks, without a net in memory."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clinimm.config import Config, parse
from clinimm.errors import ArtifactError
from clinimm.registry import Entry, Registry
from clinimm.types import Modality


@dataclass(frozen=True)
class Model:
    """`digest` names the artifact: the SHA-256 of its manifest, which names every file of it. `promotion` is what let
    it answer, None where it was not promoted. `versions` are of what it was made with; `subgroups` its evaluation by
    groups of patients, `calibration` and `guards` its lines and levels by target and by input: each empty where the
    artifact has none."""

    digest: str
    config: Config
    metrics: Mapping[str, Any]
    card: str
    promotion: Entry | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    subgroups: Sequence[Mapping[str, Any]] = ()
    calibration: Mapping[str, Any] = field(default_factory=dict)
    guards: Mapping[str, Any] = field(default_factory=dict)

    @property
    def modalities(self) -> tuple[Modality, ...]:
        return self.config.modalities()


def read(directory: Path, registry: Path | None = None) -> Model:
    """What the artifact says of itself, and what the registry, if there is one, says of it.

    Raises ArtifactError if a part is missing or is not JSON, ConfigError if its config is not one of ours."""
    manifest = _bytes(directory / "manifest.json")
    told = _json(directory / "manifest.json")
    files = told.get("files", {})
    config = parse(_json(directory / "config.json"), where=str(directory / "config.json"))
    card = _bytes(directory / "card.md").decode("utf-8", "replace")
    digest = hashlib.sha256(manifest).hexdigest()
    promotion = None if registry is None else Registry(registry).promotion(digest)
    parts = {
        name: _json(directory / f"{name}.json") if f"{name}.json" in files else {}
        for name in ("subgroups", "calibration", "decision")
    }
    return Model(
        digest,
        config,
        _json(directory / "metrics.json"),
        card,
        promotion,
        versions=told.get("versions", {}),
        subgroups=parts["subgroups"].get("targets", ()),
        calibration=parts["calibration"],
        guards=parts["decision"].get("guards", {}),
    )


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(_bytes(path))
    except ValueError as error:
        raise ArtifactError("is not JSON", where=str(path), mend="train the model again") from error
    return value if isinstance(value, dict) else {"values": value}


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ArtifactError(
            "cannot be read", where=str(path), mend="give the directory that `clinimm train` wrote"
        ) from error
