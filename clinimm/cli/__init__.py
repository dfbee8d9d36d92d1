"""The `clinimm` command: a file per verb. Heavy libraries are imported when a verb runs, not before."""

import os
import sys

import typer

from clinimm.cli import (
    backbone,
    compare,
    data,
    demo,
    drift,
    evaluate,
    explain,
    index,
    predict,
    pretrain,
    promote,
    retrieve,
    sweep,
    train,
    zeroshot,
)
from clinimm.errors import ClinimmError

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Diagnosis from scans, notes and laboratory values at once.",
)
app.add_typer(data.app, name="data")
app.add_typer(backbone.app, name="backbone")
for verb in (
    demo.demo,
    pretrain.pretrain,
    train.train,
    sweep.sweep,
    evaluate.evaluate,
    compare.compare,
    promote.promote,
    predict.predict,
    explain.explain,
    drift.drift,
    index.index,
    retrieve.retrieve,
    zeroshot.zeroshot,
):
    app.command()(verb)


def main() -> None:
    """Runs a verb. An error of ours is printed as it stands and ends with exit code 1."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        app()
    except ClinimmError as error:
        typer.echo(f"clinimm: {error}", err=True)
        sys.exit(1)
