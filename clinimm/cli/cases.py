"""Cases named on the command line: a manifest, or loose files."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clinimm.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clinimm.config import Config
    from clinimm.types import Case, Input, Modality

ManifestFile = Annotated[Path | None, typer.Argument(help="A manifest; leave it out and give --input instead.")]
Inputs = Annotated[
    list[str] | None,
    typer.Option("--input", help="name=PATH: an image or folder, a text file, or a CSV of name,value,unit."),
]


def chosen_cases(config: "Config", manifest: Path | None, data: Path | None, inputs: list[str] | None) -> list["Case"]:
    """The cases of a manifest, whose labels need not be known, or the one that loose files make. Raises ConfigError
    unless just one of the two is given."""
    from clinimm.data.cohort import read_cohort

    if (manifest is None) == (not inputs):
        raise ConfigError("give a manifest or --input, one of the two", where="command line")
    if manifest is not None:
        return read_cohort(config, data or manifest.parent, manifest, labelled=False)
    return [loose_case(config.modalities(), inputs or [])]


def loose_case(modalities: "Sequence[Modality]", inputs: list[str]) -> "Case":
    """The case that `name=PATH` arguments make. Raises ConfigError for a name the model does not have."""
    from clinimm.choose import choose
    from clinimm.types import Case

    known = {modality.name: modality for modality in modalities}
    given: dict[str, Input] = {}
    for argument in inputs:
        name, separator, path = argument.partition("=")
        if not separator:
            raise ConfigError(f"{argument!r} has no '='", where="--input", mend="write name=PATH")
        given[name] = _read(choose(known, name, "--input"), Path(path))
    return Case("case", "patient", given)


def _read(modality: "Modality", path: Path) -> "Input":
    from clinimm.io.panel_file import read_panel
    from clinimm.io.text import read_note
    from clinimm.types import ImageFile, Kind

    if modality.kind is Kind.IMAGE:
        return ImageFile((path,))
    return read_note(path) if modality.kind is Kind.TEXT else read_panel(path)
