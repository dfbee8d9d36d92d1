"""Names for what is kept: the same input, model, code and machine, or another name."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import distributions
from pathlib import Path

import torch

import clinimm
from clinimm.features.found import Found
from clinimm.features.store import Features
from clinimm.types import ImageFile, Input, Measurements, Note


@dataclass(frozen=True)
class Shelf:
    """What one model keeps. `maker` is a hash of all, but the input, that decides what is found in an input."""

    features: Features
    maker: str

    @classmethod
    def of(cls, features: Features, artifact: str, device: torch.device) -> "Shelf":
        """The shelf of the artifact with this digest, at work on `device`."""
        return cls(features, _hash(artifact, *machine(device), *software()))

    def find_or_make(self, step: str, modality: str, given: Input, make: Callable[[], Found]) -> Found:
        """What `make` gives for this input, from the shelf if it lies there. An error of `make` is raised, not kept:
        a file that could not be read may be readable tomorrow."""
        content = content_of(given)
        if content is None:
            return make()
        name = _hash(self.maker, step, modality, content)
        found = self.features.read(name)
        if found is None:
            found = make()
            self.features.write(name, found)
        return found


def content_of(given: Input) -> str | None:
    """A hash of all that an input holds but its times, which are judged anew whenever it is asked about. None where the
    sender does not say which bytes an image's files hold, and for measurements, which cost nothing to read again."""
    match given:
        case ImageFile(digests=()) | Measurements():
            return None
        case ImageFile():
            return _hash("image", *given.digests, str(given.crop))
        case Note():
            return _hash("note", given.text, *given.flags)


def machine(device: torch.device) -> tuple[str, ...]:
    """What of a machine may change the last bits of a sum."""
    chip = torch.cuda.get_device_name(device) if device.type == "cuda" else torch.backends.cpu.get_cpu_capability()
    return str(device), chip, str(torch.get_num_threads())


@cache
def software() -> tuple[str, ...]:
    """Our own code, by its hash, and the versions of all that is installed beside it: a decoder's upgrade may change a
    picture."""
    code, root = hashlib.sha256(), Path(clinimm.__file__).parent
    for path in sorted(root.rglob("*.py")):
        code.update(f"{path.relative_to(root)}\n".encode() + path.read_bytes())
    return code.hexdigest(), *sorted({f"{one.name} {one.version}" for one in distributions()})


def _hash(*parts: str) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
