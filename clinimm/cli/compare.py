"""`clinimm compare`: trained runs beside each other on the same cases."""

from pathlib import Path
from typing import Annotated

import typer

from clinimm.cli.arguments import AsJson, BackboneDir, DataDir, show


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Two or more runs or artifacts, then the manifest of the cases.")],
    data: DataDir = None,
    bootstrap: Annotated[
        int | None, typer.Option(min=10, help="Draws of patients; by default 2000, or 100 for each pair of runs.")
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same draws.")] = 0,
    as_json: AsJson = False,
    backbone: BackboneDir = None,
) -> None:
    """Compare runs, on cases that none of them has seen and that are the same for all: who ranks and calibrates better
    with all inputs and with each subset, and whether that may be luck.

    Of a run with folds, each fold's model answers for its own test patients."""
    import json

    from rich.console import Console

    from clinimm.evaluation.rival_tables import rival_grids
    from clinimm.evaluation.rivals import ask_runs, draws_for, rival

    *chosen, manifest = runs
    answers = ask_runs(chosen, manifest, data or manifest.parent, backbone=backbone, console=Console(stderr=True))
    draws = bootstrap or draws_for(len(answers))
    found = rival(answers, resamples=draws, seed=seed)
    if as_json:
        typer.echo(json.dumps(found.record() | {"bootstrap": draws, "seed": seed}, indent=1))
        return
    show(*(grid.rich() for grid in rival_grids(found, [*answers])))
