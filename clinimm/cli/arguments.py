"""Arguments that several verbs share."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
BackboneDir = Annotated[
    Path | None, typer.Option("--backbone", help="Where the backbone lies that the artifact was trained on, if moved.")
]
Seen = Annotated[bool, typer.Option("--seen", help="Judge it on patients, too, that its pretraining has seen.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]


_WIDE = 210  # columns where no terminal says how many it has


def settings(path: Path, overrides: list[str] | None) -> "Config":
    """The config at `path`, or the one of that name that is shipped. Raises ConfigError."""
    from clinimm.config import load

    if not path.exists():
        shipped = shipped_config(path.name)
        path = shipped if shipped.exists() else path
    return load(path, overrides or ())


def shipped_config(name: str) -> Path:
    """Where the config of that file name would be, among those that are shipped."""
    return paths.shipped(paths.__file__, "configs") / name


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error, with the time that is left; call it with what is done and the total."""
    from rich.console import Console

    from clinimm.progress import progress_bar

    with progress_bar(Console(stderr=True)) as bar:
        task = bar.add_task(what, total=None, note="")
        yield lambda done, total: bar.update(task, completed=done, total=total)


def show(*parts: Any) -> None:
    """Prints tables and lines to standard output, as they are."""
    from rich.console import Console

    console = Console(soft_wrap=True, width=None if sys.stdout.isatty() else _WIDE)
    for part in parts:
        console.print(part, markup=False, highlight=False)
