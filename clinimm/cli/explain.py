"""`clinimm explain`: why a model answers as it does, as JSON and as a page."""

import json
from pathlib import Path
from typing import Annotated

import typer

from clinimm.cli.arguments import ArtifactDir, BackboneDir, DataDir
from clinimm.cli.cases import Inputs, ManifestFile, chosen_cases
from clinimm.errors import ConfigError


def explain(
    artifact: ArtifactDir,
    manifest: ManifestFile = None,
    data: DataDir = None,
    inputs: Inputs = None,
    case_id: Annotated[list[str] | None, typer.Option("--case", help="Only this case; may be repeated.")] = None,
    target: Annotated[str | None, typer.Option(help="Only this target.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for a JSON record and an HTML page per case.")] = Path("reports"),
    backbone: BackboneDir = None,
) -> None:
    """Write the attribution report of each case: its record as JSON, and the page that shows it."""
    from clinimm.evaluation.judge import artifacts_in
    from clinimm.inference import Predictor
    from clinimm.report.html import render
    from clinimm.report.record import build

    predictor = Predictor.load(artifacts_in(artifact)[0], backbone=backbone)
    cases = chosen_cases(predictor.config, manifest, data, inputs)
    if case_id and (unknown := set(case_id) - {case.case_id for case in cases}):
        raise ConfigError(f"no such case: {', '.join(sorted(unknown))}", where="--case")
    out.mkdir(parents=True, exist_ok=True)
    for number, case in enumerate(case for case in cases if not case_id or case.case_id in case_id):
        record = build(predictor, case, predictor.predict([case])[0], predictor.explain(case, target))
        stem = out / f"report-{number:05d}"  # a case id is a client's string and never forms a path
        stem.with_suffix(".json").write_text(json.dumps(record, allow_nan=False), encoding="utf-8")
        stem.with_suffix(".html").write_text(render(record), encoding="utf-8")
        typer.echo(f"{case.case_id}: {stem.with_suffix('.html')}")
