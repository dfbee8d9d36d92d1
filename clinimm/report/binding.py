"""What an answer hangs on: the bytes that came in, the tensors that the model saw, its files, the machine's settings.

With all of these equal, a replay gives the same bits; where it does not, `differences` says which of them changed."""

import hashlib
import json
import platform
import sys
from functools import cache
from importlib.metadata import version
from pathlib import Path

import torch
from torch import Tensor

import clinimm
from clinimm.batch import Batch
from clinimm.config import dump
from clinimm.inference import Predictor
from clinimm.report.canonical import Json
from clinimm.types import Input, Measurements, Note

PACKAGES = ("torch", "captum", "numpy", "scipy", "pydicom", "monai", "transformers", "tokenizers", "pillow")
_WIDTHS = {torch.float32: "<f4", torch.float64: "<f8", torch.int64: "<i8", torch.int32: "<i4", torch.bool: "|b1"}


def fingerprint(given: Input) -> str | None:
    """SHA-256 of what was handed in: a file's bytes, the joined digests of a series' files, a note's text, or a panel
    as JSON. None if a file has gone."""
    if isinstance(given, Note):
        return sha256(given.text)
    if isinstance(given, Measurements):
        return sha256(json.dumps(sorted([m.name, m.unit, repr(m.value)] for m in given.values)))
    try:
        files = [hashlib.sha256(path.read_bytes()).hexdigest() for path in given.paths]
    except OSError:
        return None
    return files[0] if len(files) == 1 else sha256("".join(files))


def tensors(batch: Batch) -> Json:
    """Of each input, every tensor that the model was given of it: its type, shape and fingerprint."""
    return {
        name: {
            part: tensor_fingerprint(tensor)
            for part in ("values", "present", "mask", "quality")
            if (tensor := getattr(given, part)) is not None
        }
        for name, given in batch.modalities.items()
    }


def tensor_fingerprint(tensor: Tensor) -> Json:
    """`sha256` is of the line `dtype shape`, such as `<f4 [1, 1, 224, 224]`, and then the values in row order, in
    little-endian bytes."""
    dtype, shape = _WIDTHS[tensor.dtype], list(tensor.shape)
    values = tensor.detach().cpu().contiguous().numpy().astype(dtype, copy=False)
    found = hashlib.sha256(f"{dtype} {shape}\n".encode() + values.tobytes())
    return {"dtype": dtype, "shape": shape, "sha256": found.hexdigest()}


def model(predictor: Predictor) -> Json:
    """The artifact: its digest, the hash of each of its files, and what it was made with. Of a predictor that was never
    on disk only the config is known."""
    made = predictor.provenance
    return {
        "name": predictor.config.name,
        "digest": predictor.digest,
        "config_sha256": sha256(dump(predictor.config)),
        "files": dict(sorted(made.files.items())),
        "made_with": dict(sorted(made.versions.items())),
    }


def generator() -> Json:
    """The code that made the record, by version."""
    return {
        "clinimm": clinimm.__version__,
        "code_sha256": _code(),
        "python": platform.python_version(),
        **{name: version(name).partition("+")[0] for name in PACKAGES},
    }


@cache
def _code() -> str:
    """SHA-256 over every module of the library, as it lies on disk: a version says less of a checkout."""
    root = Path(clinimm.__file__).parent
    found = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        found.update(f"{path.relative_to(root).as_posix()}\n".encode() + path.read_bytes())
    return found.hexdigest()


def settings(predictor: Predictor) -> Json:
    """What besides the code decides the last bit of a sum: the machine, its threads and torch's own switches."""
    return {
        "system": platform.system(),
        "machine": platform.machine(),
        "byte_order": sys.byteorder,
        "device": str(predictor.device),
        "vector_instructions": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "onednn": bool(torch.backends.mkldnn.enabled),
        "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
        "float32_precision": torch.get_float32_matmul_precision(),
    }


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
