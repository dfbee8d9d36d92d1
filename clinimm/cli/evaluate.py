"""`clinimm evaluate`: a trained model on a manifest, for every subset of its inputs."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from clinimm.cli.arguments import ArtifactDir, AsJson, BackboneDir, DataDir, show
from clinimm.cli.train import show_evaluation


def evaluate(
    artifact: ArtifactDir,
    manifest: Annotated[Path, typer.Argument(help="A CSV or Parquet file with one row per case.")],
    data: DataDir = None,
    opponents: Annotated[
        bool, typer.Option("--opponents", help="Train simple opponents on the same patients.")
    ] = False,
    as_json: AsJson = False,
    backbone: BackboneDir = None,
) -> None:
    """Judge a model, on patients it has not seen: every metric with its interval, for every subset of inputs.

    Given the folder of a run with folds, each fold's model answers for its own test patients."""
    from rich.console import Console

    from clinimm.data.cohort import read_cohort
    from clinimm.evaluation.judge import artifacts_in, judge
    from clinimm.evaluation.render import comparison_grid
    from clinimm.inference import Predictor

    directories = artifacts_in(artifact)
    config = Predictor.load(directories[0], backbone=backbone).config
    cases = read_cohort(config, data or manifest.parent, manifest)
    found = judge(
        directories,
        cases,
        bootstrap=config.evaluation.bootstrap,
        seed=config.run.seed,
        opponents=opponents,
        backbone=backbone,
        console=Console(stderr=True),
    )
    if as_json:
        record = found.evaluation.record() | {"left_out": found.left_out}
        comparisons = [asdict(comparison) for comparison in found.comparisons]
        typer.echo(json.dumps(record | {"comparisons": comparisons}, indent=1))
        return
    show_evaluation(found.evaluation, config)
    for comparison in found.comparisons:
        show(comparison_grid(comparison).rich())
    if found.left_out:
        show(f"{found.left_out} cases were left out: the model was trained or calibrated on their patients.")
