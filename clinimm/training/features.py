"""What frozen towers read in the cases, computed once and kept on disk: an epoch then costs only what is above them."""

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from clinimm.batch import Batch, ModalityBatch, Tokens
from clinimm.models.backbone_encoder import BackboneEncoder
from clinimm.models.network import Network


@dataclass(frozen=True)
class _Reader:
    """The encoder whose tower reads, and a hash of all that decides what it reads."""

    encoder: BackboneEncoder
    digest: str


@dataclass(frozen=True)
class Features:
    """Hidden tokens of frozen towers, a file per case and input in `folder`.

    Tokens are computed in float32 from one case at a time, so they do not depend on who stands beside whom. A file's
    name is a hash of the tower's weights and of the case's prepared values: whatever else changes, it stays right, and
    folds and runs can share the folder. Writes are atomic, and a file that is torn or altered is made again."""

    folder: Path
    readers: Mapping[str, _Reader]

    @classmethod
    def of(cls, network: Network, names: Collection[str], folder: Path) -> "Features":
        """The features of the inputs `names`, whose encoders hold a frozen tower."""
        encoders = {name: cast(BackboneEncoder, network.encoders[name]) for name in names}
        return cls(folder, {name: _Reader(encoder, digest_of(encoder)) for name, encoder in encoders.items()})

    def add(self, batch: Batch, on_done: Callable[[], None] = lambda: None) -> Batch:
        """The batch, with what each tower reads in each case that has its input. `on_done` hears of each."""
        parts = dict(batch.modalities)
        for name, reader in self.readers.items():
            parts[name] = self._added(reader, parts[name], on_done)
        return replace(batch, modalities=parts)

    def _added(self, reader: _Reader, part: ModalityBatch, on_done: Callable[[], None]) -> ModalityBatch:
        rows = part.present.nonzero()[:, 0]
        found = []
        for row in rows:
            found.append(self._one(reader, part.rows(row[None])))
            on_done()
        if not found:
            return part
        real = Tokens.cat(found)
        values = real.values.new_zeros(len(part.present), *real.values.shape[1:]).index_copy(0, rows, real.values)
        mask = real.mask.new_zeros(len(part.present), real.mask.shape[1]).index_copy(0, rows, real.mask)
        return replace(part, encoded=Tokens(values, mask))

    def _one(self, reader: _Reader, part: ModalityBatch) -> Tokens:
        asked = {"values": part.values} | ({} if part.mask is None else {"mask": part.mask})
        path = self.folder / f"{hash_of(asked, reader.digest)}.safetensors"
        kept = read(path)
        if kept is None:
            kept = _hidden(reader.encoder, part)
            write(path, kept)
        return kept


@torch.no_grad()
def _hidden(encoder: BackboneEncoder, part: ModalityBatch) -> Tokens:
    here = part.to(next(encoder.tower.parameters()).device)
    hidden = encoder.hidden(encoder.embed(here.values), here.mask)
    return Tokens(hidden.values.float().cpu(), hidden.mask.cpu())


def digest_of(encoder: BackboneEncoder) -> str:
    """The SHA-256 of all that decides what a tower reads: architecture, weights, and how its input is brought to it."""
    about = json.dumps([encoder.architecture, encoder.scaling], sort_keys=True)
    return hash_of(encoder.tower.state_dict(), about)


def hash_of(tensors: Mapping[str, Tensor], about: str) -> str:
    """The SHA-256 of named tensors, types and shapes included, and of a text."""
    whole = hashlib.sha256(about.encode())
    for name, tensor in sorted(tensors.items()):
        whole.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        whole.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return whole.hexdigest()


def read(path: Path) -> Tokens | None:
    """The tokens in a file; None if there is none, or it is torn or altered."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except (OSError, SafetensorError):
        return None
    if set(tensors) != {"values", "mask"} or hash_of(tensors, "") != metadata.get("sha256"):
        return None
    return Tokens(tensors["values"], tensors["mask"])


def write(path: Path, tokens: Tokens) -> None:
    """Keeps the tokens; whoever reads meanwhile finds all of them or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {"values": tokens.values.contiguous(), "mask": tokens.mask.contiguous()}
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", suffix=".building", delete=False) as file:
        file.write(save(tensors, metadata={"sha256": hash_of(tensors, "")}))
    os.replace(file.name, path)
