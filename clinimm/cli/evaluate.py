"""`clinimm evaluate`: a trained model on a manifest, for every subset of its inputs."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clinimm.cli.arguments import ArtifactDir, AsJson, BackboneDir, DataDir, show
from clinimm.cli.train import show_evaluation

if TYPE_CHECKING:
    from clinimm.config import Config
    from clinimm.evaluation.judgement import Judgement


def evaluate(
    artifact: ArtifactDir,
    manifest: Annotated[Path, typer.Argument(help="A CSV or Parquet file with one row per case.")],
    data: DataDir = None,
    opponents: Annotated[
        bool, typer.Option("--opponents", help="Train simple opponents on the same patients.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder for evaluation.html, the page of all that was found, and its JSON.")
    ] = None,
    as_json: AsJson = False,
    backbone: BackboneDir = None,
) -> None:
    """Judge a model, on patients it has not seen: every metric with its interval, for every subset of inputs.

    With --out or --json also subgroups, what each input adds, the curve as inputs are removed, and what becomes of
    spoilt inputs. Given the folder of a run with folds, each fold's model answers for its own test patients."""
    from rich.console import Console

    from clinimm.data.cohort import read_cohort
    from clinimm.evaluation.judge import artifacts_in, judge
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
        whole=as_json or out is not None,
        backbone=backbone,
        console=Console(stderr=True),
    )
    if out is not None:
        _write(found, config, out)
    if as_json:
        typer.echo(json.dumps(found.record(), indent=1, allow_nan=False))
    else:
        _show(found, config, out)


def _write(found: "Judgement", config: "Config", out: Path) -> None:
    from clinimm.evaluation.page.html import page

    out.mkdir(parents=True, exist_ok=True)
    record = json.dumps(found.record(), indent=1, allow_nan=False)
    (out / "evaluation.json").write_text(record + "\n", encoding="utf-8")
    (out / "evaluation.html").write_text(page(found, config.evaluation.references), encoding="utf-8")


def _show(found: "Judgement", config: "Config", out: Path | None) -> None:
    """Every table of subsets, patterns and gains; where a page holds them, the first table and the verdict."""
    from clinimm.evaluation.page.verdict import verdict
    from clinimm.evaluation.render import comparison_grid, subsets_grid

    if out is None:
        show_evaluation(found.evaluation, config)
    for comparison in found.comparisons if out is None else ():
        show(comparison_grid(comparison).rich())
    for target in found.evaluation.targets if out else ():
        show(subsets_grid(target, ("auroc", "brier", "sensitivity", "specificity")).rich())
        show(*(answer.line for answer in verdict(found, target.target)), "")
    if found.left_out:
        show(f"{found.left_out} cases were left out: the model was trained or calibrated on their patients.")
    if out:
        show(f"wrote {out / 'evaluation.html'} and {out / 'evaluation.json'}")
