"""`clinimm drift`: whether a second cohort looks to a model like the first."""

import json
from pathlib import Path
from typing import Annotated

import typer

from clinimm.cli.arguments import ArtifactDir, AsJson, BackboneDir, DataDir, progress, show


def drift(
    artifact: ArtifactDir,
    reference: Annotated[Path, typer.Argument(help="Manifest of the cohort to compare with.")],
    other: Annotated[Path, typer.Argument(help="Manifest of the cohort that may have drifted.")],
    data: DataDir = None,
    as_json: AsJson = False,
    backbone: BackboneDir = None,
    deals: Annotated[int, typer.Option(help="How often patients are dealt anew into the two cohorts.")] = 1999,
) -> None:
    """Compare two cohorts as a model sees them: missing inputs, quality, analytes, embeddings, weights, answers.

    Needs no labels. Of all differences that it names, at most 5 % are expected to be luck."""
    from clinimm.data.cohort import read_cohort
    from clinimm.evaluation.drift.shift import drift as compared
    from clinimm.evaluation.drift.snapshot import snapshot
    from clinimm.evaluation.judge import artifacts_in
    from clinimm.inference import Predictor

    predictor = Predictor.load(artifacts_in(artifact)[0], backbone=backbone)
    found = []
    for manifest in (reference, other):
        cases = read_cohort(predictor.config, data or manifest.parent, manifest, labelled=False)
        with progress(manifest.stem) as bar:
            found.append(snapshot(predictor, cases, bar))
    result = compared(*found, deals=deals, seed=predictor.config.run.seed)
    if as_json:
        typer.echo(json.dumps(result.record(), indent=1))
    else:
        show(result.grid().rich())
