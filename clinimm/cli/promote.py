"""`clinimm promote`: a retrained artifact takes the place of the one that answers, or is refused."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clinimm.cli.arguments import AsJson, BackboneDir, DataDir, show
from clinimm.errors import ClinimmError, ConfigError

if TYPE_CHECKING:
    from clinimm.evaluation.promotion import Promotion
    from clinimm.registry import Registry

SHOWN = 12  # cells that hold, after those that fall: the nearest to falling first


def promote(
    registry: Annotated[Path, typer.Option(help="Folder of promoted artifacts and their history; made if new.")],
    candidate: Annotated[
        Path | None, typer.Argument(help="An artifact, or the folder of the run that wrote it.")
    ] = None,
    manifest: Annotated[
        Path | None, typer.Argument(help="The frozen test set: a CSV or Parquet file, one row per case.")
    ] = None,
    data: DataDir = None,
    against: Annotated[
        Path | None, typer.Option(help="Judge against this artifact, not the registry's current one; with --dry-run.")
    ] = None,
    limit: Annotated[list[str] | None, typer.Option("--limit", help="name=value, such as no_worse=0.02.")] = None,
    new_test: Annotated[
        bool, typer.Option("--new-test", help="The test set is another than the last candidate's, on purpose.")
    ] = False,
    rollback: Annotated[bool, typer.Option("--rollback", help="Go back to what answered before, and stop.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Judge, and leave the registry as it is.")] = False,
    by: Annotated[str | None, typer.Option(help="Who decides; by default who you are logged in as.")] = None,
    note: Annotated[str, typer.Option(help="Why, for the history.")] = "",
    every: Annotated[bool, typer.Option("--all", help="Show every cell.")] = False,
    as_json: AsJson = False,
    backbone: BackboneDir = None,
) -> None:
    """Judge a candidate beside the artifact that answers now, and let it take its place if it holds everywhere.

    Exit code 0 if it was promoted, 1 if it was refused; both are noted in the registry's history."""
    import json

    from clinimm.registry import Registry

    shelf = Registry(registry)
    if rollback:
        _roll_back(shelf, by, note)
        return
    if candidate is None or manifest is None:
        raise ConfigError("give a candidate and a test manifest, or --rollback", where="promote")
    if against is not None and not dry_run:
        raise ConfigError("a promotion is judged against what answers now", where="--against", mend="add --dry-run")
    artifact = _one(candidate)
    current = _one(against) if against else _current(shelf)
    test = _test_set(shelf, manifest, new_test=new_test or dry_run)
    found = _judged(artifact, current, manifest, data or manifest.parent, limit or (), backbone)
    if not dry_run:
        _enter(shelf, artifact, found, test, by, note)
    if as_json:
        typer.echo(json.dumps(found.record(), indent=1))
    else:
        _show(found, shelf.manifests().get(test, 0), every=every, dry_run=dry_run)
    raise typer.Exit(0 if found.promoted else 1)


def _judged(
    artifact: Path, current: Path | None, manifest: Path, data: Path, limit: "list[str] | tuple[()]",
    backbone: Path | None,
) -> "Promotion":  # fmt: skip
    from rich.console import Console

    from clinimm.evaluation.limits import Limits
    from clinimm.evaluation.promotion import judge_promotion

    return judge_promotion(
        artifact, current, manifest, data,
        limits=Limits().but(limit), backbone=backbone, console=Console(stderr=True),
    )  # fmt: skip


def _enter(shelf: "Registry", artifact: Path, found: "Promotion", test: str, by: str | None, note: str) -> None:
    from clinimm.artifact import verify

    if found.promoted:
        shelf.promote(
            artifact, found.candidate, verify=verify, evaluation=found.record(), manifest=test, by=by, note=note,
            expected=found.current,
        )  # fmt: skip
    else:
        shelf.refuse(found.candidate, evaluation=found.record(), manifest=test, by=by, note=note)


def _roll_back(shelf: "Registry", by: str | None, note: str) -> None:
    from clinimm.artifact import verify

    left = shelf.current()
    entry = shelf.roll_back(verify=verify, by=by, note=note)
    show(
        f"{entry.digest[:12]} answers again, in the place of {str(left)[:12]}.",
        "A running service takes it when it is restarted.",
    )


def _one(directory: Path) -> Path:
    from clinimm.evaluation.judge import artifacts_in

    found = artifacts_in(directory)
    if len(found) > 1:
        raise ConfigError("holds the artifacts of several folds", where=str(directory), mend="name one of them")
    return found[0]


def _current(shelf: "Registry") -> Path | None:
    digest = shelf.current()
    return None if digest is None else shelf.place(digest)


def _test_set(shelf: "Registry", manifest: Path, *, new_test: bool) -> str:
    """The manifest's hash. Raises ConfigError for another one than the last candidate was judged by: who may choose
    the test may choose the verdict."""
    import hashlib

    try:
        digest = hashlib.sha256(manifest.read_bytes()).hexdigest()
    except OSError as error:
        raise ClinimmError("cannot be read", where=str(manifest), mend="give a CSV or Parquet file") from error
    used = [*shelf.manifests()]
    if used and used[-1] != digest and not new_test:
        raise ConfigError(
            f"is not the test set of the last candidate, whose manifest has the hash {used[-1][:12]}",
            where=str(manifest),
            mend="give that one, or say --new-test",
        )
    return digest


def _show(found: "Promotion", judged: int, *, every: bool, dry_run: bool) -> None:
    from clinimm.evaluation.promotion_tables import cells_grid, findings_grid

    if found.cells:
        show(cells_grid(found, None if every else SHOWN).rich())
    show(findings_grid(found).rich(), found.sentence)
    if judged > 1:
        show(f"This test set has judged {judged} candidates by now: the more, the less it can tell of the next.")
    if dry_run:
        show("A dry run: the registry is as it was.")
    elif found.promoted:
        show("A running service takes it when it is restarted. To go back: clinimm promote --rollback")
