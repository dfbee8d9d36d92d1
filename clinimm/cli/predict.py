"""`clinimm predict`: a trained model's answers for a manifest or for loose files, as JSON lines."""

import json

import typer

from clinimm.cli.arguments import ArtifactDir, BackboneDir, DataDir
from clinimm.cli.cases import Inputs, ManifestFile, chosen_cases


def predict(
    artifact: ArtifactDir,
    manifest: ManifestFile = None,
    data: DataDir = None,
    inputs: Inputs = None,
    backbone: BackboneDir = None,
) -> None:
    """Answer each case, one JSON object a line: calibrated probabilities, gate weights, what was missing and why."""
    from clinimm.evaluation.judge import artifacts_in
    from clinimm.inference import Predictor

    predictor = Predictor.load(artifacts_in(artifact)[0], backbone=backbone)
    for case in chosen_cases(predictor.config, manifest, data, inputs):
        typer.echo(json.dumps(predictor.predict([case])[0].record()))
