"""`clinimm pretrain`: from a config and a folder of pictures and texts to an image-text backbone."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clinimm.cli.arguments import DataDir, Overrides, shipped_config, show

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.table import Table


def pretrain(
    config: Annotated[Path, typer.Argument(help="A TOML file, such as configs/pretrain_cxr.toml.")],
    data: DataDir = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run; by default runs/NAME.")] = None,
    overrides: Overrides = None,
) -> None:
    """Learn an image-text backbone from pictures and texts, labels or not.

    A run that was cut off goes on where it stood when the same command is given again. Under torchrun, all its
    processes learn from one batch."""
    from rich.console import Console

    from clinimm.config import PretrainConfig, load_as
    from clinimm.pretraining.build import read_cases
    from clinimm.pretraining.run import pretrain as run

    path = config if config.exists() else shipped_config(config.name)
    chosen = load_as(PretrainConfig, path if path.exists() else config, overrides or ())
    cases = read_cases(chosen, data or config.parent)
    folder = out or Path("runs") / chosen.name
    done = run(chosen, cases, folder, console=Console(stderr=True))
    if not done.leads:
        return
    show(corpus_table(done.told["corpus"]), *figure_tables(done.told["figures"]))
    show(
        f"\nwrote {done.directory}, as it stood after epoch {done.told['epoch']}; to use it, put in a training config:",
        f'[backbone]\npath = "{done.directory}"',
    )


def corpus_table(corpus: "Mapping[str, Mapping[str, Any]]") -> "Table":
    """What was learned from and judged on, and what was left out."""
    from rich.table import Table

    table = Table("", *corpus, title="Corpus", title_justify="left")
    for name in next(iter(corpus.values())):
        table.add_row(name.replace("_", " "), *(_counted(part[name]) for part in corpus.values()))
    return table


def figure_tables(figures: "Mapping[str, float]") -> "list[Table]":
    """Retrieval on the validation patients beside chance; no table where there was no pair to judge on."""
    from rich.table import Table

    from clinimm.pretraining.watch import DEPTHS, DIRECTIONS

    if f"val_{DIRECTIONS[0]}_mrr" not in figures:
        return []
    table = Table("validation", "image to text", "chance", "text to image", "chance", title_justify="left")
    for name in (*(f"recall_at_{k}" for k in DEPTHS), "median_rank"):
        cells = [figures[f"val_{way}_{prefix}{name}"] for way in DIRECTIONS for prefix in ("", "chance_")]
        table.add_row(name.replace("_", " "), *(f"{cell:.3g}" for cell in cells))
    return [table]


def _counted(found: Any) -> str:
    if isinstance(found, dict):
        return ", ".join(f"{name} {count}" for name, count in found.items()) or "0"
    return str(found)
