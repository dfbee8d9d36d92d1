"""Foreign checkpoints: the one place of clinimm that reads other people's pickles, and only tensors in them.

Runs by hand, offline, never in the service. torch's unpickler is told `weights_only`: it builds tensors and plain
containers and refuses every other call, and there is no way round that here."""

import hashlib
import json
import pickle
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Shaped
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from clinimm.errors import BackboneError

_PICKLES = (".bin", ".pt", ".pth", ".ckpt")
_ENDINGS = (".safetensors", *_PICKLES)
_NAMES = (
    "model.safetensors.index.json", "model.safetensors", "open_clip_model.safetensors",
    "pytorch_model.bin.index.json", "pytorch_model.bin", "open_clip_pytorch_model.bin",
)  # fmt: skip  # in a directory, the first of these that is there
_CONFIGS = ("config.json", "open_clip_config.json")
_WRAPPERS = ("state_dict", "model_state_dict", "model")
_PREFIX = "module."  # what DataParallel puts before every name
_MEND_PICKLE = "have its owner save the state dict alone, best as safetensors; clinimm runs no code out of a checkpoint"


@dataclass(frozen=True)
class Checkpoint:
    """Tensors under their original names, less `prefix`, which all of them had. `wrapper` is the entry of the file
    that held them, empty if they were at its top. `config` is the JSON beside them, {} if there is none. `directory`
    is where tokenizer files may lie. `sha256` is of the file, or of its shards one after another."""

    path: Path
    tensors: Mapping[str, Tensor]
    config: Mapping[str, Any]
    directory: Path | None
    sha256: str
    wrapper: str = ""
    prefix: str = ""


def read_checkpoint(path: Path) -> Checkpoint:
    """What a file (.safetensors, .bin, .pt, .pth, .ckpt, or a .zip that holds one) or a directory with one (in shards,
    too) holds. Raises BackboneError if it is cut short, no checkpoint, calls code, or holds more than tensors."""
    if path.is_dir():
        files, directory = _in_directory(path), path
    elif path.is_file():
        files, directory = [path], path.parent
    else:
        raise BackboneError("is neither a file nor a directory", where=str(path))
    content: dict[str, Any] = {}
    for file in files:
        with _unzipped(file) as real:
            part = _read(real, str(file))
        if doubled := sorted(content.keys() & part.keys()):
            raise BackboneError(f"tensors are in two shards: {', '.join(doubled)}", where=str(path))
        content |= part
    wrapper, content = _unwrapped(content, str(path))
    prefix = _PREFIX if all(name.startswith(_PREFIX) for name in content) else ""
    return Checkpoint(
        path=path,
        tensors={name.removeprefix(prefix): tensor for name, tensor in content.items()},
        config=_config(directory),
        directory=directory,
        sha256=_sha256(files),
        wrapper=wrapper,
        prefix=prefix,
    )


def write_checkpoint(path: Path, tensors: Mapping[str, Tensor], *, wrapper: str = "", prefix: str = "") -> None:
    """Writes the tensors as a checkpoint, safetensors or torch's own by the ending of `path`. The wrapper cannot be
    kept in safetensors. Raises BackboneError for another ending."""
    from safetensors.torch import save_file

    named = {prefix + name: tensor.contiguous().clone() for name, tensor in tensors.items()}
    building = path.with_name(f".{path.name}.building")
    if path.suffix == ".safetensors":
        save_file(named, building, {"format": "pt"})
    elif path.suffix in _PICKLES:
        torch.save({wrapper: named} if wrapper else named, building)
    else:
        raise BackboneError("has an unknown ending", where=str(path), mend=f"end it in {', '.join(_ENDINGS)}")
    building.replace(path)


def _in_directory(path: Path) -> list[Path]:
    found = next((path / name for name in _NAMES if (path / name).is_file()), None)
    if found is None:
        loose = sorted(file for file in path.iterdir() if file.suffix in (*_ENDINGS, ".zip"))
        if len(loose) == 1:
            return loose
        said = f"holds several: {', '.join(file.name for file in loose)}" if loose else "holds no checkpoint"
        raise BackboneError(said, where=str(path), mend="name the file itself")
    return _shards(found) if found.suffix == ".json" else [found]


