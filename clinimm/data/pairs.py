"""Pictures and texts of a manifest, whatever config says where they are: an input named "image", one named "text"."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor

from clinimm.config import Config, Data, ImageInput, PretrainConfig, TextInput, ZeroShotConfig
from clinimm.config.inputs import Picture, Written
from clinimm.data.picture_door import PictureDoor
from clinimm.errors import ConfigError, InputError
from clinimm.io.manifest import Columns, ImageColumn, InputColumns, NoteColumn, read_manifest
from clinimm.io.sandbox import Sandbox
from clinimm.types import Case, ImageFile, Kind, Modality

IMAGE, TEXT = "image", "text"
BLOCK = 32  # pictures in memory at once

Looked = Float[Tensor, "1 ..."] | str | None
"""The pixels of a case's picture, the code of why it cannot be read, or None where the case has none."""


@dataclass(frozen=True)
class Source:
    """Where the pictures and the texts are, and by which columns the targets go."""

    data: Data
    image: Picture | None
    text: Written | None
    targets: Mapping[str, str] = field(default_factory=dict)


def source_of(config: Config | PretrainConfig | ZeroShotConfig) -> Source:
    """What a config says of pictures and texts: of a diagnosis model's inputs, the first of each kind."""
    if isinstance(config, PretrainConfig):
        return Source(config.data, config.image, config.text, config.data.labels)
    targets = {target.name: target.source for target in config.targets}
    if isinstance(config, ZeroShotConfig):
        return Source(config.data, config.image, None, targets)
    inputs = config.inputs.values()
    image = next((section for section in inputs if isinstance(section, ImageInput)), None)
    text = next((section for section in inputs if isinstance(section, TextInput)), None)
    return Source(config.data, image, text, targets)


def read_pairs(
    source: Source, manifest: Path, data_dir: Path, folds: Sequence[str] = (), *, labelled: bool = False
) -> list[Case]:
    """The manifest's cases, of those `folds` or all. Unless `labelled`, columns that only training needs may be
    missing.

    Raises ManifestError, and ConfigError if no case is in the folds."""
    columns = _columns(source)
    needed = {source.data.fold_column} if folds else set()
    spared = frozenset() if labelled else frozenset((*columns.targets.values(), *columns.kept)) - needed
    cases = read_manifest(manifest, replace(columns, optional=spared), root=data_dir)
    kept = [case for case in cases if not folds or case.attributes.get(source.data.fold_column or "") in folds]
    if not kept:
        raise ConfigError("no case is in them", where="folds", mend="name values of the config's data.fold_column")
    return kept


def picture_door(picture: Picture, size: Sequence[int], sandbox: Sandbox) -> PictureDoor:
    """A door that gives pixels in [0, 1] of `size`, as towers take them."""
    return PictureDoor(Modality(IMAGE, Kind.IMAGE, (1, *size)), sandbox, picture.window, mean=0.0, std=1.0)


def look(
    cases: Iterable[Case], door: PictureDoor, *, workers: int = 1, on_done: Callable[[int], None] = lambda _: None
) -> Iterator[list[tuple[Case, Looked]]]:
    """The cases with what their pictures show, a block at a time; `on_done` hears how many were looked at."""

    def one(case: Case) -> Looked:
        given = case.inputs.get(IMAGE)
        if not isinstance(given, ImageFile):
            return None
        try:
            return door.pixels(given)[0]
        except InputError as error:
            return error.code

    waiting, done = iter(cases), 0
    with ThreadPoolExecutor(max(1, workers)) as pool:
        while block := list(islice(waiting, BLOCK)):
            yield list(zip(block, pool.map(one, block), strict=True))
            done += len(block)
            on_done(done)


def _columns(source: Source) -> Columns:
    data, image, text = source.data, source.image, source.text
    inputs: dict[str, InputColumns] = {}
    if image is not None:
        inputs[IMAGE] = ImageColumn(image.column, image.time_column, image.crop_columns)
    if text is not None:
        inputs[TEXT] = NoteColumn(text.column, text.time_column, text.files)
    named: dict[str, Any] = {"split": data.split_column, "fold": data.fold_column, "attributes": data.attributes}
    return Columns(
        data.case_id, data.patient_id, index_time=data.index_time, inputs=inputs, targets=source.targets, **named
    )
