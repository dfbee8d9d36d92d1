"""Arguments that several verbs share."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clinimm import paths

if TYPE_CHECKING:
    from clinimm.config import Config

ArtifactDir = Annotated[Path, typer.Argument(help="An artifact, or the folder of the run that wrote it.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", help="section.key=value, over what the config says; may be repeated.")
]
DataDir = Annotated[Path | None, typer.Option("--data", help="Folder that holds the cases' files.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]


def settings(path: Path, overrides: list[str] | None) -> "Config":
    """The config at `path`, or the one of that name that is shipped. Raises ConfigError."""
    from clinimm.config import load

    if not path.exists():
        shipped = paths.shipped(paths.__file__, "configs") / path.name
        path = shipped if shipped.exists() else path
    return load(path, overrides or ())


def show(*parts: Any) -> None:
    """Prints tables and lines to standard output, as they are."""
    from rich.console import Console

    console = Console(soft_wrap=True)
    for part in parts:
        console.print(part, markup=False, highlight=False)
