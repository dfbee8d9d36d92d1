"""`clinimm backbone`: import a foreign checkpoint, export it again, say what a backbone is."""

import json
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clinimm.cli.arguments import AsJson, show
from clinimm.cli.pretrain import corpus_table, figure_tables
from clinimm.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.table import Table

    from clinimm.backbone.transfer import Report

app = typer.Typer(no_args_is_help=True, help="Image-text backbones: import, export, show. See also `pretrain`.")

Options = Annotated[list[str] | None, typer.Option("--option", help="key=value of the family; may be repeated.")]
BackboneDir = Annotated[Path, typer.Argument(help="A backbone directory.")]


@app.command("import")
def import_(
    path: Annotated[Path, typer.Argument(help="A checkpoint, a zip that holds one, or a directory with one.")],
    family: Annotated[str, typer.Option(help="What it is; `clinimm backbone families` lists them.")],
    out: Annotated[Path, typer.Option(help="The backbone directory to make.")],
    option: Options = None,
    tokenizer: Annotated[
        Path | None, typer.Option(help="Directory of the tokenizer; by default the checkpoint's.")
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="List every key, and where it went.")] = False,
) -> None:
    """Make a backbone of weights that others trained. Everything is checked first: nothing is written on an error.

    Runs no code out of the checkpoint. Says which keys were used, and which were dropped and why."""
    from clinimm.backbone.transfer import import_backbone

    report = import_backbone(path, family, out, _options(option or []), tokenizer)
    show(*_said(report), *(_every_key(report) if verbose else []))


@app.command()
def export(
    directory: BackboneDir,
    out: Annotated[Path, typer.Option(help="The checkpoint to write: .safetensors, .bin, .pt or .pth.")],
) -> None:
    """Write an imported backbone as the checkpoint it came from, under its original names."""
    from clinimm.backbone.transfer import export_backbone

    names = export_backbone(directory, out)
    show(f"wrote {len(names)} tensors to {out}")


@app.command("show")
def show_(
    directory: BackboneDir,
    verbose: Annotated[bool, typer.Option("--verbose", help="Print all that is known of where it came from.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say what a backbone is and where it came from, after checking its files."""
    from rich.table import Table

    from clinimm.backbone.directory import load
    from clinimm.backbone.transfer import parameters

    backbone = load(directory)
    origin = {name: value for name, value in backbone.provenance.items() if name not in ("keys", "dropped")}
    facts: dict[str, Any] = {
        "family": backbone.family,
        "digest": backbone.digest,
        "space": next(iter(backbone.towers.values())).width,
        "towers": {kind: tower.architecture["name"] for kind, tower in backbone.towers.items()},
        "parameters": parameters(backbone.towers),
        "patients_seen": len(backbone.seen) or None,
        "provenance": origin,
    }
    if as_json:
        typer.echo(json.dumps(facts, indent=1))
        return
    table = Table("tower", "net", "parameters", "features", "space", title=f"{backbone.family} {backbone.digest[:12]}")
    for kind, tower in backbone.towers.items():
        count = f"{facts['parameters'][kind]:,}"
        table.add_row(kind, str(tower.architecture["name"]), count, str(tower.features), str(tower.width))
    show(table, f"patients seen in pretraining: {_seen(len(backbone.seen), origin.get('start'))}")
    if verbose:
        show(json.dumps(dict(backbone.provenance), indent=1))
    elif "corpus" in origin:
        show(*_pretrained(origin))
    else:
        show(*(f"{name}: {_brief(value)}" for name, value in origin.items() if value))


@app.command()
def families(as_json: AsJson = False) -> None:
    """List the families that can be imported, what each takes, and its options."""
    from clinimm.backbone.families import FAMILIES

    if as_json:
        typer.echo(json.dumps({name: {"takes": f.takes, "options": dict(f.options)} for name, f in FAMILIES.items()}))
        return
    for options, alike in groupby(FAMILIES.values(), key=lambda family: dict(family.options)):
        show(*(f"{family.name}: {family.takes}" for family in alike))
        show(*(f"    {option}: {meaning}" for option, meaning in options.items()))


def _seen(patients: int, start: "Mapping[str, Any] | None") -> str:
    """How many patients, as far as is known."""
    if start and not start["patients_known"]:
        return f"{patients} or more: it started from a backbone ({start['family']}) of which that is not known"
    return str(patients or "unknown")


def _pretrained(origin: "Mapping[str, Any]") -> "list[str | Table]":
    """What a pretraining run tells of itself, in short: settings by name, corpus, kept epoch and its figures."""
    config, start, figures = origin["config"], origin.get("start"), origin["figures"]
    tabled = ("recall_at_", "median_rank", "epoch")
    others = [f"{name} {value:.3g}" for name, value in figures.items() if not any(part in name for part in tabled)]
    return [
        f"pretrained: {config['name']}, as it stood after epoch {origin['epoch']} of {config['optim']['epochs']}",
        *([f"started from: {start['family']} {start['digest'][:12]}"] if start else []),
        *([f"labels read: {', '.join(origin['labels'])}"] if origin.get("labels") else []),
        corpus_table(origin["corpus"]),
        *figure_tables(figures),
        f"figures: {', '.join(others)}",
    ]


def _brief(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}={one}" for name, one in value.items())
    return str(value)


def _options(given: list[str]) -> dict[str, Any]:
    """Each key=value, the value as JSON where it is JSON. Raises ConfigError."""
    found: dict[str, Any] = {}
    for item in given:
        name, sign, value = item.partition("=")
        if not sign:
            raise ConfigError(f"{item!r} is not key=value", where="--option")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found


def _said(report: "Report") -> list[str]:
    used = ", ".join(f"{count} {tower}" for tower, count in report.keys.items())
    sizes = ", ".join(f"{kind} {count:,}" for kind, count in report.parameters.items())
    reasons: dict[str, list[str]] = {}
    for name, reason in report.dropped.items():
        reasons.setdefault(reason, []).append(name)
    return [
        f"{report.family} -> {report.directory}, {report.digest[:12]}",
        f"parameters: {sizes}; a space of {report.width}",
        f"keys used: {used}",
        *(f"dropped, since {reason}: {', '.join(sorted(names))}" for reason, names in reasons.items()),
        *([f"lacking, left as new: {', '.join(report.lacking)}"] if report.lacking else []),
    ]


def _every_key(report: "Report") -> list[str]:
    return [f"  {name} -> {how['tower']}: {', '.join(how['names'])}" for name, how in sorted(report.used.items())]
