"""`clinimm data`: check what a cohort holds, decode its images, write a synthetic one."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clinimm.cli.arguments import AsJson, progress, shipped_config, show

if TYPE_CHECKING:
    from clinimm.data.decode import Outcome, Picture
    from clinimm.errors import ManifestError

app = typer.Typer(no_args_is_help=True, help="Check a cohort, decode its images, write a synthetic one.")


@app.command()
def check(
    manifest: Annotated[Path, typer.Argument(help="A CSV or Parquet file with one row per case.")],
    config: Annotated[Path | None, typer.Option(help="Names the columns; by default the quickstart's do.")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder that holds all files; by default the manifest's.")] = None,
    as_json: AsJson = False,
    decode: Annotated[
        bool, typer.Option("--decode", help="Read every image too, out of process, and the times in their headers.")
    ] = False,
) -> None:
    """Say what a cohort holds and lacks, what its times forbid to use, and whether what is missing tells the label by
    itself.

    Exit code 1 if the manifest has faults: each is listed with its row and column."""
    from clinimm.config import ImageInput, load
    from clinimm.data.check import check_cohort
    from clinimm.data.check_tables import headline, tables
    from clinimm.data.cohort import read_cohort
    from clinimm.data.decode import pictures_of
    from clinimm.errors import ManifestError

    settings = load(config or shipped_config("quickstart.toml"))
    try:
        cases = read_cohort(settings, data or manifest.parent, manifest)
    except ManifestError as error:
        _show_faults(error, as_json)
        raise typer.Exit(1) from None
    limits = {name: section.max_age_hours for name, section in settings.inputs.items()}
    found = check_cohort(cases, settings.modalities(), settings.target_names, max_age_hours=limits)
    windows = {name: section.window for name, section in settings.inputs.items() if isinstance(section, ImageInput)}
    outcomes = _read_all(pictures_of(cases, windows, limits)) if decode else []
    if as_json:
        _print_json(found.record() | ({"images": _record(outcomes)} if decode else {}))
        return
    show(headline(found), *tables(found), *(_decoding(outcomes) if decode else []))
    show(*(f"Warning: {warning}" for warning in found.warnings))


@app.command()
def decode(
    paths: Annotated[list[Path], typer.Argument(help="Image files, or folders of them: each file by itself.")],
    as_json: AsJson = False,
) -> None:
    """Read each image in a child process with limits, and say which can be used and why others cannot."""
    from clinimm.data.decode import pictures_under

    outcomes = _read_all(pictures_under(paths))
    if as_json:
        _print_json(_record(outcomes))
    else:
        show(*_decoding(outcomes))


@app.command()
def synth(
    out: Annotated[Path, typer.Argument(help="An empty folder, or one that holds an older synthetic cohort.")],
    n: Annotated[int, typer.Option("--cases", help="Number of cases.")] = 400,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 0,
    image: Annotated[str, typer.Option(help="cr: a film for each case; ct: a small volume.")] = "cr",
    missing: Annotated[str, typer.Option(help="mcar, mar (by site and age) or mnar (by what it would show).")] = "mcar",
    rate: Annotated[float, typer.Option(help="Share of each input that is missing.")] = 0.15,
    mechanism: Annotated[str | None, typer.Option(help="unique, redundant or synergy; by default a mixture.")] = None,
    label_noise: Annotated[float, typer.Option(help="Share of labels that are wrong.")] = 0.02,
) -> None:
    """Write a synthetic cohort with planted truth: DICOM, notes, labs, a manifest, and evidence.json beside it."""
    from clinimm.data.synthetic import write_cohort

    with progress("writing cases") as advance:
        manifest = write_cohort(
            out,
            n=n,
            seed=seed,
            image=image,
            missing=missing,
            rate=rate,
            mechanism=mechanism,
            label_noise=label_noise,
            progress=advance,
        )
    show(f"wrote {n} cases: {manifest}")


def _read_all(pictures: list["Picture"]) -> list["Outcome"]:
    from clinimm.data.decode import decode
    from clinimm.io.sandbox import Sandbox

    outcomes = []
    with Sandbox() as sandbox, progress("reading images") as advance:
        for outcome in decode(pictures, sandbox):
            outcomes.append(outcome)
            advance(len(outcomes), len(pictures))
    return outcomes


def _record(outcomes: list["Outcome"]) -> dict[str, Any]:
    from clinimm.data.decode import tally

    return {"counts": tally(outcomes), "outcomes": [asdict(outcome) for outcome in outcomes]}


def _decoding(outcomes: list["Outcome"]) -> list[Any]:
    """A table of codes, and a line for every image that was refused."""
    from clinimm.data.check_tables import counts_table
    from clinimm.data.decode import READABLE, tally

    refused = [f"{one.name}: {one.code}: {one.what}" for one in outcomes if one.code != READABLE]
    return [counts_table("Images", tally(outcomes), len(outcomes)), *refused]


def _show_faults(error: "ManifestError", as_json: bool) -> None:
    if as_json:
        _print_json({"faults": [asdict(fault) for fault in error.faults]})
    else:
        show(str(error))


def _print_json(record: dict[str, Any]) -> None:
    typer.echo(json.dumps(record, indent=2))
