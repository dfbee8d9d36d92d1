"""`clinimm train`: from a config and a folder of cases to an artifact and its evaluation."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clinimm.cli.arguments import DataDir, Overrides, settings, show

if TYPE_CHECKING:
    from clinimm.config import Config
    from clinimm.evaluation.evaluate import Evaluation


def train(
    config: Annotated[Path, typer.Argument(help="A TOML file, such as configs/quickstart.toml.")],
    data: DataDir = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run; by default runs/NAME.")] = None,
    overrides: Overrides = None,
    folds: Annotated[bool, typer.Option("--folds", help="One run per fold, judged on all folds together.")] = False,
) -> None:
    """Train a model and judge it on patients it has not seen.

    A run that was cut off goes on where it stood when the same command is given again."""
    from rich.console import Console

    from clinimm.data.cohort import read_cohort

    chosen = settings(config, overrides)
    cases = read_cohort(chosen, data or config.parent)

    # After what may be wrong: the nets take seconds to import.
    from clinimm.training.folds import split, train_folds
    from clinimm.training.run import train as run
    from clinimm.training.setup import is_leader

    folder = out or Path("runs") / chosen.name
    console = Console(stderr=True)
    if folds:
        evaluation = train_folds(chosen, cases, folder, console=console)
    else:
        evaluation = run(chosen, split(chosen, cases), folder, console=console).evaluation
    if not is_leader():
        return
    show_evaluation(evaluation, chosen)
    show(f"\nwrote {folder}; judge it elsewhere with: clinimm evaluate {folder} MANIFEST")


def show_evaluation(evaluation: "Evaluation", config: "Config") -> None:
    """Prints the table of subsets for each target, published references beside it."""
    from clinimm.evaluation.render import evaluation_grids

    show(*(grid.rich() for grid in evaluation_grids(evaluation, config.evaluation.references)))
