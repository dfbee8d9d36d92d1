"""Foreign files: whatever way the tensors are wrapped they are read; what is damaged or calls code is refused unrun."""

import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from small_foreign import assert_same_tensors

from clinimm.backbone.foreign import read_checkpoint, write_checkpoint
from clinimm.errors import BackboneError

TENSORS = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.ones(2).half(), "n": torch.tensor(3)}


class Evil:
    """Unpickled by hand it makes a file; read by us it must not."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.marker),)


def zipped(path: Path, *names: str) -> Path:
    inside = io.BytesIO()
    torch.save(TENSORS, inside)
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, inside.getvalue())
        archive.writestr("readme.txt", "weights")
    return path


def shards(folder: Path, **named: str) -> Path:
    folder.mkdir()
    for file in set(named.values()):
        if Path(file).name == file:
            save_file(
                {name: TENSORS[name] for name, at in zip(TENSORS, named.values(), strict=True) if at == file},
                folder / file,
            )
    index = {"weight_map": dict(zip(TENSORS, named.values(), strict=True))}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


WAYS: dict[str, Callable[[Path], Any]] = {
    "safetensors": lambda path: save_file(TENSORS, path.with_suffix(".safetensors")),
    "torch": lambda path: torch.save(TENSORS, path.with_suffix(".bin")),
    "torch before 1.6": lambda path: torch.save(
        TENSORS, path.with_suffix(".pth"), _use_new_zipfile_serialization=False
    ),
    "wrapped": lambda path: torch.save({"state_dict": TENSORS, "epoch": 3}, path.with_suffix(".pt")),
    "module.": lambda path: torch.save({f"module.{k}": v for k, v in TENSORS.items()}, path.with_suffix(".pt")),
    "zip": lambda path: zipped(path.with_suffix(".zip"), "best/pytorch_model.bin"),
    "shards": lambda path: shards(path, a="one.safetensors", b="two.safetensors", c="one.safetensors"),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_wrapping_gives_the_same_tensors(way: str, tmp_path: Path) -> None:
    WAYS[way](tmp_path / "x")
    found = read_checkpoint(next(tmp_path.iterdir()))
    assert_same_tensors(found.tensors, TENSORS)
    assert (found.wrapper, found.prefix) == ("state_dict" * (way == "wrapped"), way * (way == "module."))


@pytest.mark.parametrize("ending", [".safetensors", ".bin"])
def test_what_is_written_is_read_again(ending: str, tmp_path: Path) -> None:
    write_checkpoint(tmp_path / f"w{ending}", TENSORS, wrapper="model", prefix="module.")
    found = read_checkpoint(tmp_path / f"w{ending}")
    assert_same_tensors(found.tensors, TENSORS)
    assert found.prefix == "module."
    assert found.wrapper == ("model" if ending == ".bin" else "")


@pytest.mark.parametrize("way", ["safetensors", "torch", "torch before 1.6", "zip"])
@pytest.mark.parametrize("kept", [0.0, 0.3, 0.95])
def test_a_file_cut_short_is_refused(way: str, kept: float, tmp_path: Path) -> None:
    WAYS[way](tmp_path / "x")
    path = next(tmp_path.iterdir())
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(BackboneError, match=r"cut short|its pickle calls torch"):
        read_checkpoint(path)


@pytest.mark.parametrize("new", [True, False])
@pytest.mark.parametrize("where", ["top", "inside", "zip"])
def test_code_in_a_pickle_does_not_run(new: bool, where: str, tmp_path: Path) -> None:
    marker, path = tmp_path / "marker", tmp_path / "evil.bin"
    content = Evil(marker) if where == "top" else TENSORS | {"evil": Evil(marker)}
    torch.save(content, path, _use_new_zipfile_serialization=new)
    if where == "zip":
        with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
            archive.write(path, "evil.bin")
        path = tmp_path / "evil.zip"
    with pytest.raises(BackboneError, match=r"its pickle calls posix\.mkdir"):
        read_checkpoint(path)
    assert not marker.exists()


def test_a_bare_pickle_does_not_run(tmp_path: Path) -> None:
    path = tmp_path / "evil.pt"
    path.write_bytes(pickle.dumps(Evil(tmp_path / "marker"), protocol=2))
    with pytest.raises(BackboneError):
        read_checkpoint(path)
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([torch.ones(2)], "holds a list"),
        ({"a": torch.ones(2), "lr": 0.1}, "more than plain tensors: lr"),
        ({"state_dict": {"a": "words"}}, "more than plain tensors: a"),
        ({"a": torch.eye(2).to_sparse()}, "more than plain tensors: a"),
        ({}, "holds no tensors"),
    ],
)
def test_what_holds_more_than_tensors_is_refused(content: object, said: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "x.bin")
    with pytest.raises(BackboneError, match=said):
        read_checkpoint(tmp_path / "x.bin")


def test_a_shard_that_is_missing_or_elsewhere_is_refused(tmp_path: Path) -> None:
    folder = shards(tmp_path / "x", a="one.safetensors", b="two.safetensors", c="one.safetensors")
    (folder / "two.safetensors").unlink()
    with pytest.raises(BackboneError, match=r"two\.safetensors is missing"):
        read_checkpoint(folder)
    with pytest.raises(BackboneError, match="is not a plain name"):
        read_checkpoint(shards(tmp_path / "y", a="../x/one.safetensors", b="../b", c="../../etc"))


def test_a_zip_or_folder_with_several_checkpoints_must_be_told_which(tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match="2 checkpoints"):
        read_checkpoint(zipped(tmp_path / "x.zip", "a.bin", "b.bin"))
    for name in ("a.pt", "b.pt"):
        torch.save(TENSORS, tmp_path / name)
    with pytest.raises(BackboneError, match=r"several: a\.pt, b\.pt"):
        read_checkpoint(tmp_path)
    with pytest.raises(BackboneError, match="neither"):
        read_checkpoint(tmp_path / "absent")
