"""An index: unit vectors of pictures, texts or whole cases by one model, and whose they are. No text, no pixels.

index.json            format, which model made it and how pictures are read, hashes
items.json            for each vector: case, patient, kind, the first vector of the same patient's same content, and
                      whether the model has seen the patient
vectors.safetensors   (n, e) float32, of length 1"""

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from clinimm.errors import ClinimmError

FORMAT = "clinimm.index/1"
IMAGE, TEXT, CASE = "image", "text", "case"
_COLUMNS = ("case_ids", "patient_ids", "kinds", "contents")


@dataclass(frozen=True)
class Index:
    """n vectors. `model` is the digest of the backbone or artifact that made them. Vectors of one patient whose content
    is the very same (a note sent with two films) share a number in `contents`: the row of the first of them. `about`
    holds, as JSON types, where the model lay and how pictures were read; `facts` counts what was left out and cut.
    `seen` says of which vectors the model was trained or pretrained on the patient; None where that is not known."""

    model: str
    case_ids: tuple[str, ...]
    patient_ids: tuple[str, ...]
    kinds: tuple[str, ...]
    contents: tuple[int, ...]
    vectors: Float[np.ndarray, "n e"]
    about: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    seen: tuple[bool, ...] | None = None

    def __len__(self) -> int:
        return len(self.case_ids)

    def rows(self, kind: str) -> Int[np.ndarray, " r"]:
        """The rows of that kind."""
        return np.flatnonzero(np.asarray(self.kinds, dtype=object) == kind)

    def row(self, case_id: str, kind: str) -> int | None:
        """The row of a case's vector of that kind."""
        found = (i for i, both in enumerate(zip(self.case_ids, self.kinds, strict=True)) if both == (case_id, kind))
        return next(found, None)


def save(directory: Path, index: Index) -> None:
    """Writes the directory whole or not at all, in the place of what was there."""
    building = directory.with_name(f".{directory.name}.building")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    save_file({"vectors": np.ascontiguousarray(index.vectors, dtype=np.float32)}, building / "vectors.safetensors")
    _write(building / "items.json", {name: getattr(index, name) for name in (*_COLUMNS, "seen")})
    about = {"format": FORMAT, "model": index.model, "about": dict(index.about), "facts": dict(index.facts)}
    _write(building / "index.json", about | {"files": {p.name: _sha256(p) for p in sorted(building.iterdir())}})
    shutil.rmtree(directory, ignore_errors=True)
    building.rename(directory)


def load(directory: Path) -> Index:
    """The index, after every hash was checked. Raises ClinimmError that lists every file at fault."""
    about = _read(directory / "index.json")
    if about.get("format") != FORMAT:
        raise ClinimmError("is of an unknown format", where=str(directory), mend="make it again: clinimm index")
    faults = [
        f"{name} {'was changed' if (directory / name).is_file() else 'is missing'}"
        for name, expected in sorted(about["files"].items())
        if not (directory / name).is_file() or _sha256(directory / name) != expected
    ]
    if faults:
        raise ClinimmError("; ".join(faults), where=str(directory), mend="make it again: clinimm index")
    items = _read(directory / "items.json")
    try:
        vectors = load_file(directory / "vectors.safetensors")["vectors"]
    except (SafetensorError, KeyError) as error:
        raise ClinimmError("holds no vectors", where=str(directory), mend="make it again: clinimm index") from error
    columns: dict[str, Any] = {name: tuple(items[name]) for name in _COLUMNS}
    if items.get("seen") is not None:  # an older index does not say
        columns["seen"] = tuple(items["seen"])
    return Index(model=about["model"], vectors=vectors, about=about["about"], facts=about["facts"], **columns)


def _write(path: Path, values: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=1, allow_nan=False), encoding="utf-8")


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise ClinimmError("is not an index", where=str(path.parent), mend="make one: clinimm index") from error


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
