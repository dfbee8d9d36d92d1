"""`clinimm sweep`: k-fold runs over settings and seeds, resumable, several at once."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clinimm.cli.arguments import DataDir, Overrides, settings, show

if TYPE_CHECKING:
    from collections.abc import Callable

    from clinimm.training.sweep import Outcome, Point


def sweep(
    config: Annotated[Path, typer.Argument(help="A TOML file, such as configs/quickstart.toml.")],
    over: Annotated[
        list[str] | None, typer.Option("--over", help="section.key=one,another: values to try; may be repeated.")
    ] = None,
    data: DataDir = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the sweep; by default runs/NAME-sweep.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each combination, from the config's seed on.")] = 1,
    sample: Annotated[
        int | None, typer.Option("--random", min=1, help="Only so many combinations, drawn at random.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Runs at once; by default one per GPU, or cores / run.threads.")
    ] = None,
    overrides: Overrides = None,
) -> None:
    """Train and judge every fold for every combination of settings, and rank them by validation patients.

    A sweep that was cut off goes on where it stood when the same command is given again; a run that fails stops no
    other. Exit code 1 if any failed."""
    import json

    from clinimm.training.ranking import ranked, ranking_grid, record
    from clinimm.training.sweep import Axis, plan, run_sweep

    given = overrides or []
    base = settings(config, given)
    folder = out or Path("runs") / f"{base.name}-sweep"
    points = plan(
        lambda more: settings(config, [*given, *more]), [Axis.parse(text) for text in over or ()],
        seeds=seeds, sample=sample, draw=base.run.seed,
    )  # fmt: skip
    outcomes = run_sweep(points, data or config.parent, folder, jobs=jobs, on_done=_telling(points))
    rows = ranked(outcomes)
    (folder / "results.json").write_text(json.dumps(record(rows, outcomes), indent=1), encoding="utf-8")
    show(ranking_grid(rows).rich())
    failed = [outcome for outcome in outcomes if outcome.failure]
    for outcome in failed:
        show(f"FAILED: {_name(outcome.point)}: {outcome.failure}; see {outcome.point.folder(folder) / 'log.txt'}")
    show(f"wrote {folder / 'results.json'}")
    raise typer.Exit(1 if failed else 0)


def _telling(points: "list[Point]") -> "Callable[[Outcome], None]":
    """Tells each run as it ends, on standard error."""
    done = 0

    def tell(outcome: "Outcome") -> None:
        nonlocal done
        done += 1
        score = outcome.validation
        what = outcome.failure or f"validation {'n/a' if score is None else f'{score:.3f}'}"
        typer.echo(f"[{done}/{len(points)}] {_name(outcome.point)}: {what}", err=True)

    return tell


def _name(point: "Point") -> str:
    return " ".join((*point.settings, f"seed={point.seed}"))
