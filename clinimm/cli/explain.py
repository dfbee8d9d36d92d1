"""`clinimm explain`: why a model answers as it does, as JSON and as a page."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clinimm.cli.arguments import ArtifactDir, BackboneDir, DataDir, show
from clinimm.cli.cases import Inputs, ManifestFile, chosen_cases
from clinimm.errors import ConfigError

if TYPE_CHECKING:
    from rich.table import Table


def explain(
    artifact: ArtifactDir,
    manifest: ManifestFile = None,
    data: DataDir = None,
    inputs: Inputs = None,
    case_id: Annotated[list[str] | None, typer.Option("--case", help="Only this case; may be repeated.")] = None,
    target: Annotated[str | None, typer.Option(help="Only this target, not all.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for a JSON record and an HTML page per case.")] = Path("reports"),
    method: Annotated[
        str, typer.Option(help="How: integrated_gradients, or grad_cam, occlusion, shapley_sampling.")
    ] = "integrated_gradients",
    check: Annotated[
        bool, typer.Option("--check", help="Test each explanation thoroughly, and print how it did. Ten times slower.")
    ] = False,
    backbone: BackboneDir = None,
) -> None:
    """Write the attribution report of each case: its record as JSON, and the page that shows it."""
    from clinimm.evaluation.judge import artifacts_in
    from clinimm.inference import Predictor
    from clinimm.report.canonical import canonical
    from clinimm.report.html import render
    from clinimm.report.record import build

    predictor = Predictor.load(artifacts_in(artifact)[0], backbone=backbone)
    cases = chosen_cases(predictor.config, manifest, data, inputs)
    if case_id and (unknown := set(case_id) - {case.case_id for case in cases}):
        raise ConfigError(f"no such case: {', '.join(sorted(unknown))}", where="--case")
    out.mkdir(parents=True, exist_ok=True)
    for number, case in enumerate(case for case in cases if not case_id or case.case_id in case_id):
        explained = predictor.explain(case, target, method=method, thorough=check)
        record = build(predictor, case, predictor.predict([case])[0], explained)
        stem = out / f"report-{number:05d}"  # a case id is a client's string and never forms a path
        stem.with_suffix(".json").write_bytes(canonical(record))
        stem.with_suffix(".html").write_text(render(record), encoding="utf-8")
        typer.echo(f"{case.case_id}: {stem.with_suffix('.html')}")
        if check:
            show(*(_table(told) for told in record["explanations"]))


def _table(explanation: dict[str, Any]) -> "Table":
    """Every check of one explanation, as its record has it."""
    from rich.table import Table

    failed = [check["name"] for check in explanation["checks"] if not check["passed"]]
    verdict = f"NOT RELIABLE: {', '.join(failed)}" if failed else "reliable"
    table = Table(
        "check", "value", "limit", "verdict", title=f"{explanation['target']}: {verdict}", title_justify="left"
    )
    for check in explanation["checks"]:
        value = "not a number" if check["value"] is None else f"{check['value']:.4g}"
        table.add_row(check["name"], value, f"{check['limit']:.4g}", "pass" if check["passed"] else "FAIL")
    return table