def _shards(index: Path) -> list[Path]:
    names = _json(index).get("weight_map", {})
    if not isinstance(names, dict) or not names:
        raise BackboneError("has no weight_map", where=str(index))
    files = sorted(set(names.values()))
    faults = [f"{name!r} is not a plain name" for name in files if Path(str(name)).name != name]
    faults += [f"{name} is missing" for name in files if not faults and not (index.parent / name).is_file()]
    if faults:
        raise BackboneError("; ".join(faults), where=str(index), mend="fetch the checkpoint again, with every shard")
    return [index.parent / name for name in files]


@contextmanager
def _unzipped(path: Path) -> Iterator[Path]:
    """The file itself, or the one checkpoint inside a zip, unpacked for as long as it is read. torch's own files are
    zips, too: they hold a data.pkl."""
    if not zipfile.is_zipfile(path):
        yield path
        return
    with zipfile.ZipFile(path) as archive:
        members = [member for member in archive.namelist() if not member.endswith("/")]
        if any(Path(member).name == "data.pkl" for member in members):
            yield path
            return
        inside = [member for member in members if Path(member).suffix in _ENDINGS]
        if len(inside) != 1:
            raise BackboneError(f"is a zip with {len(inside)} checkpoints, not 1", where=str(path))
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder) / f"inside{Path(inside[0]).suffix}"
            try:
                with archive.open(inside[0]) as source, target.open("wb") as sink:
                    shutil.copyfileobj(source, sink)
            except (zipfile.BadZipFile, OSError, EOFError) as error:
                raise _damaged(str(path)) from error
            yield target


def _read(path: Path, where: str) -> dict[str, Any]:
    if path.suffix == ".safetensors":
        try:
            return dict(load_file(path))
        except (SafetensorError, OSError, ValueError) as error:
            raise _damaged(where) from error
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        raise _refused(str(error), where) from error
    except Exception as error:  # of foreign bytes torch's reader raises nearly anything
        raise _damaged(where) from error
    if not isinstance(content, dict):
        raise BackboneError(f"holds a {type(content).__name__}, not tensors by name", where=where, mend=_MEND_PICKLE)
    return content


def _refused(said: str, where: str) -> BackboneError:
    """torch says which call it refused in prose that also tells how to allow it: only the name is passed on."""
    named = re.search(r"GLOBAL ([\w.]+)", said) or re.search(r"global:? ([\w.]+\.\w+)", said)
    if named is None:
        return _damaged(where)
    return BackboneError(
        f"its pickle calls {named[1]}, which is no tensor; nothing ran", where=where, mend=_MEND_PICKLE
    )


def _damaged(where: str) -> BackboneError:
    return BackboneError("is cut short, damaged, or no checkpoint", where=where, mend="fetch the file again")


def _unwrapped(content: dict[str, Any], where: str) -> tuple[str, dict[str, Shaped[Tensor, "..."]]]:
    """The entry that holds the tensors, empty for the top, and they."""
    wrapper = next((name for name in _WRAPPERS if isinstance(content.get(name), dict)), "")
    inner = content[wrapper] if wrapper else content
    others = [str(name) for name, value in inner.items() if not (isinstance(name, str) and _plain(value))]
    if others or not inner:
        said = f"holds more than plain tensors: {', '.join(others)}" if others else "holds no tensors"
        raise BackboneError(said, where=where, mend=_MEND_PICKLE)
    return wrapper, dict(inner)


def _plain(value: object) -> bool:
    """Whether it is a tensor with a value at each place: not sparse, quantized or without a memory."""
    return (
        isinstance(value, Tensor)
        and value.layout == torch.strided
        and not value.is_quantized
        and value.device.type == "cpu"
    )


def _config(directory: Path) -> dict[str, Any]:
    return next((_json(directory / name) for name in _CONFIGS if (directory / name).is_file()), {})


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BackboneError("is not JSON", where=str(path)) from error
    if not isinstance(content, dict):
        raise BackboneError("is not a JSON object", where=str(path))
    return content


def _sha256(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as handle:
            while block := handle.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
