"""`clinimm demo`: the whole of what clinimm is, on a cohort it makes itself."""

import typer


def demo() -> None:
    """..."""
    typer.echo("")
